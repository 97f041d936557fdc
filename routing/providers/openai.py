"""OpenAI's formats: the canonical shapes, for every OpenAI-compatible vendor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgspec
import orjson

from billing.kinds import Usage
from routing.providers.base import (
    END,
    MOST_TOKENS,
    End,
    Event,
    MalformedAnswer,
    Meaning,
    Reader,
    Refusal,
    UpstreamCall,
    UpstreamRequest,
)
from routing.wire.events import Comment, EventParser, EventTooLarge

_EXTENSIONS: Final = frozenset(("models", "provider", "usage"))
_DONE: Final = b"[DONE]"
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
    within = ""

    def speaks(self, endpoint: str) -> bool:
        """Every endpoint's canonical format is OpenAI's; which of them an upstream has, its answers show."""
        return True

    def recognises(self, headers: Mapping[bytes, bytes]) -> bool:
        return False

    def prefers_stream(self, answers: int, *, is_met: bool) -> bool:
        """Until the upstream is known: some servers count several answers in a stream only (ADR 0006)."""
        return answers > 1 and not is_met

    def request(self, call: UpstreamCall) -> UpstreamRequest:
        """The client's body with the model's upstream name, the output cap, and usage asked for in streams."""
        body = {**call.body}
        if not _EXTENSIONS.isdisjoint(body):
            body = {name: value for name, value in body.items() if name not in _EXTENSIONS}
        body["model"] = call.upstream_model
        if call.cap:
            self._set_cap(body, call)
        headers = _HEADERS
        if call.is_stream:
            headers = _STREAM_HEADERS
            body["stream"] = True
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        if call.secret:
            headers = (*headers, ("authorization", f"Bearer {call.secret}"))
        return UpstreamRequest(call.path, headers, orjson.dumps(body))

    @staticmethod
    def _set_cap(body: dict[str, Any], call: UpstreamCall) -> None:
        """Under the name or names that the client chose, else under the one that the vendor knows."""
        has_newer = body.get("max_completion_tokens") is not None
        if has_newer:
            body["max_completion_tokens"] = call.cap
        if body.get("max_tokens") is not None:
            body["max_tokens"] = call.cap
        elif not has_newer:
            body["max_completion_tokens" if _NEW_CAP_ONLY.search(call.host) else "max_tokens"] = call.cap

    def open(self, call: UpstreamCall) -> Reader:
        return OpenAIReader(call.answers, has_output=bool(call.cap))

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal:
        error = _error_of(body)
        detail = f"{status}: {error.get('message') or body[:300].decode('utf-8', 'replace')}"[:500]
        meaning = _meaning(status, error)
        if meaning != "content_refused":
            return Refusal(meaning, retry_after=_retry_after(headers), detail=detail)
        text = f"{error.get('type')} {error.get('code')} {error.get('message')}"
        code = "context_length_exceeded" if _OVERFLOW.search(text) else text_of(error.get("code"))
        type_, param = text_of(error.get("type")), text_of(error.get("param"))
        return Refusal(
            meaning,
            type=type_ if type_ in STANDARD_TYPES else "invalid_request_error",
            code=code if code in STANDARD_CODES else None,
            message=_public(text_of(error.get("message")), call) or "The upstream refused the content of this request.",
            param=param if param and param == _public(param, call) else None,
            detail=detail,
        )


class OpenAIReader:
    """One answer. Usage is taken out wherever it appears; the last figures that can be believed win.

    Some servers tell a total for each of several choices. Each names the whole prompt, so only their output is added.
    """

    def __init__(self, answers: int = 1, *, has_output: bool = True) -> None:
        self._parser = EventParser()
        self._answers = answers
        self._has_output = has_output
        self._totals = 0
        self.usage: Usage | None = None
        self.is_exact = True
        self.reported: Mapping[str, Any] = {}

    def feed(self, data: bytes | None) -> list[Event]:
        events: list[Event] = []
        try:
            for event in self._parser.finish() if data is None else self._parser.feed(data):
                if type(event) is Comment:
                    events.append(event)
                elif event == _DONE:
                    events.append(END)
                    break
                else:
                    chunk = self.read_chunk(event)
                    if chunk is not None:
                        events.append(chunk)
        except MalformedAnswer as error:
            events.append(End(error))
        except EventTooLarge:
            events.append(End(MalformedAnswer("an event is too large")))
        return events

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        """One chunk, None if it carried nothing but usage; raises MalformedAnswer."""
        chunk = _object(data)
        reported = chunk.pop("usage", None)
        if reported is not None:
            choices = chunk.get("choices")
            self.note_usage(reported, is_total=not choices)
            if type(choices) is list and not any(map(_says_something, choices)):
                return None
        return chunk

    def note_usage(self, reported: Any, *, is_total: bool) -> None:
        """`is_total`: the figures came alone, behind the answer."""
        usage, before = usage_of(reported, has_output=self._has_output), self.usage
        if usage is None:
            return
        if is_total and self._answers > 1:
            self._totals += 1
            if before is not None and 1 < self._totals <= self._answers:
                output, reasoning = before.output + usage.output, before.reasoning + usage.reasoning
                usage = msgspec.structs.replace(usage, output=output, reasoning=reasoning)
        self.usage, self.reported = usage, reported

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = _object(body)
        reported = answer.get("usage")
        self.usage = usage_of(reported, has_output=self._has_output)
        self.reported = reported if type(reported) is dict else {}
        return answer


def _says_something(choice: Any) -> bool:
    """Whether a choice beside a usage is more than its carrier; what is no choice is for others to judge."""
    if type(choice) is not dict or type(choice.get("delta")) is not dict:
        return True
    return choice.get("finish_reason") is not None or any(
        value for name, value in choice["delta"].items() if name != "role"
    )


def usage_of(reported: Any, *, has_output: bool = True) -> Usage | None:
    """The counts an upstream reported, None if they cannot be believed (negative, text, missing).

    An endpoint without output has no `completion_tokens`.
    """
    if type(reported) is not dict:
        return None
    input_ = _count(reported, "prompt_tokens")
    output = _count(reported, "completion_tokens") if has_output else 0
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


def _object(body: bytes) -> dict[str, Any]:
    """Raises MalformedAnswer for what is no JSON object, and for an error that came in place of an answer."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswer("the answer is not JSON") from error
    if type(value) is not dict:
        raise MalformedAnswer("the answer is not a JSON object")
    if value.get("error"):
        _raise_error(value["error"])
    return value


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


def _public(message: str, call: UpstreamCall) -> str:
    """An upstream's message without addresses, accounts, keys, or the upstream's own name of the model."""
    if call.secret:
        message = message.replace(call.secret, "…")
    model = call.body.get("model")
    if call.upstream_model and type(model) is str:
        message = message.replace(call.upstream_model, model)
    message = _ACCOUNT_DATA.sub("…", message)
    if call.host:
        message = message.replace(call.host, "the upstream")
    return message[:_MOST_MESSAGE].strip()


def text_of(value: Any) -> str:
    """The value if it is text, else nothing."""
    return value if type(value) is str else ""


def _count(reported: dict[str, Any], name: str) -> int | None:
    value = reported.get(name)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _part(details: Any, name: str) -> int:
    return (_count(details, name) or 0) if type(details) is dict else 0


OPENAI: Final = OpenAI()
