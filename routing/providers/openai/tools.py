"""Tool calls made whole: index, id, type, and arguments as text, however a vendor sends them.

Clients add up what they get: a name that comes twice is doubled, and a gap between places breaks the stream helper of
OpenAI's library. So each call goes out at a place by order of appearance, and its id, type and name are said once.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import orjson

from routing.providers.base import MalformedAnswer
from routing.providers.openai.call import CUT, EMPTY, LONGEST_NAME, Call, is_quoted, unquoted
from routing.wire.wholeness import JsonScan

MOST_CALLS: Final = 1024
_ARGUMENTS: Final = ("parameters", "input", "args")
"""Other names of a function's arguments."""
_NULL: Final = "null"
_NONE: Final = (False, 0, "", _NULL, "None")
_NAMELESS: Final = "a tool was called without a name"


class ToolCalls:
    """The calls of one choice of a stream, and which of them a fragment belongs to."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._by_index: dict[int, Call] = {}
        """By the vendor's index: its latest call there."""
        self._by_id: dict[str, Call] = {}
        self._latest: Call | None = None
        """That spoke last."""

    @property
    def is_cut(self) -> bool:
        """Whether the arguments of a call are not whole."""
        return not all(call.is_whole or call.is_custom for call in self._calls)

    def refuse_open(self) -> None:
        """Raises MalformedAnswer for arguments that have begun and not ended. Other words are the model's."""
        if any(call.is_open for call in self._calls):
            raise MalformedAnswer(CUT)

    def complete(self, fragments: Any) -> list[dict[str, Any]]:
        """The fragments as they go out; raises MalformedAnswer for what is none."""
        if type(fragments) is not list or (fragments and type(fragments[0]) is list):
            fragments = _listed(_in_text(fragments))
        if type(fragments) is not list:
            raise MalformedAnswer("tool calls that are no list")
        whole = [self._complete(fragment) for fragment in fragments if fragment is not None]
        return [fragment for fragment in whole if fragment]

    def rest(self) -> list[dict[str, Any]]:
        """What is still to be said, once, where an answer has come to a good end: no arguments are an empty object.

        Raises MalformedAnswer for a call whose name has never come: nobody could answer it.
        """
        self.refuse_nameless()
        said = self.held()
        for call in self._calls:
            if not call.has_arguments and not call.is_custom:
                arguments = call.release() or EMPTY
                call.add("", arguments)
                said.append(_arguments_of(call, arguments))
        return said

    def refuse_nameless(self) -> None:
        """Raises MalformedAnswer for a call whose name has never come."""
        if not all(call.name for call in self._calls):
            raise MalformedAnswer(_NAMELESS)

    def held(self) -> list[dict[str, Any]]:
        """The empty objects behind which nothing has come, once."""
        held = [call for call in self._calls if call.holds_empty]
        for call in held:
            call.holds_empty = False
        return [_arguments_of(call, EMPTY) for call in held]

    def _complete(self, fragment: Any) -> dict[str, Any]:
        """Empty where it says nothing new."""
        if type(fragment) is not dict:
            raise MalformedAnswer("a tool call that is none")
        index = _index_of(fragment.pop("index", None))
        id_, kind, inner, key = _take_apart(fragment, no_arguments="")
        name, arguments = inner.get("name", ""), inner[key]
        call = self._call_of(index, id_[:LONGEST_NAME], name[:LONGEST_NAME], arguments)
        if call is None:
            if not (id_ or _says_something(inner, fragment)):
                return {}
            said = {"id": self._free_id(id_), "type": kind}
            call = self._begin(index, id_[:LONGEST_NAME], is_custom=kind == "custom")
        else:
            said = {}
            if name[:LONGEST_NAME] == call.name:
                inner.pop("name", None)
            if arguments and call.is_repeated_by(arguments):
                inner[key] = ""
            if not _says_something(inner, fragment):
                return {}
        inner[key] = call.plain(inner[key])
        call.add(inner.get("name", ""), inner[key])
        self._latest = call
        if call.is_custom and kind != "custom":  # it said no more than what stands beside
            return {"index": call.place, **fragment}
        return {"index": call.place, **said, "custom" if call.is_custom else "function": inner, **fragment}

    def _call_of(self, index: int | None, id_: str, name: str, arguments: str) -> Call | None:
        """The call that a fragment goes on with, None where it begins one."""
        at_index = self._by_index.get(index) if index is not None else None
        by_id = self._by_id.get(id_) if id_ and (at_index is None or at_index.id != id_) else None
        if by_id is not None:
            # Two calls with one id: their places tell them apart.
            is_new_place = index is not None and at_index is None and bool(name)
            call = None if is_new_place and not by_id.is_repeated_by(arguments) else by_id
        elif index is not None:
            call = at_index
            # Another id at the same place: Gemini and Ollama give every call the index 0. Without a name it is from
            # one of those that make an id for each fragment (LM Studio).
            if call is not None and name and id_ and call.id not in ("", id_):
                return None
        else:
            call = self._gone_on(id_, name)
        return None if call is None or call.is_other_than(name, arguments) else call

    def _gone_on(self, id_: str, name: str) -> Call | None:
        """The latest call, where a fragment without a place, under no known id, can go on with it."""
        call = self._latest
        if call is None or (id_ and (call.id or name)):
            return None
        is_open = not call.name or (name == call.name and call.has_arguments and not call.is_whole)
        return call if not name or is_open else None

    def _begin(self, index: int | None, id_: str, *, is_custom: bool) -> Call:
        place = len(self._calls)
        if place >= MOST_CALLS:
            raise MalformedAnswer("too many tool calls")
        call = Call(place, id_, is_custom=is_custom)
        self._calls.append(call)
        if index is None:
            self._by_index.setdefault(place, call)
        else:
            self._by_index[index] = call
        if id_:
            self._by_id[id_] = call
        return call

    def _free_id(self, id_: str) -> str:
        return id_ if id_ and id_[:LONGEST_NAME] not in self._by_id else _new_id()


