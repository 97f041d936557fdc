"""What an upstream's error means, in whatever form it comes, and what of its words a tenant may read."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from routing.providers.base import Meaning, Refusal, UpstreamCall

MOST_MESSAGE: Final = 1000
"""Characters of an upstream's message that are looked at: patterns never meet more."""
_MOST_DETAIL: Final = 500
_MOST_REST: Final = 86_400.0

STANDARD_TYPES: Final = frozenset(("invalid_request_error", "rate_limit_error", "insufficient_quota", "server_error"))
STANDARD_CODES: Final = frozenset(
    (
        "context_length_exceeded",
        "content_filter",
        "content_policy_violation",
        "invalid_value",
        "invalid_type",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_url",
        "image_too_large",
        "image_parse_error",
        "invalid_json_schema",
        "missing_required_parameter",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_value",
        "string_above_max_length",
        "array_above_max_length",
        "integer_above_max_value",
        "integer_below_min_value",
        "decimal_above_max_value",
        "decimal_below_min_value",
        "empty_array",
    )
)
_CONTENT: Final = frozenset((400, 413, 422))
_KEY: Final = frozenset((401, 402, 403))
_KEY_WORDS: Final = frozenset(
    (
        "authentication_error", "auth_error", "invalid_api_key", "no_db_connection", "invalid_authentication",
        "unauthenticated", "unauthorized", "api_key_invalid", "invalidapikey", "permission_denied", "access_denied",
        "authentication_fails", "invalid_token",
    )
)  # fmt: skip
"""Types, codes and statuses, in lower case, under which some servers refuse a key with 400."""
_EMPTY_WORDS: Final = frozenset(
    (
        "insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "insufficient_credits",
        "credits_exhausted", "payment_required", "arrearage", "exceeded_current_quota_error", "balance_not_enough",
    )
)  # fmt: skip
"""The same for an account of ours that is empty."""
_KEY_SENTENCE: Final = re.compile(
    r"\W{0,4}(?:error code: ?\d{3} ?[-:]? ?)?(?:(?:incorrect|invalid|missing|expired|wrong|bad|no|unknown) "
    r"(?:or missing )?(?:api|access)[ _-]?(?:key|token)|(?:your |the )?(?:api|access)[ _-]?(?:key|token)"
    r"(?: provided)? (?:is |was )?(?:not valid|invalid|incorrect|expired|missing|not found|disabled)"
    r"|authentication (?:fail|error)|unauthorized|unauthenticated)",
    re.IGNORECASE,
)
"""How such a message begins. Only its beginning: further on stand the tenant's own words."""
_EMPTY_SENTENCE: Final = re.compile(
    r"\W{0,4}(?:you exceeded your current quota|insufficient (?:account )?(?:balance|credit|quota|fund)"
    r"|your (?:credit|account) balance is (?:too low|insufficient)|payment required|account (?:is )?in arrears)",
    re.IGNORECASE,
)
_OVERFLOW: Final = re.compile(
    r"context[_ ]length[_ ]exceeded|exceed_context_size|maximum context length|exceeds the available context size"
    r"|prompt is too long|input is too long|exceeds the (?:model's )?maximum|context window",
    re.IGNORECASE,
)
_ACCOUNT_DATA: Final = re.compile(
    r"https?://\S{1,500}|\b(?:sk|pk|org|proj|user|acct)[-_][\w*.-]{1,200}"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,200}"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b|\[[0-9a-f:]{3,45}\](?::\d{1,5})?",
    re.IGNORECASE,
)
_RETRY_DELAY: Final = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)(ms|s)")
_TRY_AGAIN: Final = re.compile(r"try again in (?:(\d{1,4})m)?(\d{1,6}(?:\.\d{1,6})?)(ms|s)\b", re.IGNORECASE)


