"""Reading Anthropic's answers and events (platform.claude.com/docs/en/build-with-claude/streaming) as they are.

Liberal as the reader of OpenAI's formats is, and for the same reasons: other servers speak this format too. Only what
cannot be read as JSON, carries an error, or says that the answer failed, ends it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NoReturn

import orjson

from billing.kinds import Usage
from routing.providers import digits
from routing.providers.anthropic.pieces import pieces_of
from routing.providers.anthropic.shapes import Places, blocks_of, canonical, reason_in, says_something
from routing.providers.anthropic.stops import finish_of, stop_of
from routing.providers.anthropic.usage import merged, tells_output, usage_of
from routing.providers.base import END, End, Event, MalformedAnswer
from routing.providers.openai import loose
from routing.providers.openai.asides import Asides, refuse_line
from routing.providers.openai.call import CUT, Call
from routing.providers.openai.costs import told_cost
from routing.providers.openai.failures import is_error, raise_failure, refuse_words, says_failure, shown
from routing.providers.openai.finish import GOOD_ENDS
from routing.providers.openai.refusals import error_in, text_of
from routing.providers.openai.shapes import MOST_END_BYTES, Several, is_end, objects_in, without_name
from routing.providers.openai.tools import json_of
from routing.providers.openai.usage import object_of
from routing.providers.openai.wrapped import unwrapped
from routing.wire.events import Comment, EventParser, EventTooLarge, Failure

_DONE: Final = b"[DONE]"
"""OpenAI's end, which gateways between may put behind Anthropic's."""
_BRINGS: Final = frozenset(("content_block_start", "content_block_delta"))
_BEDROCKS: Final = "amazon-bedrock-invocationMetrics"
_KINDS: Final = re.compile(rb"message_(?:start|delta|stop)|content_block_(?:start|delta|stop)")
_PING: Final = Comment(b": ping")
_FAR_AWAY: Final = {"NaN": None, "Infinity": None, "-Infinity": None}
_MOST_HALVES: Final = 128


class AnthropicReader:
    """One answer in Anthropic's own format: events and answers as they came, usage and all.

    A stream's beginning is held back until something follows: an upstream that is overloaded may say so right behind
    it, and then another one can be tried.
    """

    usage: Usage | None = None
    is_exact = True
    is_partial = False
    is_doubtful = False
    abbreviates = False
    reported: Mapping[str, Any] = MappingProxyType({})
    _has_calls = False
    _is_cut = False
    """A call's input has begun and not ended, though its block has."""
    _is_stopped = False
    """The reason why the answer ended has come."""
    _has_begun = False
    _has_said = False
    """A word or a call has come, and not thoughts alone."""

    def __init__(self, remark: str = "") -> None:
        self.remark = remark
        self._told: dict[str, Any] = {}
        self._held: list[Event] = []
        self._asides = Asides()
        self._halves: dict[tuple[Any, str], str] = {}
        """The first halves of letters that were cut in two, by block and member."""

    @property
    def told_cost(self) -> int | None:
        return told_cost(self.reported)

    @cached_property
    def _parser(self) -> EventParser:
        return EventParser(_KINDS)

    @cached_property
    def _places(self) -> Places:
        return Places()

    @cached_property
    def _inputs(self) -> dict[Any, Call]:
        """Of the blocks that are open, by place, what has come of their input."""
        return {}

    @cached_property
    def _firsts(self) -> dict[Any, str]:
        """Of the calls that are open, by place, the input that came with their beginning."""
        return {}

    def feed(self, data: bytes | None) -> list[Event]:
        events: list[Event] = []
        try:
            for event in self._parser.finish() if data is None else self._parser.feed(data):
                if type(event) is bytes:
                    events += self._read(event)
                    if events and events[-1] is END:
                        break
                elif type(event) is Comment:
                    events.append(event)
                elif type(event) is Failure:
                    self._fail(event)
                else:
                    self._note_words(event)
                    refuse_line(event)
            if data is None and not self._has_begun:
                self._asides.refuse_silence()
            if events and events[-1] is END and not self._is_stopped:
                self._refuse_end(events)
        except MalformedAnswer as error:
            events.append(self._broken(str(error)))
        except EventTooLarge:
            events.append(self._broken("an event is too large"))
        return events

    def _refuse_end(self, events: list[Event]) -> None:
        """OpenAI's end alone, behind words that are none of the answer's, is none; raises MalformedAnswer."""
        end = events.pop()
        self._asides.refuse_end()
        events.append(end)

    def _stop(self, delta: dict[str, Any]) -> list[Event]:
        """The format's own end, which may say why: of whatever was said, if nobody has. Raises MalformedAnswer."""
        if self._is_stopped or not (self._has_said or delta["stop_reason"]):
            return [END]
        if not delta["stop_reason"]:
            self._asides.refuse_end()
            delta = {"stop_reason": _reason_of(has_calls=self._has_calls), "stop_sequence": None}
        self._note_stop(delta)
        return [*self.show({"type": "message_delta", "delta": delta}), END]

    def _note_words(self, words: bytes) -> None:
        self._asides.note(words, is_behind=self._has_begun)

    def _fail(self, data: bytes) -> NoReturn:
        value = loose.strictly(data)
        if type(value) is dict:
            self._note_usage(value)
        raise_failure(value or data.decode("utf-8", "replace"))

    def _broken(self, error: str) -> End:
        """After the reason for the end nothing makes a failure of a whole answer any more."""
        return END if self._is_stopped else End(error)

    def _read(self, data: bytes) -> list[Event]:
        """What one event says; raises MalformedAnswer."""
        if len(data) <= MOST_END_BYTES and is_end(data):
            return [END]
        try:
            event = self._object_in(data)
        except Several as several:
            return [told for value in several.values for told in self._read(orjson.dumps(value) if value else _DONE)]
        return [] if event is None else self._take(event)

    def _take(self, event: dict[str, Any]) -> list[Event]:
        kind = text_of(event.get("type"))
        if kind == "message" and _has_blocks(event):
            return self._take_whole(event)
        canonical(event, self._places)
        if kind == "content_block_start" and event.get("content_block") is None:
            return []  # its deltas say what it is
        if kind in _BRINGS:
            self.is_partial = self.usage is not None
            self._has_begun = True
            self._has_calls = self._has_calls or _is_call(event.get("content_block"))
            self._has_said = self._has_said or self._has_calls or _has_text(event)
        self._note_usage(event)
        if kind == "message_stop":
            _refuse_error(event)
            return self._stop(event["delta"])
        if kind == "ping":
            return [_PING]
        if kind == "message_delta":
            _refuse_error(event)
            self._note_stop(event.get("delta"))
        elif kind not in _BRINGS:
            self._refuse_others(event)
        return self.show(event)

    def _take_whole(self, message: dict[str, Any]) -> list[Event]:
        """A whole message in the place of a stream's events; behind some of them it says nothing new."""
        if self._has_begun or self._held:
            return []
        return [told for piece in pieces_of(self._completed(message)) for told in self._take(piece)]

    def _refuse_others(self, event: dict[str, Any]) -> None:
        """Raises MalformedAnswer for an event that says a failure, or is of another format altogether."""
        if says_failure(event):
            raise_failure(event)
        if "type" in event:
            return
        if type(event.get("choices")) is list and event["choices"]:
            raise MalformedAnswer("chunks of chat came where Anthropic's events should")
        if text_of(error_in(event).get("message")):
            self._note_words(orjson.dumps(event))

    def show(self, event: dict[str, Any]) -> list[Event]:
        """The event as it goes on, and what was held back before it."""
        if event.get("type") == "message_start":
            self._held = [event]
            return []
        if not says_something(event):
            return []
        shown, self._held = [*self._held, *self._with_inputs(event)], []
        return shown

    def _with_inputs(self, event: dict[str, Any]) -> list[Event]:
        """The event, whose piece of a call's input may wait for its end: where the object came as a text once more."""
        kind, index = event["type"], event.get("index")
        if kind == "content_block_start":
            self._inputs[index] = Call(0, "", is_custom=False)
            self._keep_first(index, event.get("content_block"))
        elif kind == "content_block_delta" and event["delta"]["type"] == "input_json_delta" and index in self._inputs:
            piece = self._inputs[index].plain(event["delta"]["partial_json"])
            self._firsts.pop(index, None)
            self._inputs[index].add("", piece)
            event["delta"]["partial_json"] = piece
        elif kind == "content_block_stop" and index in self._inputs:
            call = self._inputs.pop(index)
            rest = call.rest() or self._firsts.pop(index, "")
            self._is_cut = self._is_cut or call.is_open
            return [_input_of(index, rest), event] if rest else [event]
        elif kind == "message_delta" and self._firsts:  # of blocks whose end was left out
            firsts = [_input_of(place, first) for place, first in self._firsts.items()]
            self._firsts.clear()
            return [*firsts, event]
        return [event]

    def _keep_first(self, index: Any, block: Any) -> None:
        """Input that came whole with a call's beginning comes at its end, as a piece: unless pieces come instead."""
        if _is_call(block) and block["input"]:
            first = block["input"]
            self._firsts[index] = first if type(first) is str else json_of(first)
            block["input"] = {}

    def _note_stop(self, delta: Any) -> None:
        reason = delta.get("stop_reason") if type(delta) is dict else None
        if reason:
            self.finish = self._finish_of(reason)
            delta["stop_reason"] = stop_of(reason, self.finish)
            if self.finish in GOOD_ENDS:
                self.refuse_cut()
            self._is_stopped = True

    def refuse_cut(self) -> None:
        """Raises MalformedAnswer if a call's input has begun and not ended."""
        if self._is_cut or any(call.is_open for call in self._inputs.values()):
            raise MalformedAnswer(CUT)

    finish: str | None = None
    """Why the answer ended, in chat's words."""

    def _finish_of(self, reason: Any) -> str | None:
        finish = finish_of(reason, has_calls=self._has_calls)
        if finish is None and reason:
            self.remark = f"a stop reason that nobody knows: {shown(reason)[:60]!r}"
        return finish

    def _note_usage(self, event: dict[str, Any]) -> None:
        """Reads usage wherever it stands: in the message that begins, beside the delta that ends it, anywhere else."""
        for place in (event, event.get("message"), event.get("delta")):
            told = object_of(place.get("usage", place.get(_BEDROCKS))) if type(place) is dict else None
            if type(told) is dict:
                self._told = merged(self._told, told)
                usage = usage_of(self._told)
                if usage is not None:
                    self.usage, self.reported = usage, self._told
                    self.is_partial = self.is_partial and not tells_output(told)

    def _object_in(self, data: bytes) -> dict[str, Any] | None:
        """An event's object, None where it says nothing; raises MalformedAnswer for what cannot be read."""
        try:
            value = orjson.loads(data)
            if b"tool_use" in data:
                value = digits.exact(data, value)
        except orjson.JSONDecodeError:
            if loose.says_nothing(data):
                return None
            value = loose.loosely(data, _FAR_AWAY.__getitem__)
            if type(value) is dict and type(value.get("delta")) is dict:
                self._join_halves(value["delta"], value.get("index"))
            value = loose.without_halves(value)
            if value is None and (objects := objects_in(without_name(data))):
                raise Several(objects) from None
            if value is None:
                raise MalformedAnswer(f"an event is not JSON: {data[:120].decode('utf-8', 'replace')}") from None
        value = _only_object(value)
        return unwrapped(value, "type") if type(value) is dict else None

    def _join_halves(self, delta: dict[str, Any], index: Any) -> None:
        """A letter beyond 16 bits that was cut in two between events is one again."""
        for name, text in delta.items():
            if type(text) is str and text and type(index) in (int, type(None)):
                text = self._halves.pop((index, name), "") + text
                if "\ud800" <= text[-1] <= "\udbff" and len(self._halves) < _MOST_HALVES:
                    self._halves[index, name], text = text[-1], text[:-1]
                delta[name] = text

    def is_piece(self, data: bytes) -> bool:
        try:
            return bool(orjson.loads(data).get("type") == "message_start")
        except orjson.JSONDecodeError:
            return False

    def whole(self, body: bytes) -> dict[str, Any]:
        return self._completed(unwrapped(_parse(body), "content"))

    def _completed(self, answer: dict[str, Any]) -> dict[str, Any]:
        """A whole message in the canonical shape; raises MalformedAnswer for what is none."""
        self._note_usage(answer)
        refuse_words(answer, "content")
        content = answer["content"] = blocks_of(answer.get("content"))
        if type(content) is not list or not all(type(block) is dict and "type" in block for block in content):
            raise MalformedAnswer("the answer has no content")
        self._has_calls = any(map(_is_call, content))
        answer["stop_reason"] = reason_in(answer)
        if not answer["stop_reason"]:
            if not self._has_calls and not any(block.get("text") for block in content):
                raise MalformedAnswer("a message that says nothing, not even why it ended")
            answer["stop_reason"] = _reason_of(has_calls=self._has_calls)
        self.finish = self._finish_of(answer["stop_reason"])
        answer["stop_reason"] = stop_of(answer["stop_reason"], self.finish)
        return answer


