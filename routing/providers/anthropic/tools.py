"""Tools and the choice among them, from chat's form into Anthropic's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from routing.providers.anthropic.parts import with_marker
from routing.providers.anthropic.schemas import constrained

_MODES: Final = {"auto": "auto", "required": "any", "none": "none"}
FORCED: Final = frozenset(("any", "tool"))


def tools_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    tools = [_tool_of(tool) for tool in body.get("tools") or ()]
    allowed = _allowed(body.get("tool_choice"))
    return tools if allowed is None else [tool for tool in tools if tool["name"] in allowed]


def choice_of(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """None where nothing was said, which is Anthropic's `auto` too."""
    choice, is_single = body.get("tool_choice"), body.get("parallel_tool_calls") is False
    said = _choice(choice)
    if is_single and (said is None or said["type"] != "none"):
        return {**(said or {"type": "auto"}), "disable_parallel_tool_use": True}
    return said


def is_sayable(choice: Any) -> bool:
    return choice is None or _choice(choice) is not None


def _choice(choice: Any) -> dict[str, Any] | None:
    if type(choice) is str:
        return {"type": _MODES[choice]} if choice in _MODES else None
    if type(choice) is not dict:
        return None
    function, allowed = choice.get("function"), choice.get("allowed_tools")
    if choice.get("type") == "function" and type(function) is dict:
        return {"type": "tool", "name": function.get("name")}
    mode = allowed.get("mode") if choice.get("type") == "allowed_tools" and type(allowed) is dict else None
    return {"type": _MODES[mode]} if type(mode) is str and mode in _MODES else None


def _allowed(choice: Any) -> frozenset[str] | None:
    """The names that a choice of allowed tools leaves; None where it is another choice."""
    allowed = choice.get("allowed_tools") if type(choice) is dict else None
    tools = allowed.get("tools") if type(allowed) is dict else None
    if type(tools) is not list:
        return None
    functions = [tool.get("function") for tool in tools if type(tool) is dict]
    names = [function.get("name") for function in functions if type(function) is dict]
    return frozenset(name for name in names if type(name) is str)


def _tool_of(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool["function"]
    is_strict = function.get("strict") is True
    schema = {"type": "object", **(function.get("parameters") or {"properties": {}})}
    said: dict[str, Any] = {"name": function["name"], "input_schema": constrained(schema) if is_strict else schema}
    if function.get("description"):
        said["description"] = function["description"]
    if is_strict:
        said["strict"] = True
    return with_marker(said, tool)
