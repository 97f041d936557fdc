"""Tools of the Responses API as chat's functions, and back: which tool a function's call is for."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

import orjson
from msgspec import Struct

from routing.endpoints.invalid import UnsupportedParameter
from routing.endpoints.responses.schema import MORE_TOOLS, ResponsesRequest, Tool

_LONGEST: Final = 64
"""Letters of a function's name, in chat's format."""
_SEARCH: Final = "tool_search"
_NO_PARAMETERS: Final[dict[str, Any]] = {"type": "object", "properties": {}}


class Callee(Struct, frozen=True):
    """A tool as calls name it. `kind`: function, custom or tool_search."""

    kind: str
    name: str
    namespace: str | None = None

    @property
    def flat(self) -> str:
        """Its name among functions, which have no namespaces: the same in every request of a conversation."""
        if not self.namespace:
            return self.name
        name = f"{self.namespace}__{self.name}"
        if len(name) <= _LONGEST:
            return name
        digest = sha256(name.encode()).hexdigest()[:8]
        return f"{name[: _LONGEST - 1 - len(digest)]}_{digest}"


class ChatTools:
    """All tools of a request. Raises UnsupportedParameter for one that no function can stand for."""

    def __init__(self, request: ResponsesRequest) -> None:
        self._callees: dict[str, Callee] = {}
        self._functions: dict[str, dict[str, Any]] = {}
        for at, tool in _tools(request):
            self._add(tool, at, None, "")

    def _add(self, tool: Tool, at: str, namespace: str | None, about: str) -> None:
        if tool.type == "namespace" and namespace is None:
            about = tool.description or ""
            for place, inner in enumerate(tool.tools or ()):
                self._add(inner, f"{at}.tools[{place}]", tool.name, about)
                about = ""  # said once, with the first
            return
        if tool.type == _SEARCH and tool.execution == "client":
            callee = Callee(_SEARCH, _SEARCH)
        elif tool.type in {"function", "custom"}:
            callee = Callee(tool.type, tool.name or "", namespace)
        else:
            raise UnsupportedParameter(
                f"Tools of type '{tool.type}' cannot be said to this model's upstream.", param=f"{at}.type"
            )
        self._callees[callee.flat] = callee
        self._functions[callee.flat] = _function(callee, tool, about)

    def callee(self, flat: str) -> Callee:
        """Whom a call of this function is for; a function that nobody has declared is one by its own name."""
        return self._callees.get(flat) or Callee("function", flat)

    def is_whole(self, flat: str) -> bool:
        """Whether this is a declared function's name, and none that more may come of."""
        return flat in self._callees and not any(name != flat and name.startswith(flat) for name in self._callees)

    def functions(self, choice: Any) -> tuple[list[dict[str, Any]], Any]:
        """Chat's tools and tool choice; raises UnsupportedParameter for a choice that cannot be said."""
        if type(choice) is not dict:
            return list(self._functions.values()), choice
        if choice.get("type") == "allowed_tools" and type(choice.get("tools")) is list:
            allowed = {self._named(each) for each in choice["tools"]}
            kept = [function for name, function in self._functions.items() if name in allowed]
            return kept, choice.get("mode") or "auto"
        name = self._named(choice)
        return list(self._functions.values()), {"type": "function", "function": {"name": name}}

    def _named(self, choice: Any) -> str:
        if type(choice) is dict and choice.get("type") in {"function", "custom"} and type(choice.get("name")) is str:
            name = Callee("function", choice["name"], choice.get("namespace")).flat
            if name in self._functions:
                return name
        raise UnsupportedParameter("'tool_choice' names what is none of the functions.", param="tool_choice")


def _tools(request: ResponsesRequest) -> Iterator[tuple[str, Tool]]:
    """Each with its place in the body."""
    for index, tool in enumerate(request.tools or ()):
        yield f"tools[{index}]", tool
    for index, (kind, item) in enumerate(request.items):
        if kind in MORE_TOOLS:
            for place, tool in enumerate(item.tools):
                yield f"input[{index}].tools[{place}]", tool


def _function(callee: Callee, tool: Tool, about: str) -> dict[str, Any]:
    is_custom = callee.kind == "custom"
    said = "\n\n".join(filter(None, (about, tool.description)))
    function: dict[str, Any] = {"name": callee.flat}
    if said:
        function["description"] = said
    function["parameters"] = _text_parameter(tool) if is_custom else tool.parameters or _NO_PARAMETERS
    if tool.strict is not None and not is_custom:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _text_parameter(tool: Tool) -> dict[str, Any]:
    """A custom tool takes text. A grammar of that cannot be enforced here: it is told."""
    format_ = tool.format or {}
    how = "The whole input, as plain text."
    if format_.get("type") == "grammar":
        how = f"{how} It follows this {format_.get('syntax')} grammar:\n{format_.get('definition')}"
    return {
        "type": "object",
        "properties": {"input": {"type": "string", "description": how}},
        "required": ["input"],
        "additionalProperties": False,
    }


def text_arguments(text: str) -> str:
    """A custom tool's input as its function's arguments."""
    return orjson.dumps({"input": text}).decode()


def text_of_arguments(arguments: str) -> str:
    """The input in a function's arguments; a model that has written it plainly is understood."""
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    if type(value) is dict and type(value.get("input")) is str:
        return str(value["input"])
    return value if type(value) is str else arguments
