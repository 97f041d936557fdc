"""An upstream's error, in whatever form it comes: its words, and what of them a tenant may read.

What it means stands in meanings.py, how long to leave the upstream alone in rests.py.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

from routing.providers.base import Refusal, UpstreamCall
from routing.providers.openai import loose, rests
from routing.providers.openai.meanings import meaning_of

MOST_MESSAGE: Final = 1000
"""Characters of an upstream's message that are looked at: patterns never meet more."""
_MOST_DETAIL: Final = 500

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
_OVERFLOW: Final = re.compile(
    r"context[_ ]length[_ ]exceeded|exceed_context_size|maximum context length|exceeds the available context size"
    r"|prompt is too long|input is too long|exceeds the (?:model's )?maximum|context window|exceed context limit"
    r"|is too large to process",
    re.IGNORECASE,
)
_ACCOUNT_DATA: Final = re.compile(
    r"https?://\S{1,500}|\b(?:sk|pk|org|proj|user|acct)[-_][\w*.-]{1,200}"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,200}"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b|\[[0-9a-f:]{3,45}\](?::\d{1,5})?",
    re.IGNORECASE,
)
_CONTAINERS: Final = ("error", "detail", "errors", "base_resp", "Error", "Response", "ResponseMetadata", "fault")
"""Where an object with an error has it: also MiniMax, AWS, Tencent, Volcengine, Apigee."""
_ENVELOPES: Final = ("header", "data", "result", "response", "output")
"""The same where the object has no words of its own; Spark's is the header."""
_BESIDE: Final = frozenset(
    (
        "code", "type", "param", "status", "details", "metadata", "__type", "error_type", "errorType", "retry_after",
        "retryAfter", "retry_after_seconds", "retry_after_ms", "estimated_time",
    )
)  # fmt: skip
"""What stands beside an error inside another, and says something of it."""
_WORDS_BESIDE: Final = ("message", "error_description", "errorMessage", "Message", "msg")
"""Where the words stand if `error` is only their heading: OAuth (RFC 6749, section 5.2), NestJS, Spring."""
_WORDS: Final = (
    *_WORDS_BESIDE, "status_msg", "error_msg", "error_message", "err_msg", "errmsg", "faultstring", "reason", "title",
    "err",
)  # fmt: skip
_MOST_DEPTH: Final = 6
_MOST_PARTS: Final = 8
_MOST_SEARCHED: Final = 8000
"""Characters in which words are looked for where a body cannot be parsed."""
_CUT_MESSAGE: Final = re.compile(r'"(?:message|msg)"\s{0,8}:\s{0,8}"((?:[^"\\\n]|\\.){1,1000})')
_MARKED_MESSAGE: Final = re.compile(r"<(?:\w{1,20}:)?(?:message|faultstring)>([^<]{1,1000})<", re.IGNORECASE)


