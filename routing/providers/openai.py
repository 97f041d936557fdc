"""OpenAI's chat format: the canonical shape, for every OpenAI-compatible vendor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgspec
import orjson

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS, MalformedAnswer, Meaning, Order, Refusal, UpstreamRequest

_EXTENSIONS: Final = frozenset(("models", "provider", "usage"))
_HEADERS: Final[tuple[tuple[str, str], ...]] = (
    ("content-type", "application/json"),
    ("accept", "application/json"),
    ("accept-encoding", "identity"),
    ("user-agent", "CostRouter"),
)
_STREAM_HEADERS: Final = tuple((name, "text/event-stream" if name == "accept" else value) for name, value in _HEADERS)
_NEW_CAP_ONLY: Final = re.compile(r"(^|\.)(openai\.com|openai\.azure\.com)$")
"""Vendors whose newer models refuse `max_tokens`; everybody else knows it at least as well as the newer name."""

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
    r"context[_ ]length[_ ]exceeded|exceed_context_size|maximum context length|exceeds the available context size",
    re.IGNORECASE,
)
_ACCOUNT_DATA: Final = re.compile(
    r"https?://\S+|\b(?:sk|pk|org|proj|user|acct)[-_][\w*.-]+|[\w.+-]+@[\w-]+\.[\w.-]+"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[[0-9a-f:]{3,}\](?::\d+)?",
    re.IGNORECASE,
)
_CONTENT: Final = frozenset((400, 413, 422))
_KEY: Final = frozenset((401, 402, 403))
_KEY_ERRORS: Final = ("authentication_error", "auth_error", "invalid_api_key", "no_db_connection")
"""Types and codes under which some servers, LiteLLM's proxy among them, refuse a key with 400."""
_MOST_MESSAGE: Final = 1000


class OpenAI:
    label = "OpenAI-compatible"

    def request(self, order: Order) -> UpstreamRequest:
        """The client's body with the model's upstream name, the output cap, and usage asked for in streams."""
        body = {**order.body}
        if not _EXTENSIONS.isdisjoint(body):
            body = {name: value for name, value in body.items() if name not in _EXTENSIONS}
        body["model"] = order.upstream_model
        self._set_cap(body, order)
        headers = _HEADERS
        if order.is_stream:
            headers = _STREAM_HEADERS
            body["stream"] = True
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
            if order.wants_timings:
                body.setdefault("timings_per_token", True)
        if order.secret:
            headers = (*headers, ("authorization", f"Bearer {order.secret}"))
        return UpstreamRequest("/chat/completions", headers, orjson.dumps(body))

    @staticmethod
    def _set_cap(body: dict[str, Any], order: Order) -> None:
        """Under the name or names that the client chose, else under the one that the vendor knows."""
        has_newer = body.get("max_completion_tokens") is not None
        if has_newer:
            body["max_completion_tokens"] = order.cap
        if body.get("max_tokens") is not None:
            body["max_tokens"] = order.cap
        elif not has_newer:
            body["max_completion_tokens" if _NEW_CAP_ONLY.search(order.host) else "max_tokens"] = order.cap

    def answer(self, body: bytes) -> dict[str, Any]:
        answer = self._object(body)
        choices = answer.get("choices")
        if type(choices) is not list or not choices:
            raise MalformedAnswer("the answer has no choices")
        for choice in choices:
            if type(choice) is not dict or type(choice.get("message")) is not dict:
                raise MalformedAnswer("a choice has no message")
        return answer

    def event(self, data: bytes) -> dict[str, Any]:
        chunk = self._object(data)
        choices = chunk.get("choices")
        if type(choices) is not list:
            raise MalformedAnswer("the chunk has no choices")
        for choice in choices:
            if type(choice) is not dict or type(choice.get("delta")) is not dict:
                raise MalformedAnswer("a choice has no delta")
        return chunk

    @staticmethod
    def _object(body: bytes) -> dict[str, Any]:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedAnswer("the answer is not JSON") from error
        if type(value) is not dict:
            raise MalformedAnswer("the answer is not a JSON object")
        if value.get("error"):
            _raise_error(value["error"])
        return value

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, order: Order) -> Refusal:
        error = _error_of(body)
        detail = f"{status}: {error.get('message') or body[:300].decode('utf-8', 'replace')}"[:500]
        meaning = _meaning(status, error)
        if meaning != "content_refused":
            return Refusal(meaning, retry_after=_retry_after(headers), detail=detail)
        text = f"{error.get('type')} {error.get('code')} {error.get('message')}"
        code = "context_length_exceeded" if _OVERFLOW.search(text) else _text(error.get("code"))
        type_, param = _text(error.get("type")), _text(error.get("param"))
        return Refusal(
            meaning,
            type=type_ if type_ in STANDARD_TYPES else "invalid_request_error",
            code=code if code in STANDARD_CODES else None,
            message=_public(_text(error.get("message")), order) or "The upstream refused the content of this request.",
            param=param if param and param == _public(param, order) else None,
            detail=detail,
        )

    def answer_usage(self, answer: Mapping[str, Any], choices: int) -> tuple[Usage | None, bool]:
        usage = self.usage(answer.get("usage"))
        timings = answer.get("timings")
        if usage is None or choices == 1 or type(timings) is not dict or timings.get("predicted_n") != usage.output:
            return usage, usage is not None
        # llama.cpp's server counts one choice of several: the others are counted here, as well as they can be.
        counts = [_tokens_of(choice) for choice in answer["choices"]]
        output = max(usage.output, sum(count for count, _is_exact in counts))
        return msgspec.structs.replace(usage, output=output), all(is_exact for _count, is_exact in counts)

    def usage(self, reported: Any) -> Usage | None:
        if type(reported) is not dict:
            return None
        input_, output = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
        if input_ is None or output is None or input_ + output == 0:
            return None
        prompt = reported.get("prompt_tokens_details")
        completion = reported.get("completion_tokens_details")
        if not prompt and not completion:
            return Usage(input=input_, output=output)
        cached = min(_part(prompt, "cached_tokens"), input_)
        written = min(_part(prompt, "cache_write_tokens"), input_ - cached)
        heard = min(_part(prompt, "audio_tokens"), input_ - cached - written)
        reasoning = min(_part(completion, "reasoning_tokens"), output)
        spoken = min(_part(completion, "audio_tokens"), output - reasoning)
        return Usage(
            input=input_,
            cached_input=cached,
            cache_write=written,
            input_audio=heard,
            output=output,
            reasoning=reasoning,
            output_audio=spoken,
        )


