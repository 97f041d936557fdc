"""Reading an answer as OpenAI-compatible servers send it: liberal, so that a quirk never ends a good answer.

Whatever comes is brought into the canonical shape here (null and absent members, other vendors' finish reasons, tool
calls without place or id, usage in unexpected places), so that endpoints see one shape. Only what cannot be read as
JSON, carries an error, or says that the answer failed, ends it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NoReturn

import msgspec
import orjson

from billing.kinds import Usage
from routing.providers.base import END, End, Event, MalformedAnswer
from routing.providers.openai.finish import OURS, finish_reason
from routing.providers.openai.refusals import error_in, text_of
from routing.providers.openai.tools import ToolCalls, complete_calls, place_of
from routing.providers.openai.usage import usage_of
from routing.wire.events import Comment, EventParser, EventTooLarge

_DONE: Final = b"[DONE]"
_MOST_DONE_BYTES: Final = 16
_BESIDE: Final = frozenset(("usage", "x_groq", "error"))
"""What may stand in a chunk beside its choices and is ours to read."""
_MOST_CHOICES: Final = 128
_FAR_AWAY: Final = {"NaN": -9999.0, "-Infinity": -9999.0, "Infinity": 9999.0}
"""As OpenAI writes the logarithm of what never happens."""


class OpenAIReader:
    """One answer. Usage is taken out wherever it appears; the last figures that can be believed win.

    Some servers tell a total for each of several choices. Each names the whole prompt, so only their output is added.
    """

    usage: Usage | None = None
    is_exact = True
    is_partial = False
    reported: Mapping[str, Any] = MappingProxyType({})
    remark = ""
    _totals = 0
    _noise = b""
    """The first line that was no field of an event."""
    _has_begun = False

    def __init__(self, answers: int = 1, *, has_output: bool = True) -> None:
        self._answers = answers
        self._has_output = has_output

    # What only streams need.

    @cached_property
    def _parser(self) -> EventParser:
        return EventParser()

    @cached_property
    def _calls(self) -> dict[Any, ToolCalls]:
        return {}

    @cached_property
    def _finished(self) -> set[int]:
        """Choices that have their finish reason."""
        return set()

    def feed(self, data: bytes | None) -> list[Event]:
        events: list[Event] = []
        try:
            for event in self._parser.finish() if data is None else self._parser.feed(data):
                if type(event) is bytes:
                    if len(event) <= _MOST_DONE_BYTES and event.strip() == _DONE:
                        events.append(END)
                        break
                    chunk = self.read_chunk(event)
                    if chunk is not None:
                        events.append(chunk)
                        self._has_begun = True
                elif type(event) is Comment:
                    events.append(event)
                else:
                    self._noise = self._noise or event
            if data is None and self._noise and not self._has_begun:
                self._say_noise()
        except MalformedAnswer as error:
            events.append(self._broken(error))
        except EventTooLarge:
            events.append(self._broken(MalformedAnswer("an event is too large")))
        return events

    def _say_noise(self) -> NoReturn:
        """No event came, but something did: an upstream that answers in another form says why there."""
        try:
            error = error_in(orjson.loads(self._noise))
        except orjson.JSONDecodeError:
            error = {}
        words = text_of(error.get("message")) or self._noise.decode("utf-8", "replace")
        raise MalformedAnswer(f"no events came, but: {words[:300]}")

    def _broken(self, error: MalformedAnswer) -> End:
        """After the last finish reason nothing makes a failure of a whole answer any more."""
        return END if len(self._finished) >= self._answers else End(error)

    def read_chunk(self, data: bytes) -> dict[str, Any] | None:
        """One chunk, None where there is nothing to show; raises MalformedAnswer."""
        chunk = _parse_event(data)
        if chunk is None:
            return None
        choices = chunk.get("choices")
        if choices is None:
            choices = chunk["choices"] = []
        if type(choices) is not list:
            raise MalformedAnswer("the chunk has no choices")
        has_usage = not _BESIDE.isdisjoint(chunk) and self._take_usage(chunk, choices)
        if not choices and (has_usage or not _is_chunk(chunk)):
            return None
        for choice in choices:
            self._complete(choice)
            if "usage" in choice:  # Moonshot's
                self.note_usage(choice.pop("usage"), is_total=False)
                has_usage = True
        if has_usage:
            return chunk if any(map(_says_something, choices)) else None
        if self.usage is not None and any(map(_says_something, choices)):
            self.is_partial = True
        return chunk

    def _complete(self, choice: Any) -> None:
        """Brings a choice into the canonical shape; raises MalformedAnswer."""
        if type(choice) is not dict:
            raise MalformedAnswer("a choice has no delta")
        delta = choice.get("delta")
        if type(delta) is not dict:
            if delta is not None:
                raise MalformedAnswer("a choice has no delta")
            delta = choice["delta"] = _message_of(choice)
        index = choice.get("index")
        if type(index) is not int:
            index = choice["index"] = 0 if index is None else place_of(index, "a choice")
        if len(delta) > 1 or type(delta.get("content")) is not str:
            self._complete_delta(delta, index)
        if choice.get("finish_reason") is not None:
            reason = choice["finish_reason"] = self._finish_reason(choice["finish_reason"])
            if reason is not None and 0 <= index < _MOST_CHOICES:
                self._finished.add(index)

    def _complete_delta(self, delta: dict[str, Any], index: int) -> None:
        """What more than plain text needs."""
        if type(delta.get("content")) is list:
            _join_parts(delta)
        if delta.get("tool_calls") is not None:
            delta["tool_calls"] = self._calls_of(index).complete(delta["tool_calls"])
        if not delta.get("role", True):
            del delta["role"]

    def _finish_reason(self, said: Any) -> str | None:
        reason = finish_reason(said)
        if reason is None and type(said) is str and said:
            self.remark = f"a finish reason that nobody knows: {said[:60]!r}"
        return reason

    def _calls_of(self, index: Any) -> ToolCalls:
        if type(index) is not int or not 0 <= index < _MOST_CHOICES:
            raise MalformedAnswer("a choice without a place")
        calls = self._calls.get(index)
        if calls is None:
            calls = self._calls[index] = ToolCalls()
        return calls

    def _take_usage(self, chunk: dict[str, Any], choices: list[Any]) -> bool:
        """Reads usage wherever it stands and takes it out; whether there was any. Raises MalformedAnswer for an error.

        The usage beside an error counts.
        """
        found = False
        if "usage" in chunk:
            reported = chunk.pop("usage")
            found = reported is not None
            if found:
                self.note_usage(reported, is_total=not choices)
        inner = chunk.get("x_groq")
        if type(inner) is dict and "usage" in inner:
            self.note_usage(inner.pop("usage"), is_total=not choices)
            found = True
        if chunk.get("error"):
            raise_error(chunk["error"])
        return found

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
        self.usage, self.reported, self.is_partial = usage, reported, False

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = _parse(body)
        if answer.get("error") or answer.get("object") == "error":
            raise_error(answer.get("error") or answer)
        choices = answer.get("choices")
        for place, choice in enumerate(choices) if type(choices) is list else ():
            if type(choice) is dict:
                if type(choice.get("index")) is not int:
                    choice["index"] = place
                reason = choice.get("finish_reason")
                if type(reason) is not str or reason not in OURS:
                    choice["finish_reason"] = self._finish_reason(reason)
                if not _is_plain(choice):
                    _complete_whole(choice)
        reported = answer.get("usage")
        if reported is None and type(choices) is list:
            reported = next((each["usage"] for each in choices if type(each) is dict and each.get("usage")), None)
        self.usage = usage_of(reported, has_output=self._has_output)
        self.reported = reported if type(reported) is dict else {}
        return answer


def _says_something(choice: dict[str, Any]) -> bool:
    return choice.get("finish_reason") is not None or any(
        value for name, value in choice["delta"].items() if name != "role"
    )


def _is_chunk(chunk: dict[str, Any]) -> bool:
    """Whether an event without choices is a chunk at all: not a ping, nor whatever else comes under another name.

    Raises MalformedAnswer for an error under that name.
    """
    name = chunk.get("object", "")
    if name == "error":
        raise_error(chunk)
    return str(name).startswith("chat.completion") or "prompt_filter_results" in chunk


def _is_plain(choice: dict[str, Any]) -> bool:
    """Whether a whole choice has the canonical shape: text and no more, as most have."""
    message = choice.get("message")
    return (
        type(message) is dict
        and type(message.get("content")) is str
        and "tool_calls" not in message
        and "usage" not in choice
    )


def _complete_whole(choice: dict[str, Any]) -> None:
    """Brings a choice of a whole answer into the canonical shape."""
    choice.pop("usage", None)
    message = choice.get("message")
    if message is None:
        message = choice["message"] = _message_of(choice) or None
    if type(message) is not dict:
        return
    if message.get("tool_calls") is not None:
        calls = complete_calls(message["tool_calls"])
        if calls:
            message["tool_calls"] = calls
        else:
            del message["tool_calls"]
    if type(message.get("content")) is list:
        _join_parts(message)


def _message_of(choice: dict[str, Any]) -> dict[str, Any]:
    """What a choice says outside its usual place: some stream whole messages, some a completion's text."""
    for name in ("message", "delta"):
        if type(choice.get(name)) is dict:
            said: dict[str, Any] = choice.pop(name)
            return said
    text = choice.pop("text", None)
    return {"content": text} if type(text) is str else {}


