"""OpenAI's Responses API upstream: the request, and its answer, whole or as events.

Facts of the public API description (CreateResponse, ResponseStreamEvent): usage stands in the Response that the last
event carries, `response.completed` or `response.incomplete`; a failure is `response.failed` or `error`. Others that
have the API (llama.cpp, vLLM) follow it, with `[DONE]` behind.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

import orjson

from billing.kinds import Usage
from routing.providers.base import END, End, Event, MalformedAnswer, UpstreamCall
from routing.providers.openai import loose
from routing.providers.openai.asides import Asides, refuse_line
from routing.providers.openai.call import CUT
from routing.providers.openai.costs import told_cost
from routing.providers.openai.failures import is_error, raise_failure, refuse_words, says_failure
from routing.providers.openai.finish import finish_reason
from routing.providers.openai.refusals import text_of
from routing.providers.openai.shapes import MOST_END_BYTES, Several, is_end, objects_in, without_name
from routing.providers.openai.thoughts import is_ours
from routing.providers.openai.tools import refuse_cut
from routing.providers.openai.usage import object_of, usage_of
from routing.providers.openai.vendors import name_of
from routing.providers.openai.wrapped import unwrapped
from routing.wire.events import Comment, EventParser, EventTooLarge, Failure
from routing.wire.wholeness import JsonScan

_ARGUMENTS: Final = "response.function_call_arguments.delta"
_OURS: Final = "response."
_KINDS: Final = re.compile(rb"response\.[a-z_.]+")
_PING: Final = Comment(b": ping")
_LAST: Final = frozenset(("response.completed", "response.incomplete"))
_BEGINS: Final = {"response.output_item.added": "item", "response.content_part.added": "part"}
"""What an event of this type begins with; one that does not say it says nothing."""
_FAILED: Final = frozenset(("response.failed", "response.cancelled", "response.error", "error"))
_STATES: Final = {"stop": "completed", "length": "incomplete", "content_filter": "incomplete"}
"""Of answers that are whole, by chat's word for why they ended."""
_NOT_YET: Final = ("queued", "in_progress")
_KEEPERS: Final = frozenset(("openai", "azure"))
"""Vendors that look a thought without its encrypted text up among what they have kept. They are told to keep nothing,
and so refuse the whole request for it; clients hand every item back (platform.openai.com/docs/guides/reasoning)."""


def responses_body(call: UpstreamCall) -> dict[str, Any]:
    """The client's body with the model's upstream name and the cap. Upstream keeps nothing of what is not its own."""
    body = {name: value for name, value in call.body.items() if value is not None}
    body["model"] = call.upstream_model
    body["max_output_tokens"] = call.cap
    body["store"] = False
    if type(body.get("input")) is list:
        items = [_without_ours(item) for item in body["input"]]
        if (getattr(call.options, "vendor", "") or name_of(call.host)) in _KEEPERS:
            items = [item for item in items if not _is_bare_thought(item)] or items
        body["input"] = items
    if call.is_stream:
        body["stream"] = True
    return body


def _without_ours(item: Any) -> Any:
    """Thoughts that another route's upstream had, packed by the gateway: this one could not read them."""
    if type(item) is dict and is_ours(item.get("encrypted_content")):
        return {name: value for name, value in item.items() if name != "encrypted_content"}
    return item


def _is_bare_thought(item: Any) -> bool:
    """A thought that is named and not told: whoever has it would have to have kept it."""
    return type(item) is dict and item.get("type") == "reasoning" and not (
        item.get("encrypted_content") or item.get("content")
    )  # fmt: skip


