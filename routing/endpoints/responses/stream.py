"""A Response's stream on its way to the client. Pure: values in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from routing.endpoints.base import Bill, Head, to_json
from routing.endpoints.chat.answer import estimate_strings
from routing.endpoints.chat.identity import NAMES, drop_names, is_in
from routing.endpoints.received import least_tokens_of, tokens_of
from routing.endpoints.responses.answer import (
    complete_item,
    complete_native,
    complete_part,
    hex_of,
    logprobs_of,
    public_usage,
    response_of,
)
from routing.endpoints.responses.order import Order
from routing.endpoints.responses.schema import ResponsesRequest
from routing.providers.base import MalformedAnswer
from routing.providers.openai.refusals import text_of
from routing.providers.openai.tools import json_of

TERMINAL: Final = frozenset(("response.completed", "response.incomplete"))
_FIRST: Final = ("response.created", "response.in_progress")
_BEGINNINGS: Final = frozenset(_FIRST)
_STATUSES: Final = frozenset(("completed", "incomplete"))
_GROWING: Final = ("message", "function_call")
_MOST_DIGITS: Final = 6
_OF_EVENTS: Final = frozenset(
    ("type", "sequence_number", "output_index", "content_index", "summary_index", "item_id", "item", "part", "delta",
     "text", "refusal", "arguments", "name", "input", "logprobs", "response", "annotation", "annotation_index",
     "obfuscation")
)  # fmt: skip


class Events:
    """Events as bytes, numbered as they are made."""

    def __init__(self) -> None:
        self.number = 0
        """Of the next one."""
        self._ready: list[bytes] = []

    def add(self, event: str, members: Mapping[str, Any]) -> None:
        """Raises MalformedAnswer for what is nested deeper than can be written."""
        data = to_json({"type": event, **members, "sequence_number": self.number})
        self.number += 1
        self._ready.append(b"event: " + event.encode() + b"\ndata: " + data + b"\n\n")

    def take(self) -> bytes:
        """What was added since."""
        ready = b"".join(self._ready)
        self._ready.clear()
        return ready


def words_of(event: Mapping[str, Any]) -> str:
    """The text that an event brings; empty if there is none."""
    delta = event.get("delta")
    return delta if event.get("type") == "response.output_text.delta" and type(delta) is str else ""


class Places:
    """Where what an event tells of stands, told for servers that do not say so themselves (llama.cpp).

    Items have the order in which they are added, parts that within their item.
    """

    def __init__(self) -> None:
        self._items: dict[str, int] = {}
        self._parts: dict[int, int] = {}
        """How many parts of an item were added."""

    def say(self, kind: str, event: dict[str, Any]) -> None:
        """Adds the places to an event of an item or of a part of one."""
        item = event.get("item")
        item_id = text_of(item.get("id") if type(item) is dict else event.get("item_id"))
        if kind == "response.output_item.added":
            self._items.setdefault(item_id, len(self._items))
        place = event["output_index"] = self._items.get(item_id, max(len(self._items) - 1, 0))
        member = next((member for prefix, member in _OF_PARTS if kind.startswith(prefix)), "")
        if kind.endswith("part.added"):
            self._parts[place] = self._parts.get(place, 0) + 1
        if member:
            event.setdefault(member, max(self._parts.get(place, 0) - 1, 0))


_OF_PARTS: Final = (
    ("response.reasoning_summary", "summary_index"),
    ("response.content_part", "content_index"),
    ("response.output_text", "content_index"),
    ("response.refusal", "content_index"),
    ("response.reasoning_text", "content_index"),
)
"""Events that tell of a part, by the beginning of their names: which member says of which one."""
_PLACED: Final = (
    *(prefix for prefix, _member in _OF_PARTS), "response.output_item", "response.function_call_arguments",
    "response.custom_tool_call_input",
)  # fmt: skip
"""Events that stand somewhere, by the beginning of their names."""
_TEXTS: Final = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.reasoning_text": "text",
    "response.reasoning_summary_text": "text",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
}
"""Texts that come in deltas, and the member that has all of one at its end."""


class ResponsesRelay:
    """The events of an upstream that has the Responses API: as they came but for what must be ours."""

    takes_again = False

    def __init__(self, request: ResponsesRequest, head: Head, most_output: int) -> None:
        self._request = request
        self._head = head
        self._most_output = most_output
        self._events = Events()
        self._last: dict[str, Any] | None = None
        """The event that says the answer is whole: it goes out with the usage."""
        self._deltas = 0
        self._delta_bytes = 0
        self._places = Places()
        self._order = Order(hex_of(head))
        self._steps = [*_FIRST]
        """Of its beginning, those that are still to be said."""
        self._grown: set[int] = set()
        """Places of the items whose text has come in pieces."""
        self.is_done = False
        self.is_past_cap = False

    @property
    def is_complete(self) -> bool:
        return self._last is not None

    @property
    def written(self) -> int:
        """How many events were made."""
        return self._events.number

    def again(self, text: Any) -> bytes:
        raise NotImplementedError("every event comes whole")

    def relay(self, event: dict[str, Any]) -> bytes:
        kind = event.get("type")
        if type(kind) is not str or "\n" in kind or "\r" in kind:
            raise MalformedAnswer("an event without a type")
        if kind in _BEGINNINGS and type(event.get("response")) is not dict:
            event["response"] = {}
        if type(event.get("response")) is dict:
            event["response"] = complete_native(self._request, event["response"], self._head)
        if kind in TERMINAL:
            if type(event.get("response")) is not dict:
                raise MalformedAnswer("the last event has no response")
            return self._finish(kind, event)
        if kind in _BEGINNINGS:
            self._begin(event, until=kind)
        else:
            self._begin()
            self._relay(kind, event)
        return self._events.take()

    def _relay(self, kind: str, event: dict[str, Any]) -> None:
        if kind.startswith(_PLACED):
            self._place(kind, event)
        self._complete(kind, event)
        for each, members in self._order.keep(kind, event):
            self._write(each, members)

    def _begin(self, event: dict[str, Any] | None = None, *, until: str = _FIRST[-1]) -> None:
        """Says each step of the beginning once, in their order: as the upstream does, or where it has left one out."""
        while until in self._steps:
            kind = self._steps.pop(0)
            own = event if kind == until else None
            self._write(kind, own or {"response": response_of(self._request, self._head, "in_progress", [])})

    def _finish(self, kind: str, event: dict[str, Any]) -> bytes:
        self._begin()
        response = event["response"]
        response["status"] = kind.rpartition(".")[2] if response["status"] not in _STATUSES else response["status"]
        self._last = {**event, "type": f"response.{response['status']}"}
        for each, members in self._order.finish(response):
            self._write(each, members)
        return self._events.take()

    def _place(self, kind: str, event: dict[str, Any]) -> None:
        """Gives an event its place; one that is a text is a number, what is none is as absent."""
        for name in ("output_index", "content_index", "summary_index"):
            if name in event and type(event[name]) is not int:
                told = event.pop(name)
                if type(told) is str and told.isascii() and told.isdecimal():
                    event[name] = int(told[:_MOST_DIGITS])
        if "output_index" not in event:
            self._places.say(kind, event)
        member = next((member for prefix, member in _OF_PARTS if kind.startswith(prefix)), "")
        if member:
            event.setdefault(member, 0)

    def _complete(self, kind: str, event: dict[str, Any]) -> None:
        """Adds what the public schema requires; raises MalformedAnswer for an item that is none."""
        if kind.startswith("response.output_item."):
            item = event.get("item")
            if kind.endswith(".added") and type(item) is dict and item.get("type") in _GROWING:
                item["status"] = "in_progress"
            event["item"] = complete_item(item, event["output_index"], hex_of(self._head))
        elif "part" in event and kind.startswith("response.content_part"):
            event["part"] = complete_part(event["part"])
        stem, _, what = kind.rpartition(".")
        if stem in _TEXTS:
            _complete_text(stem, "delta" if what == "delta" else _TEXTS[stem], event)

    def _count(self, kind: str, event: dict[str, Any]) -> None:
        """Counts what an event brings: a delta, or an item of which none has come."""
        size, place = 0, event.get("output_index")
        if type(event.get("delta")) is str:
            size = len(event["delta"])
            if type(place) is int:
                self._grown.add(place)
        elif kind == "response.output_item.done" and place not in self._grown:
            size = estimate_strings(event["item"])
        if size:
            self._deltas += 1
            self._delta_bytes += size
            self.is_past_cap = least_tokens_of(self._deltas, self._delta_bytes) > self._most_output

    def _write(self, kind: str, event: dict[str, Any]) -> None:
        self._count(kind, event)
        if not NAMES.isdisjoint(event):
            drop_names(event)
        if self._head.hidden and not event.keys() <= _OF_EVENTS and is_in(to_json(event), self._head.hidden):
            event = {name: value for name, value in event.items() if name in _OF_EVENTS}
        self._events.add(kind, {name: value for name, value in event.items() if name != "type"})

    def received_tokens(self) -> int:
        return tokens_of(self._deltas, self._delta_bytes)

    def cut(self) -> bytes:
        response = complete_native(self._request, {"output": self._order.done}, self._head)
        response.update(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
        self._last = {"type": "response.incomplete", "response": response}
        self.is_done = True
        return b""

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        assert self._last is not None  # noqa: S101 - asked only where the answer is complete
        response = {**self._last["response"], "usage": public_usage(bill)}
        if explanation is not None:
            response["costrouter"] = explanation
        self._write(self._last["type"], {**self._last, "response": response})
        return self._events.take()


def _complete_text(stem: str, member: str, event: dict[str, Any]) -> None:
    if type(event.get(member)) is not str:
        event[member] = json_of(event[member]) if stem.endswith("_arguments") and event.get(member) else ""
    if stem == "response.output_text":
        event["logprobs"] = logprobs_of(event.get("logprobs"))


class ResponsesAssembler:
    """A whole Response from its stream: the last event has all of it."""

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None
        self._items: list[Any] = []
        """That are done."""

    def add(self, event: dict[str, Any]) -> None:
        if event.get("type") == "response.output_item.done":
            self._items.append(event.get("item"))
        if event.get("type") in TERMINAL and type(event.get("response")) is dict:
            self._last = event["response"]
            if not self._last.get("output"):
                self._last["output"] = self._items

    @property
    def is_complete(self) -> bool:
        return self._last is not None

    def answer(self) -> dict[str, Any]:
        if self._last is None:
            raise MalformedAnswer("the stream ended before the answer was whole")
        return self._last


def pieces_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A whole Response as its beginning and its end: what goes between, the order of events gives."""
    begun = {**answer, "status": "in_progress", "output": []}
    return [
        *({"type": kind, "response": {**begun}} for kind in _FIRST),
        {"type": "response.completed", "response": answer},
    ]
