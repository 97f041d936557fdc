"""Anthropic's events and answers as other servers of the format write them, brought into the shape of its own. Pure.

The rest of this folder reads that alone: blocks are objects with a type and a place, deltas have a kind, calls an id
and a name, and their input is an object or comes in pieces.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from routing.providers.base import MalformedAnswer
from routing.providers.openai import loose
from routing.providers.openai.refusals import text_of
from routing.providers.openai.tools import json_of

_PLACED: Final = frozenset(("content_block_start", "content_block_delta", "content_block_stop"))
_KINDS: Final = {"text": "text_delta", "partial_json": "input_json_delta", "thinking": "thinking_delta"}
"""Of a delta that does not say its own, by its member."""
_OF_KINDS: Final = frozenset((*_KINDS.values(), "signature_delta", "citations_delta", "compaction_delta"))
_TEXT_KINDS: Final = {"text_delta": "text", "thinking_delta": "thinking"}
_TEXTS: Final = {"text": "text", "thinking": "thinking"}
"""Of a block, by its kind: the member that is one."""
_REASONS: Final = ("stop_reason", "stopReason", "finish_reason")
_LAST: Final = ("message_delta", "message_stop")
_PIECES: Final = ("partial_json", "input", "arguments")
"""Members of a delta that hold a piece of a call's input, or all of it, where its kind does not say so."""
_INPUTS: Final = ("input", "arguments", "parameters", "args")
_WORDS: Final = ("text", "content", "value")
"""Members that hold a text, or what holds it."""
_OTHER_KINDS: Final = {"output_text": "text", "reasoning": "thinking"}
"""Of blocks, in the words of other formats."""
_MOST_DIGITS: Final = 6
_MOST_DEPTH: Final = 4
"""Of what holds a text."""


class Places:
    """Where the blocks of a stream stand, for servers that do not say so."""

    def __init__(self) -> None:
        self._next = 0

    def say(self, event: dict[str, Any]) -> None:
        """Gives an event of a block its place, as a number; raises MalformedAnswer for what is none."""
        index = event.get("index")
        if type(index) is float and index.is_integer():
            index = int(index)
        elif type(index) is str and index.isascii() and index.isdecimal():
            index = int(index[:_MOST_DIGITS])
        elif index is None:
            index = self._next if event["type"] == "content_block_start" else max(self._next - 1, 0)
        if type(index) is not int:
            raise MalformedAnswer("a block without a place")
        event["index"] = index
        self._next = max(self._next, index + 1)


def canonical(event: dict[str, Any], places: Places) -> None:
    """Brings an event into the shape, in place.

    Raises MalformedAnswer for a block without a place, and for a call without a name.
    """
    kind = text_of(event.get("type"))
    if kind in _PLACED:
        if kind == "content_block_start" or type(event.get("index")) is not int:
            places.say(event)
        if kind == "content_block_delta":
            event["delta"] = _delta_of(event.get("delta"))
        elif kind == "content_block_start" and type(event.get("content_block")) is dict:
            _complete_block(event["content_block"])
    elif kind in _LAST:
        event["delta"] = _end_of(event)


def _end_of(event: dict[str, Any]) -> dict[str, Any]:
    """Why an answer ended, wherever its last events say so: in the delta, beside it, or in a message."""
    delta = event.get("delta")
    places = [place for place in (delta, event, event.get("message")) if type(place) is dict]
    reason = next(filter(None, map(reason_in, places)), None)
    beside = {"stop_sequence": event.pop("stop_sequence")} if "stop_sequence" in event else {}
    for name in _REASONS:
        event.pop(name, None)
    told = delta if type(delta) is dict else beside
    told = {name: value for name, value in told.items() if name not in _REASONS}
    return {"stop_reason": reason, **told}


def reason_in(place: dict[str, Any]) -> Any:
    """Why an answer ended, under whatever name; None where nothing is said."""
    return next(filter(None, map(place.get, _REASONS)), None)


