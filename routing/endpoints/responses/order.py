"""The grammar of a Response's events, kept where an upstream leaves some of them out. Pure.

Clients add events up, and OpenAI's own helper raises for a text of an item that nobody added: an item is added, its
parts are added, grow and are done, it is done, and the last event's Response has them all. vLLM, llama.cpp and gateways
leave out one or another (github.com/vllm-project/vllm/pull/30223 the output of the last).
"""

from __future__ import annotations

from typing import Any, Final

from routing.providers.base import MalformedAnswer

Event = tuple[str, dict[str, Any]]
"""Its type, and its members."""

_MOST: Final = 4_096
_ADDED: Final = "response.output_item.added"
_DONE: Final = "response.output_item.done"
_PART_ADDED: Final = "response.content_part.added"
_PART_DONE: Final = "response.content_part.done"
_ARGUMENTS: Final = "response.function_call_arguments"
_TEXTS: Final = {"output_text": "text", "refusal": "refusal"}
"""Kinds of a message's parts, and the member that has the text."""
_OF_KIND: Final = {f"response.{kind}": kind for kind in _TEXTS}


class _Part:
    """A part of a message."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.pieces: list[str] = []
        self.is_said = False
        self.is_done = False

    def value(self) -> dict[str, Any]:
        text = "".join(self.pieces)
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": self.kind, "text": text, "annotations": [], "logprobs": []}


class _Item:
    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        self.parts: dict[int, _Part] = {}
        self.arguments: list[str] = []
        self.is_said = False
        """Its arguments are."""
        self.is_done = False

    def whole(self) -> dict[str, Any]:
        """The item as far as it has come."""
        if self.is_done:
            return self.value
        if self.value.get("type") == "function_call":
            arguments = "".join(self.arguments) or self.value.get("arguments") or "{}"
            return {**self.value, "arguments": arguments, "status": "completed"}
        if self.value.get("type") == "message":
            content = [self.parts[place].value() for place in sorted(self.parts)] or self.value.get("content")
            return {**self.value, "content": content, "status": "completed"}
        return self.value


class Order:
    """What one stream has told so far."""

    def __init__(self, hex_id: str) -> None:
        self._id = hex_id
        self._items: dict[int, _Item] = {}
        self._size = 0
        """How many items and parts there are."""

    @property
    def done(self) -> list[dict[str, Any]]:
        """The items that are done, in their order."""
        return [self._items[place].value for place in sorted(self._items) if self._items[place].is_done]

    def keep(self, kind: str, event: dict[str, Any]) -> list[Event]:
        """The event and what must go before it; nothing for arguments of a call that nobody has named yet."""
        place = event.get("output_index")
        if type(place) is not int:
            return [(kind, event)]
        if kind == _ADDED:
            self._begin(place, event["item"])
            return [(kind, event)]
        if kind == _DONE:
            return [*self._before_done(place, event["item"]), (kind, event)]
        stem, _, what = kind.rpartition(".")
        if stem == _ARGUMENTS:
            return self._of_call(kind, what, place, event)
        if stem in _OF_KIND or stem == "response.content_part":
            return [*self._before_text(stem, what, place, event), (kind, event)]
        item = self._items.get(place)
        self._name(event, item)
        return [(kind, event)]

    def _name(self, event: dict[str, Any], item: _Item | None) -> None:
        if item is not None:
            event["item_id"] = item.value["id"]

    def _begin(self, place: int, value: dict[str, Any]) -> None:
        self._grow_by_one()
        self._items[place] = _Item(value)

    def _grow_by_one(self) -> None:
        """Raises MalformedAnswer where they would fill the memory."""
        self._size += 1
        if self._size > _MOST:
            raise MalformedAnswer("too many items")

    def _add(self, place: int, value: dict[str, Any]) -> Event:
        self._begin(place, value)
        return _ADDED, {"output_index": place, "item": {**value}}

    def _of_call(self, kind: str, what: str, place: int, event: dict[str, Any]) -> list[Event]:
        item = self._items.get(place)
        if item is None:
            return []
        self._name(event, item)
        if what == "delta":
            item.arguments.append(event["delta"])
        elif what == "done":
            item.is_said = True
            event.setdefault("name", item.value.get("name") or "")
            if event["arguments"] and not item.arguments:
                return [self._grow(place, item, event["arguments"]), (kind, event)]
            event["arguments"] = event["arguments"] or "".join(item.arguments)
        return [(kind, event)]

    def _grow(self, place: int, item: _Item, arguments: str) -> Event:
        item.arguments.append(arguments)
        return f"{_ARGUMENTS}.delta", {"item_id": item.value["id"], "output_index": place, "delta": arguments}

    def _before_text(self, stem: str, what: str, place: int, event: dict[str, Any]) -> list[Event]:
        out = []
        if place not in self._items:
            empty = {"type": "message", "role": "assistant", "status": "in_progress", "content": []}
            told = event.get("item_id")
            item_id = told if type(told) is str and told else f"msg_{self._id}{place:04x}"
            out.append(self._add(place, {"id": item_id, **empty}))
        item = self._items[place]
        self._name(event, item)
        at = event["content_index"]
        part = item.parts.get(at)
        told = event.get("part")
        if part is None:
            kind = _OF_KIND.get(stem) or (told.get("type") if type(told) is dict else None)
            self._grow_by_one()
            part = item.parts[at] = _Part(str(kind))
            if (stem, what) != ("response.content_part", "added"):
                out.append(self._of_part(_PART_ADDED, place, at, part=part.value()))
        if stem in _OF_KIND and what == "delta":
            part.pieces.append(event["delta"])
        elif stem in _OF_KIND and what == "done":
            member = _TEXTS[_OF_KIND[stem]]
            out += self._grow_text(place, at, part, event[member])
            event[member] = event[member] or "".join(part.pieces)
            part.is_said = True
        elif what == "done":
            text = told.get(_TEXTS.get(part.kind, "")) if type(told) is dict else None
            out += self._say(place, at, part, text)
            part.is_done = True
        return out

    def _of_part(self, kind: str, place: int, at: int, **members: Any) -> Event:
        item_id = self._items[place].value["id"]
        return kind, {"item_id": item_id, "output_index": place, "content_index": at, **members}

    def _grow_text(self, place: int, at: int, part: _Part, text: Any) -> list[Event]:
        """All of a text of which nothing has come."""
        if part.pieces or type(text) is not str or not text:
            return []
        part.pieces.append(text)
        return [self._of_part(f"response.{part.kind}.delta", place, at, **_logprobs(part), delta=text)]

    def _say(self, place: int, at: int, part: _Part, text: Any = None) -> list[Event]:
        """What a text's end lacks."""
        if part.kind not in _TEXTS or part.is_said:
            return []
        out = self._grow_text(place, at, part, text)
        part.is_said = True
        said = {_TEXTS[part.kind]: "".join(part.pieces)}
        return [*out, self._of_part(f"response.{part.kind}.done", place, at, **_logprobs(part), **said)]

    def _before_done(self, place: int, value: dict[str, Any]) -> list[Event]:
        out = []
        if place not in self._items:
            out.append(self._add(place, _begun(value)))
        item = self._items[place]
        _keep_names(item.value, value)
        if value["type"] == "message":
            for at, told in enumerate(value["content"]):
                out += self._part(place, item, at, told)
        elif value["type"] == "function_call" and not item.is_said:
            if value["arguments"] and not item.arguments:
                out.append(self._grow(place, item, value["arguments"]))
            named = {"name": value["name"], "arguments": value["arguments"]}
            out.append((f"{_ARGUMENTS}.done", {"item_id": item.value["id"], "output_index": place, **named}))
        item.value, item.is_done = value, True
        return out

    def _part(self, place: int, item: _Item, at: int, told: dict[str, Any]) -> list[Event]:
        """What a part's end lacks, perhaps all of it."""
        out, part = [], item.parts.get(at)
        if part is None:
            self._grow_by_one()
            part = item.parts[at] = _Part(str(told.get("type")))
            out.append(self._of_part(_PART_ADDED, place, at, part=part.value() if part.kind in _TEXTS else told))
        out += self._say(place, at, part, told.get(_TEXTS.get(part.kind, "")))
        if not part.is_done:
            part.is_done = True
            out.append(self._of_part(_PART_DONE, place, at, part=told))
        return out

    def finish(self, response: dict[str, Any]) -> list[Event]:
        """What is missing before the last event, whose Response is given the output where it has none."""
        if not response.get("output"):
            response["output"] = [self._items[place].whole() for place in sorted(self._items)]
        out = []
        for at, value in enumerate(response["output"]):
            place = self._place_of(at, value)
            if place in self._items:
                _keep_names(self._items[place].value, value)
            if not (place in self._items and self._items[place].is_done):
                done = {"output_index": place, "item": value}
                out += [*self._before_done(place, value), (_DONE, done)]
        return out

    def _place_of(self, at: int, value: dict[str, Any]) -> int:
        """Where an item of the output stands among those that were told of, or a place of its own."""
        known = self._items.get(at)
        if known is not None and known.value["type"] == value["type"]:
            return at
        same = (place for place, item in self._items.items() if item.value["id"] == value["id"])
        return next(same, at if known is None else max(self._items) + 1)


def _keep_names(known: dict[str, Any], value: dict[str, Any]) -> None:
    """An item has the names that it was told of with; OpenAI's helper takes one with others for another."""
    if known["type"] == value["type"]:
        value.update({name: known[name] for name in ("id", "call_id") if name in known})


def _logprobs(part: _Part) -> dict[str, Any]:
    return {} if part.kind == "refusal" else {"logprobs": []}


def _begun(value: dict[str, Any]) -> dict[str, Any]:
    """An item as it is added."""
    if value["type"] == "message":
        return {**value, "status": "in_progress", "content": []}
    if value["type"] == "function_call":
        return {**value, "status": "in_progress", "arguments": ""}
    return value