def _join_parts(message: dict[str, Any]) -> None:
    """Content that came as parts, as text: what was thought (Mistral's `thinking`) apart from what is said.

    Raises MalformedAnswer for a part that is none.
    """
    said, thought = [], []
    for part in message["content"]:
        if type(part) is str:
            said.append(part)
        elif type(part) is dict and part.get("thinking"):
            inner = part["thinking"]
            thought += (
                [text_of(each.get("text")) for each in inner if type(each) is dict] if type(inner) is list else []
            )
            thought.append(text_of(inner))
        elif type(part) is dict:
            said.append(text_of(part.get("text")))
        elif part is not None:
            raise MalformedAnswer("a part of the content that is none")
    message["content"] = "".join(said)
    if any(thought) and not message.get("reasoning_content"):
        message["reasoning_content"] = "".join(thought)


def _parse_event(data: bytes) -> dict[str, Any] | None:
    """An event's object, None where it is blank; raises MalformedAnswer."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _parse(data) if data.strip() else None
    return value if type(value) is dict else _parse(data)


def _parse(body: bytes) -> dict[str, Any]:
    """Raises MalformedAnswer for what is no JSON object."""
    try:
        value = orjson.loads(body)
        if type(value) is dict:
            return value
    except orjson.JSONDecodeError as error:
        value = _parse_loosely(body)
        if value is None:
            raise MalformedAnswer(f"the answer is not JSON: {body[:120].decode('utf-8', 'replace')}") from error
    if type(value) is list and len(value) == 1:  # Google's compatible endpoint sends errors so
        value = value[0]
    if type(value) is not dict:
        raise MalformedAnswer("the answer is not a JSON object")
    return value


def _parse_loosely(body: bytes) -> Any:
    """What some servers write and RFC 8259 does not allow; None for what is not even that.

    A byte order mark, NaN and infinity where a model's numbers overflowed, letters that were cut in two between chunks.
    """
    try:
        value = json.loads(body.decode("utf-8-sig", "replace"), parse_constant=_FAR_AWAY.__getitem__)
        text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return orjson.loads(text)
    except (ValueError, RecursionError):
        return None


def raise_error(error: Any) -> NoReturn:
    message = text_of(error_in(error).get("message")) or str(error)
    raise MalformedAnswer(f"an error came instead of an answer: {message[:300]}")
