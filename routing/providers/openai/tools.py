"""Tool calls made whole: index, id, type, and arguments as text, however a vendor sends them."""

from __future__ import annotations

import secrets
from typing import Any, Final

import orjson

from routing.providers.base import MalformedAnswer

MOST_CALLS: Final = 1024


class ToolCalls:
    """The calls of one choice of a stream, and which of them a fragment belongs to."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        """By id."""
        self._count = 0
        self._last = 0

    def complete(self, fragments: Any) -> list[dict[str, Any]]:
        """The fragments with an index each; raises MalformedAnswer for what is none."""
        if type(fragments) is dict:
            fragments = [fragments]
        if type(fragments) is not list:
            raise MalformedAnswer("tool calls that are no list")
        whole = [self._complete(fragment) for fragment in fragments if fragment is not None]
        return [fragment for fragment in whole if fragment]

    def _complete(self, fragment: Any) -> dict[str, Any]:
        if type(fragment) is not dict:
            raise MalformedAnswer("a tool call that is none")
        index = self._index(fragment)
        if not 0 <= index < MOST_CALLS:
            raise MalformedAnswer("a tool call without a place")
        is_new = index >= self._count
        self._last, self._count = index, max(self._count, index + 1)
        if type(fragment.get("id")) is str and fragment["id"]:
            self._places.setdefault(fragment["id"], index)
        fragment["index"] = index
        complete_call(fragment, is_new=is_new)
        return fragment

    def _index(self, fragment: dict[str, Any]) -> int:
        """As the vendor says, else by id, else by place: a fragment with a name begins a call, any other goes on."""
        index = fragment.get("index")
        if index is not None:
            return index if type(index) is int else place_of(index, "a tool call")
        id_, function = fragment.get("id"), fragment.get("function")
        if type(id_) is str and id_:
            return self._places.get(id_, self._count)
        if not self._count or (type(function) is dict and function.get("name")):
            return self._count
        return self._last


def place_of(index: Any, what: str) -> int:
    """A place that came as text, or as a floating number; raises MalformedAnswer for what is none."""
    if type(index) is float and index.is_integer() and 0 <= index < MOST_CALLS:
        return int(index)
    if type(index) is str and index.isascii() and index.isdecimal() and len(index) < len("1000"):
        return int(index)
    raise MalformedAnswer(f"{what} without a place")


def complete_call(call: dict[str, Any], *, is_new: bool) -> None:
    """Adds to a new call what the schema requires of it; drops what is null, and what is empty in a later fragment."""
    for name in ("id", "type"):
        if name in call and (call[name] is None or (not call[name] and not is_new)):
            del call[name]
    if is_new:
        call["id"] = call.get("id") or f"call_{secrets.token_hex(12)}"
        call["type"] = call.get("type") or ("custom" if type(call.get("custom")) is dict else "function")
    function = call.get("function")
    if type(function) is not dict:
        call.pop("function", None)
        return
    if function.get("name", "") is None:
        del function["name"]
    arguments = function.get("arguments", "")
    if arguments is None:
        del function["arguments"]
    elif type(arguments) is not str:
        function["arguments"] = orjson.dumps(arguments).decode()
    if is_new:
        function.setdefault("arguments", "")


def complete_calls(calls: Any) -> list[dict[str, Any]]:
    """The calls of a whole answer; what is no call is left out."""
    found = [call for call in calls if type(call) is dict] if type(calls) is list else []
    for call in found:
        call.pop("index", None)
        complete_call(call, is_new=True)
    return found