class ResponsesReader:
    """One answer."""

    is_exact = True
    is_doubtful = False
    abbreviates = False
    remark = ""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.is_partial = False
        self.reported: Mapping[str, Any] = MappingProxyType({})
        self._parser = EventParser(_KINDS)
        self._has_end = False
        self._has_begun = False
        self._asides = Asides()
        self._inputs: defaultdict[tuple[int, str], JsonScan] = defaultdict(JsonScan)
        """Of calls, by place and id, what has come of their arguments."""

    @property
    def told_cost(self) -> int | None:
        return told_cost(self.reported)

    def feed(self, data: bytes | None) -> list[Event]:
        events: list[Event] = []
        try:
            for event in self._parser.finish() if data is None else self._parser.feed(data):
                if type(event) is Comment:
                    events.append(event)
                elif type(event) is Failure:
                    self._fail(loose.strictly(event) or event.decode("utf-8", "replace"))
                elif type(event) is not bytes:
                    self._note_words(event)
                    refuse_line(event)
                elif len(event) <= MOST_END_BYTES and is_end(event):
                    events.append(END)
                    break
                else:
                    self._read(event, events)
                    if self._has_end:
                        events.append(END)
                        break
            if data is None and not self._has_begun:
                self._asides.refuse_silence()
        except MalformedAnswer as error:
            events.append(End(str(error)))
        except EventTooLarge:
            events.append(End("an event is too large"))
        return events

    def _note_words(self, words: bytes) -> None:
        self._asides.note(words, is_behind=self._has_begun)

    def _read(self, data: bytes, events: list[Event]) -> None:
        """Raises MalformedAnswer for an event that cannot be read or says a failure."""
        try:
            value = _parse(data)
        except Several as several:
            self._read_several(several, events)
            return
        if value is None or value == []:
            return
        self._take(unwrapped(_object_in(value), "type"), data, events)

    def _take(self, event: dict[str, Any], data: bytes, events: list[Event]) -> None:
        kind = text_of(event.get("type"))
        if not kind and event.get("object") == "response":  # whole, in the place of a stream's events
            kind = f"response.{text_of(event.get('status')) or 'completed'}"
            event = {"type": kind, "response": event}
        response = event.get("response")
        if "usage" in event:
            self._note(event.pop("usage"))
        if type(response) is dict and "usage" in response:
            self._note(response.pop("usage"))
        is_ours = kind.startswith(_OURS)
        if kind in _FAILED or (not is_ours and says_failure(event)):
            self._fail(event)
        if not is_ours:  # a ping, or whatever else comes under another name, or none
            self._note_words(data)
            if kind:
                events.append(_PING)
            return
        self._has_begun = True
        self._show(event, kind, events)

    def _show(self, event: dict[str, Any], kind: str, events: list[Event]) -> None:
        """An event of the format's own; raises MalformedAnswer for a last one that is not whole."""
        if kind == "response.done":  # of the Realtime API, and gateways that took it from there
            kind = event["type"] = "response.completed"
        if kind in _BEGINS and event.get(_BEGINS[kind]) is None:
            return
        is_piece = type(event.get("delta")) is str
        self.is_partial = self.usage is not None and is_piece
        self._has_end = kind in _LAST
        if kind == _ARGUMENTS and is_piece:
            index = event.get("output_index")
            self._inputs[index if type(index) is int else 0, text_of(event.get("item_id"))].add(event["delta"])
        if self._has_end:
            _complete_last(event, kind)
            self._refuse_open(event["response"])
        events.append(event)

    def _refuse_open(self, response: Any) -> None:
        """Raises MalformedAnswer if what has come is all there is, and a call's arguments have begun and not ended."""
        is_told = type(response) is not dict or response["output"] or response["status"] != "completed"
        if not is_told and any(scan.is_open for scan in self._inputs.values()):
            raise MalformedAnswer(CUT)

    def _read_several(self, several: Several, events: list[Event]) -> None:
        """The objects of one line, up to the last event, or OpenAI's end."""
        for value in several.values:
            self._has_end = self._has_end or value is None
            if self._has_end:
                return
            self._read(orjson.dumps(value), events)

    def _fail(self, event: Any) -> NoReturn:
        """Raises MalformedAnswer with the upstream's words, wherever they stand."""
        response = event.get("response") if type(event) is dict else None
        inner = response.get("error") if type(response) is dict else None
        raise_failure({"error": inner} if inner else event)

    def _note(self, reported: Any) -> None:
        reported = object_of(reported)
        usage = usage_of(reported)
        if usage is not None:
            self.usage, self.reported = usage, reported

    def is_piece(self, data: bytes) -> bool:
        try:
            return text_of(orjson.loads(data).get("type")).startswith("response.")
        except orjson.JSONDecodeError:
            return False

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = unwrapped(_object_in(_parse(body)), "output", "output_text")
        self._note(answer.pop("usage", None))
        if is_error(answer.get("error")):
            raise_failure(answer)
        if _OUTPUTS.isdisjoint(answer):
            refuse_words(answer)
        answer["output"] = _items_of(answer)
        if answer["output"] is None:
            raise MalformedAnswer("the answer has no output")
        answer["status"] = _state_of(answer, "response.completed")
        if answer["status"] in _NOT_YET:
            raise MalformedAnswer(f"the answer is {answer['status']}")
        _refuse_cut(answer)
        return answer