def _tokens_of(choice: dict[str, Any]) -> tuple[int, bool]:
    """A choice's output tokens, and whether they were counted (by its log probabilities) or estimated."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if type(logprobs) is dict else None
    if content:
        return len(content), True
    return -(-len(_text(choice["message"].get("content")).encode()) // 4), False


def _raise_error(error: Any) -> NoReturn:
    message = error.get("message") if type(error) is dict else error
    raise MalformedAnswer(f"an error came instead of an answer: {str(message)[:300]}")


def _meaning(status: int, error: dict[str, Any]) -> Meaning:
    if status in _KEY or (status == 400 and (error.get("type") in _KEY_ERRORS or error.get("code") in _KEY_ERRORS)):
        return "key_refused"
    if status in _CONTENT:
        return "content_refused"
    return "rest" if status == 429 else "retry"


def _retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds; the HTTP-date form (RFC 9110, section 10.2.3) is not used by any vendor met so far."""
    try:
        seconds = float(headers.get(b"retry-after", b""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e6 else None


def _error_of(body: bytes) -> dict[str, Any]:
    """The error object in any of the shapes that upstreams send."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if type(value) is not dict:
        return {}
    error = value.get("error", value.get("detail", value.get("message")))
    if type(error) is dict:
        return error
    return {"message": error} if type(error) is str else {}


def _public(message: str, order: Order) -> str:
    """An upstream's message without addresses, accounts, keys, or the upstream's own name of the model."""
    if order.secret:
        message = message.replace(order.secret, "…")
    model = order.body.get("model")
    if order.upstream_model and type(model) is str:
        message = message.replace(order.upstream_model, model)
    message = _ACCOUNT_DATA.sub("…", message)
    if order.host:
        message = message.replace(order.host, "the upstream")
    return message[:_MOST_MESSAGE].strip()


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _count(reported: dict[str, Any], name: str) -> int | None:
    value = reported.get(name)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _part(details: Any, name: str) -> int:
    return (_count(details, name) or 0) if type(details) is dict else 0


OPENAI: Final = OpenAI()