def refusal_of(status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal:
    """An upstream's error, read; pure but for the clock, where a date says when to come back."""
    error = error_of(body)
    message = text_of(error.get("message"))[:MOST_MESSAGE]
    detail = f"{status}: {message or body[:300].decode('utf-8', 'replace')}"[:_MOST_DETAIL]
    meaning = _meaning(status, error, message)
    if meaning != "content_refused":
        return Refusal(meaning, retry_after=_retry_after(headers, error, message), detail=detail)
    words = f"{text_of(error.get('type'))[:100]} {text_of(error.get('code'))[:100]} {message}"
    code = "context_length_exceeded" if _OVERFLOW.search(words) else text_of(error.get("code"))
    type_, param = text_of(error.get("type")), text_of(error.get("param"))[:200]
    return Refusal(
        meaning,
        type=type_ if type_ in STANDARD_TYPES else "invalid_request_error",
        code=code if code in STANDARD_CODES else None,
        message=public(message, call) or "The upstream refused the content of this request.",
        param=param if param and param == public(param, call) else None,
        detail=detail,
    )


def _meaning(status: int, error: Mapping[str, Any], message: str) -> Meaning:
    words = {text_of(error.get(name)).lower() for name in ("type", "code", "status", "reason")}
    if status in {400, 402, 403, 429} and (words & _EMPTY_WORDS or _EMPTY_SENTENCE.match(message)):
        return "account_empty"
    if status in _KEY or (status == 400 and (words & _KEY_WORDS or _KEY_SENTENCE.match(message))):
        return "key_refused"
    if status in _CONTENT:
        return "content_refused"
    return "rest" if status == 429 else "retry"


def _retry_after(headers: Mapping[bytes, bytes], error: Mapping[str, Any], message: str) -> float | None:
    """Seconds: of the headers (RFC 9110, section 10.2.3, both forms; OpenAI's in milliseconds), else of the body."""
    milliseconds = _number(headers.get(b"retry-after-ms", b""))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get(b"retry-after", b"")
    seconds = _number(told)
    if seconds is None and told:
        seconds = _seconds_until(told, headers.get(b"date", b""))
    return seconds if seconds is not None else _delay_in(error, message)


def _number(text: bytes) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def _seconds_until(date: bytes, now: bytes) -> float | None:
    """From the upstream's own clock where it tells it: ours may differ."""
    try:
        then = parsedate_to_datetime(date[:64].decode("latin-1")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    try:
        start = parsedate_to_datetime(now[:64].decode("latin-1")).timestamp()
    except (ValueError, TypeError, OverflowError):
        start = time.time()
    return min(max(0.0, then - start), _MOST_REST)


def _delay_in(error: Mapping[str, Any], message: str) -> float | None:
    """Google's RetryInfo, and the sentence in which OpenAI and Groq say it."""
    details = error.get("details")
    for entry in details[:16] if type(details) is list else ():
        delay = _RETRY_DELAY.fullmatch(text_of(entry.get("retryDelay"))[:32]) if type(entry) is dict else None
        if delay:
            return float(delay[1]) / (1000 if delay[2] == "ms" else 1)
    said = _TRY_AGAIN.search(message)
    if said is None:
        return None
    return int(said[1] or 0) * 60 + float(said[2]) / (1000 if said[3].lower() == "ms" else 1)


def error_of(body: bytes) -> dict[str, Any]:
    """The error object in any of the shapes that upstreams send; {} where none can be made out."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return error_in(value)


def error_in(value: Any, depth: int = 0) -> dict[str, Any]:
    """The same of a value: an object, a list with one (Google's), a text, or one inside `error`, `detail`, `errors`."""
    if type(value) is list:
        parts = [part for part in (error_in(entry, depth + 1) for entry in value[:8]) if part]
        if len(parts) > 1:
            return {**parts[0], "message": "; ".join(text_of(part.get("message")) for part in parts)[:MOST_MESSAGE]}
        return parts[0] if parts else {}
    if type(value) is str:
        return {"message": value}
    if type(value) is not dict or depth > 4:
        return {}
    for name in ("error", "detail", "errors", "base_resp"):
        inner = value.get(name)
        if inner:
            found = error_in(inner, depth + 1)
            if found:
                return {**{key: value[key] for key in ("code", "type", "param") if key in value}, **found}
    return _named(value)


def _named(value: dict[str, Any]) -> dict[str, Any]:
    """An error's own members under OpenAI's names; FastAPI says `loc` and `msg`."""
    message = next(
        (text for name in ("message", "msg", "status_msg", "error_msg", "error_message", "reason", "title")
         if (text := text_of(value.get(name)))),
        "",
    )  # fmt: skip
    location = value.get("loc")
    if message and type(location) is list:
        place = ".".join(str(part) for part in location[:8] if type(part) in (str, int) and part != "body")
        message = f"{place}: {message}" if place else message
    return {**value, "message": message} if message else value


def public(message: str, call: UpstreamCall) -> str:
    """An upstream's message without addresses, accounts, keys, or the upstream's own name of the model."""
    message = message[:MOST_MESSAGE]
    if call.secret:
        message = message.replace(call.secret, "…")
    model = call.body.get("model")
    if call.upstream_model and type(model) is str:
        message = message.replace(call.upstream_model, model)
    message = _ACCOUNT_DATA.sub("…", message)
    if call.host:
        message = message.replace(call.host, "the upstream")
    return message[:MOST_MESSAGE].strip()


def text_of(value: Any) -> str:
    """The value if it is text, else nothing."""
    return value if type(value) is str else ""