def _arguments_of(call: Call, arguments: str) -> dict[str, Any]:
    return {"index": call.place, "function": {"arguments": arguments}}


def complete_calls(calls: Any) -> list[dict[str, Any]]:
    """The calls of a whole answer; what is no call is left out.

    Raises MalformedAnswer for a call without a name: nobody could answer it.
    """
    calls = _listed(_in_text(calls))
    found: dict[str, dict[str, Any]] = {}
    for call in calls if type(calls) is list else ():
        if type(call) is not dict:
            continue
        call.pop("index", None)
        id_, kind, inner, key = _take_apart(call, no_arguments=EMPTY)
        if key == "arguments" and is_quoted(inner.get(key, "")):
            inner[key] = unquoted(inner[key])
        if id_ or inner.get("name") or any(call.values()):
            if not inner.get("name"):
                raise MalformedAnswer(_NAMELESS)
            id_ = id_ if id_ and id_ not in found else _new_id()
            found[id_] = {"id": id_, "type": kind, kind: inner, **call}
    return list(found.values())


def refuse_cut(calls: list[dict[str, Any]]) -> None:
    """Raises MalformedAnswer if arguments of a whole answer have begun and not ended."""
    for call in calls:
        scan = JsonScan()
        scan.add(call.get("function", {}).get("arguments", ""))
        if scan.is_open:
            raise MalformedAnswer(CUT)


def _listed(calls: Any) -> Any:
    """The one call, those that an object has by number, or those of a list of lists; a word for none is none."""
    if type(calls) is list:
        is_nested = bool(calls) and type(calls[0]) is list and bool(calls[0])
        return [call for each in calls for call in each] if is_nested else calls
    if type(calls) is dict:
        return list(calls.values()) if calls and all(map(str.isdecimal, calls)) else [calls]
    return [] if calls in _NONE else calls


def _in_text(value: Any) -> Any:
    """The object or list that stands in a text as JSON; the value where it is none."""
    if type(value) is not str or not value.startswith(("{", "[")):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def place_of(index: Any, what: str) -> int:
    """A place that came as text, or as a floating number; raises MalformedAnswer for what is none."""
    if type(index) is float and index.is_integer() and 0 <= index < MOST_CALLS:
        return int(index)
    if type(index) is str and index.isascii() and index.isdecimal() and len(index) < len("1000"):
        return int(index)
    raise MalformedAnswer(f"{what} without a place")


def _index_of(index: Any) -> int | None:
    """Any number will do, since places go out by order of appearance; what is none is as absent."""
    if type(index) is int:
        return index
    if type(index) is float and index.is_integer():
        return int(index)
    if type(index) is str and index.isascii() and index.isdecimal() and len(index) < len("10000000"):
        return int(index)
    return None


def _take_apart(call: dict[str, Any], *, no_arguments: str) -> tuple[str, str, dict[str, Any], str]:
    """A call's id, its kind, its inner part and what the arguments are called there; takes them out of the call.

    Afterwards the arguments are a text, and a name is one that is not empty. Workers AI, and OpenAI's own responses,
    write name and arguments beside the call.
    """
    id_, kind = _text_of(call.pop("id", None)), call.pop("type", None)
    custom, function = call.pop("custom", None), _in_text(call.pop("function", None))
    if type(function) is not dict and (type(custom) is dict or kind == "custom"):
        kind, key, inner = "custom", "input", custom if type(custom) is dict else {}
    else:
        kind, key, inner = "function", "arguments", function if type(function) is dict else {}
        if not inner:
            inner = {name: call.pop(name) for name in ("name", "arguments", *_ARGUMENTS) if name in call}
            if type(function) is str:
                inner["name"] = function
    if "name" in inner:
        inner["name"] = _text_of(inner["name"])
        if not inner["name"]:
            del inner["name"]
    for name in _ARGUMENTS:
        if name in inner and inner.get(key) is None and inner[name] is not None:
            inner[key] = inner.pop(name)
    arguments = inner.get(key)
    if key == "arguments" and (
        arguments == _NULL or (type(arguments) is str and not arguments.strip() and no_arguments)
    ):
        inner[key] = no_arguments
    elif type(arguments) is not str:
        inner[key] = json_of(arguments) if arguments not in (None, {}) else no_arguments if key == "arguments" else ""
    return id_, kind, inner, key


def json_of(value: Any) -> str:
    """Raises MalformedAnswer for what is nested too deep."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise MalformedAnswer("a tool call's arguments are nested too deep") from error


def _text_of(value: Any) -> str:
    if type(value) is str:
        return value
    return str(value) if type(value) is int else ""


def _says_something(inner: dict[str, Any], members: dict[str, Any]) -> bool:
    return any(inner.values()) or any(members.values())


def _new_id() -> str:
    return f"call_{secrets.token_hex(12)}"