def _delta_of(delta: Any) -> Any:
    if type(delta) is str:
        return {"type": "text_delta", "text": delta}
    if type(delta) is not dict:
        return {}
    if delta.get("type") == "text_delta" and type(delta.get("text")) is str:  # as most are
        return delta
    kind = text_of(delta.get("type"))
    if kind not in _OF_KINDS:
        kind = next((_KINDS[name] for name in _KINDS if name in delta), "")
        kind = kind or ("" if delta.keys().isdisjoint(_PIECES) else "input_json_delta")
        if kind:
            delta["type"] = kind
    if kind == "input_json_delta" and type(delta.get("partial_json")) is not str:
        pieces = [delta.pop(name) for name in _PIECES if name in delta]
        piece = next(filter(None, pieces), "")
        delta["partial_json"] = piece if type(piece) is str else json_of(piece)
    elif kind in _TEXT_KINDS and type(delta.get(_TEXT_KINDS[kind])) is not str:
        text = words_in(delta)
        if text:
            delta[_TEXT_KINDS[kind]] = text
    return delta


def words_in(place: Any, depth: int = 0) -> str:
    """The text of a block or a delta, which others write as an object, as a list, or under another name."""
    if type(place) is str or depth > _MOST_DEPTH:
        return text_of(place)
    if type(place) is list:
        return "".join([words_in(each, depth + 1) for each in place])
    if type(place) is dict:
        return next(filter(None, (words_in(place[name], depth + 1) for name in _WORDS if name in place)), "")
    return ""


def _object_of(input_: Any) -> Any:
    """A call's input where it is a text, once or twice; what is no object then stays, for whoever can say it."""
    value = input_
    for _time in range(2):
        if type(value) is str:
            value = loose.strictly(value.encode("utf-8", "replace"))
    if type(value) is dict:
        return value
    return {} if input_ is None or (type(input_) is str and not input_.strip()) else input_


def says_something(event: dict[str, Any]) -> bool:
    """Whether an event brings anything: one without a type, or a delta without a kind or its text, does not."""
    kind = event.get("type")
    if kind != "content_block_delta":
        return type(kind) is str
    delta = event["delta"]
    member = next((name for name, of_kind in _KINDS.items() if of_kind == delta.get("type")), None)
    return "type" in delta and (member is None or type(delta.get(member)) is str)


def blocks_of(content: Any) -> Any:
    """The blocks of a whole answer, each in the shape; raises MalformedAnswer for a call without a name."""
    if content and type(content) in (dict, str):
        content = [content]
    if type(content) is not list:
        return content
    blocks = [{"type": "text", "text": each} if type(each) is str else each for each in content if each is not None]
    for block in blocks:
        if type(block) is dict:
            if "type" not in block and "text" in block:
                block["type"] = "text"
            _complete_block(block)
    return blocks


def _complete_block(block: dict[str, Any]) -> None:
    kind = text_of(block.get("type"))
    if kind in _OTHER_KINDS:
        kind = block["type"] = _OTHER_KINDS[kind]
    if kind in _TEXTS and type(block.get(_TEXTS[kind])) is not str:
        block[_TEXTS[kind]] = words_in(block)
    if kind != "tool_use":
        return
    function = block.pop("function", None)  # chat's way to write a call
    if type(function) is dict:
        block.update({name: value for name, value in function.items() if not block.get(name)})
    inputs = [block.pop(name) for name in _INPUTS if name in block]
    block["input"] = _object_of(next(filter(None, inputs), None))
    if type(block.get("name")) is not str or not block["name"]:
        raise MalformedAnswer("a tool was called without a name")
    id_ = block.get("id")
    if type(id_) is int:
        block["id"] = str(id_)
    elif type(id_) is not str or not id_:
        block["id"] = f"toolu_{secrets.token_hex(12)}"