_OUTPUTS: Final = frozenset(("output", "output_text"))


def _items_of(response: Mapping[str, Any]) -> Any:
    """The items of the output, of which some write the one as it is, or its text alone; else what stands there."""
    output, text = response.get("output"), response.get("output_text")
    if not output and type(text) is str and text:
        return [{"type": "message", "content": text}]
    if type(output) is dict:
        return [output]
    if type(output) is list and None in output:
        return [item for item in output if item is not None] or output
    return output


def _refuse_cut(response: Mapping[str, Any]) -> None:
    """Raises MalformedAnswer if a call of a Response that is completed has arguments that have begun and not ended."""
    output = response.get("output")
    if response["status"] == "completed" and type(output) is list:
        calls = [{"function": item} for item in output if type(item) is dict and item.get("type") == "function_call"]
        refuse_cut([call for call in calls if type(call["function"].get("arguments")) is str])


def _complete_last(event: dict[str, Any], kind: str) -> None:
    """How a Response ended, and its items; nothing at all is what has come. Raises MalformedAnswer where it failed."""
    if event.get("response") is None:
        event["response"] = {}
    response = event["response"]
    if type(response) is dict:
        if is_error(response.get("error")):
            raise_failure(response)
        response["status"] = _state_of(response, kind)
        response["output"] = _items_of(response)
        _refuse_cut(response)


def _state_of(response: Mapping[str, Any], kind: str) -> str:
    """What a Response that has come to its end says of that; raises MalformedAnswer where it failed."""
    state = response.get("status")
    if state in _NOT_YET and kind != "response.completed":
        state = None
    if state in _NOT_YET:
        return str(state)
    try:
        word = finish_reason(state)
    except MalformedAnswer:
        raise_failure({**response, "error": response.get("error") or str(state)})
    return _STATES.get(word or "", kind.rpartition(".")[2])


def _object_in(value: Any) -> dict[str, Any]:
    """The object, perhaps alone in a list; raises MalformedAnswer for what is none."""
    if type(value) is list:
        value = value[0] if len(value) == 1 else None
    if type(value) is not dict:
        raise MalformedAnswer("the answer is not a JSON object")
    return value


def _parse(data: bytes) -> Any:
    """None where it is blank; raises MalformedAnswer for what is no JSON."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if loose.says_nothing(data):
            return None
        value = loose.without_halves(loose.loosely(data, {"NaN": 0.0, "Infinity": 0.0, "-Infinity": 0.0}.__getitem__))
        if value is None and (objects := objects_in(without_name(data))):
            raise Several(objects) from None
        if value is None:
            raise MalformedAnswer(f"the answer is not JSON: {data[:120].decode('utf-8', 'replace')}") from error
    if type(value) is str:  # encoded twice
        value = loose.strictly(value.encode("utf-8", "replace"))
    return value