def _has_blocks(message: dict[str, Any]) -> bool:
    content = message.get("content")
    return type(content) is list and bool(content) and all(type(block) is dict for block in content)


def _refuse_error(event: dict[str, Any]) -> None:
    """Raises MalformedAnswer for an error beside what an event says."""
    if is_error(event.get("error")):
        raise_failure(event)


def _input_of(index: Any, piece: str) -> dict[str, Any]:
    delta = {"type": "input_json_delta", "partial_json": piece}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _is_call(block: Any) -> bool:
    return type(block) is dict and block.get("type") == "tool_use"


def _has_text(event: dict[str, Any]) -> bool:
    """Whether an event brings a word of the answer: of a block's beginning, or of what follows it."""
    return any(type(place) is dict and place.get("text") for place in (event.get("delta"), event.get("content_block")))


def _reason_of(*, has_calls: bool) -> str:
    """Why an answer ended that does not say so itself."""
    return "tool_use" if has_calls else "end_turn"


def _parse(body: bytes) -> dict[str, Any]:
    """Raises MalformedAnswer for what is no JSON object."""
    value = loose.strictly(body)
    if value is None:
        value = loose.without_halves(loose.loosely(body, _FAR_AWAY.__getitem__))
    elif b"tool_use" in body:
        value = digits.exact(body, value)
    value = _only_object(value)
    if type(value) is not dict:
        raise MalformedAnswer(f"the answer is not a JSON object: {body[:120].decode('utf-8', 'replace')}")
    return value


def _only_object(value: Any) -> Any:
    """The object that stands alone in a list, or in a text, as it does where it was encoded twice; else the value."""
    if type(value) is str:
        return loose.strictly(value.encode("utf-8", "replace"))
    return value[0] if type(value) is list and len(value) == 1 else value
