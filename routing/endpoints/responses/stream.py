"""A Response's stream on its way to the client. Pure: values in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.endpoints.base import Bill, Head
from routing.endpoints.chat.identity import NAMES, drop_names, is_in
from routing.endpoints.received import least_tokens_of, tokens_of
from routing.endpoints.responses.answer import complete_item, complete_native, complete_part, public_usage
from routing.endpoints.responses.schema import ResponsesRequest
from routing.providers.base import MalformedAnswer

TERMINAL: Final = frozenset(("response.completed", "response.incomplete"))
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
        try:
            data = orjson.dumps({"type": event, **members, "sequence_number": self.number})
        except orjson.JSONEncodeError as error:
            raise MalformedAnswer("the event is nested too deep") from error
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
        self._items: dict[Any, int] = {}
        self._parts: dict[int, int] = {}
        """How many parts of an item were added."""

    def say(self, kind: str, event: dict[str, Any]) -> None:
        """Adds the places to an event of an item or of a part of one."""
        item_id = event["item"].get("id") if "item" in event else event.get("item_id")
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
        self._items: dict[Any, dict[str, Any]] = {}
        """Items that are done, by place: what stands in the answer where it is cut."""
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
        if type(event.get("delta")) is str:
            self._deltas += 1
            self._delta_bytes += len(event["delta"])
            self.is_past_cap = least_tokens_of(self._deltas, self._delta_bytes) > self._most_output
        if type(event.get("response")) is dict:
            event["response"] = complete_native(self._request, event["response"], self._head)
        if kind in TERMINAL:
            if "response" not in event:
                raise MalformedAnswer("the last event has no response")
            self._last = event
            return b""
        _complete_event(kind, event)
        if "output_index" not in event and kind.startswith(_PLACED):
            self._places.say(kind, event)
        if kind == "response.output_item.done":
            self._items[event.get("output_index")] = event["item"]
        self._write(kind, event)
        return self._events.take()

    def _write(self, kind: str, event: dict[str, Any]) -> None:
        if not NAMES.isdisjoint(event):
            drop_names(event)
        if self._head.hidden and not event.keys() <= _OF_EVENTS and is_in(orjson.dumps(event), self._head.hidden):
            event = {name: value for name, value in event.items() if name in _OF_EVENTS}
        self._events.add(kind, {name: value for name, value in event.items() if name != "type"})

    def received_tokens(self) -> int:
        return tokens_of(self._deltas, self._delta_bytes)

    def cut(self) -> bytes:
        output = [self._items[place] for place in sorted(self._items, key=str)]
        response = complete_native(self._request, {"output": output}, self._head)
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


def _complete_event(kind: str, event: dict[str, Any]) -> None:
    """Adds what the public schema requires; raises MalformedAnswer for an item that is none."""
    if kind.startswith("response.output_item."):
        event["item"] = complete_item(event.get("item"))
    elif "part" in event:
        complete_part(event["part"])
    elif kind.startswith("response.output_text.") and kind != "response.output_text.annotation.added":
        event["logprobs"] = event["logprobs"] if type(event.get("logprobs")) is list else []


class ResponsesAssembler:
    """A whole Response from its stream: the last event has all of it."""

    def __init__(self) -> None:
        self._last: dict[str, Any] | None = None

    def add(self, event: dict[str, Any]) -> None:
        if event.get("type") in TERMINAL and type(event.get("response")) is dict:
            self._last = event["response"]

    @property
    def is_complete(self) -> bool:
        return self._last is not None

    def answer(self) -> dict[str, Any]:
        if self._last is None:
            raise MalformedAnswer("the stream ended before the answer was whole")
        return self._last


def pieces_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A whole Response as the fewest events that the grammar allows: its items, and its end."""
    begun = {**answer, "status": "in_progress", "output": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": {**begun}}
    ]  # fmt: skip
    events += [
        {"type": f"response.output_item.{what}", "output_index": place, "item": item}
        for place, item in enumerate(answer["output"])
        for what in ("added", "done")
    ]
    status = "incomplete" if answer.get("status") == "incomplete" else "completed"
    return [*events, {"type": f"response.{status}", "response": answer}]