def refusal_of(status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal:
    """An upstream's error, read; pure but for the clock, where a date says when to come back."""
    error = error_of(body, is_text=headers.get(b"content-type", b"").startswith(b"text/plain"))
    message = text_of(error.get("message"))[:MOST_MESSAGE]
    detail = f"{status}: {message or body[:300].decode('utf-8', 'replace')}"[:_MOST_DETAIL]
    rest = rests.told(headers, error, message)
    meaning = meaning_of(status, headers, error, message, rest)
    if meaning != "content_refused":
        return Refusal(meaning, retry_after=rests.until_reset(headers) if rest is None else rest, detail=detail)
    words = f"{text_of(error.get('type'))[:100]} {text_of(error.get('code'))[:100]} {message}"
    code = "context_length_exceeded" if _OVERFLOW.search(words) else text_of(error.get("code"))
    type_, param = text_of(error.get("type")), text_of(error.get("param"))[:200]
    return Refusal(
        meaning,
        type=type_ if type_ in STANDARD_TYPES and type_ != "server_error" else "invalid_request_error",
        code=code if code in STANDARD_CODES else None,
        message=public(message, call) or "The upstream refused the content of this request.",
        param=param if param and param == public(param, call) else None,
        detail=detail,
    )


# --- an error's shape ------------------------------------------------------------------------------------------------


def error_of(body: bytes, *, is_text: bool = False) -> dict[str, Any]:
    """The error object in any of the shapes that upstreams send; {} where none can be made out.

    `is_text`: the body says of itself that it is plain text, so that its words may be taken as they are.
    """
    value = _json_of(body)
    if value is not None:
        return unwrapped_error(error_in(value))
    text = body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        return _of_markup(text[:_MOST_SEARCHED])
    if text.startswith(("{", "[")):  # cut off, or broken: FastAPI repeats the whole request behind its words
        said = _CUT_MESSAGE.search(text[:_MOST_SEARCHED])
        words = text_of(_json_of(b'"%b"' % said[1].encode("utf-8", "replace"))) if said else ""
        return {"message": words} if words else {}
    return _of_events(text) or ({"message": text[:MOST_MESSAGE]} if is_text and text else {})


def error_in(value: Any, depth: int = 0) -> dict[str, Any]:
    """The same of a value: an object, a list with one (Google's), a text, or one inside `error`, `detail`, `errors`."""
    if type(value) is str:
        return {"message": value}
    if depth > _MOST_DEPTH:
        return {}
    if type(value) is list:
        parts = [part for part in (error_in(entry, depth + 1) for entry in value[:_MOST_PARTS]) if part]
        if len(parts) > 1:
            return {**parts[0], "message": _joined([text_of(part.get("message")) for part in parts])}
        return parts[0] if parts else {}
    if type(value) is not dict:
        return {}
    for name in _CONTAINERS:
        found = _inside(value, name, depth)
        if found:
            return {**{key: value[key] for key in _BESIDE & value.keys()}, **found}
    named = _named(value, depth)
    if "message" in named:
        return named
    inner = (_inside(value, name, depth) for name in _ENVELOPES if type(value.get(name)) is dict)
    return next((each for each in inner if text_of(each.get("message"))), named)


def _inside(value: dict[str, Any], name: str, depth: int) -> dict[str, Any]:
    inner = value.get(name)
    if not inner:
        return {}
    if name == "error" and type(inner) is str:
        words = _first_words(value, _WORDS_BESIDE, depth)
        return {"code": value.get("code") or inner, "message": words} if words else {"message": inner}
    found = error_in(inner, depth + 1)
    if name in {"errors", "detail"} and type(inner) is dict and not text_of(found.get("message")):
        words = _by_field(inner, depth)
        return {**found, "message": words} if words else found
    return found


def _named(value: dict[str, Any], depth: int) -> dict[str, Any]:
    """An error's own members under OpenAI's names; FastAPI says `loc` and `msg`, AWS `Message`."""
    message = _first_words(value, _WORDS, depth)
    location = value.get("loc")
    if message and type(location) is list:
        place = ".".join(str(part) for part in location[:8] if type(part) in (str, int) and part != "body")
        message = f"{place}: {message}" if place else message
    code = value.get("Code")
    named = {**value, "code": code} if code and "code" not in value else value
    return {**named, "message": message} if message else named


def _first_words(value: dict[str, Any], names: tuple[str, ...], depth: int) -> str:
    return next((words for name in names if (words := _words(value.get(name), depth))), "")


def _words(value: Any, depth: int) -> str:
    """Of a text; of a list or an object where a text should stand (Mistral's `message`)."""
    if type(value) is str:
        return value
    return text_of(error_in(value, depth + 1).get("message")) if type(value) in (list, dict) else ""


def _by_field(fields: dict[str, Any], depth: int) -> str:
    """Rails, Laravel and .NET say what is wrong with each field: `{"temperature": ["is too high"]}`."""
    told = ((name, _words(fields[name], depth)) for name in list(fields)[:_MOST_PARTS])
    return _joined([f"{name}: {words}" for name, words in told if words])


def _joined(parts: list[str]) -> str:
    return "; ".join(part[:MOST_MESSAGE] for part in parts if part)[:MOST_MESSAGE]


def unwrapped_error(error: dict[str, Any]) -> dict[str, Any]:
    """An upstream's upstream may have said it: in OpenRouter's `metadata.raw`, or as JSON inside the message."""
    metadata, message = error.get("metadata"), text_of(error.get("message"))
    raw = metadata.get("raw") if type(metadata) is dict else None
    for nested in (raw, message):
        value = _json_of(nested.encode("utf-8", "replace")) if type(nested) is str and nested[:1] in "{[" else nested
        found = error_in(value) if type(value) in (dict, list) else {}
        if text_of(found.get("message")):
            return {**error, **found}
    if text_of(raw) and message.lower() == "provider returned error":
        return {**error, "message": raw}
    return error


# --- a body that is no JSON ------------------------------------------------------------------------------------------


def _json_of(body: bytes) -> Any:
    """The value, as loosely as it may be written; None where there is none."""
    value = loose.strictly(body)
    return loose.without_halves(loose.loosely(body, lambda _name: None)) if value is None else value


def _of_markup(text: str) -> dict[str, Any]:
    """The words of an XML error (AWS, gateways); what else stands in markup was written for people, about the host."""
    said = _MARKED_MESSAGE.search(text)
    return {"message": html.unescape(said[1]).strip()} if said else {}


def _of_events(text: str) -> dict[str, Any]:
    """An error that came as an event (DashScope): the first that says something."""
    for line in text[:_MOST_SEARCHED].splitlines()[:64]:
        if line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            value = _json_of(data.encode("utf-8", "replace"))
            error = unwrapped_error(error_in(data if value is None else value))
            if text_of(error.get("message")):
                return error
    return {}


# --- what a tenant may read ------------------------------------------------------------------------------------------


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
