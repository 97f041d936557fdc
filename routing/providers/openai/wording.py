"""A request in a vendor's words: what it would refuse is left out where it is a hint, said otherwise where it can be.

What the body asks for and the vendor cannot do is `lacking`: the request then goes elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from routing.providers.openai.vendors import Vendor

_DETAILS: Final = "reasoning_details"
_THOUGHTS: Final = ("reasoning_content", "reasoning", _DETAILS)
_MARK: Final = "cache_control"
_NAMED_ROLES: Final = frozenset(("tool", "function"))
"""Whose name is the function's that they answer for."""


def lacking(vendor: Vendor, body: Mapping[str, Any]) -> str:
    """The member that asks for what the vendor cannot do, empty if none does."""
    for name, values in vendor.takes.items():
        asked = body.get(name)
        if asked and (asked.get("type") if type(asked) is dict else asked) not in values:
            return name
    return ""


def reword(vendor: Vendor, body: dict[str, Any]) -> None:
    """Changes a chat body, but nothing that stands inside it, to what the vendor takes."""
    _leave_out(vendor, body)
    if "reasoning" in body and not vendor.takes_reasoning:
        asked = body.pop("reasoning")
        effort = asked.get("effort") if type(asked) is dict else None
        if effort and "reasoning_effort" not in body:
            body["reasoning_effort"] = effort
    if vendor.tiers is not None and "service_tier" in body:
        tier = vendor.tiers.get(body.pop("service_tier"))
        if tier is not None:
            body["service_tier"] = tier
    messages = body.get("messages")
    if type(messages) is list:
        said = [_message(vendor, each) if type(each) is dict else each for each in messages]
        if any(new is not old for new, old in zip(said, messages, strict=True)):
            body["messages"] = said
    if not vendor.takes_marks and type(body.get("tools")) is list:
        body["tools"] = _unmarked(body["tools"])


def _leave_out(vendor: Vendor, body: dict[str, Any]) -> None:
    for name in vendor.leaves_out.intersection(body):
        del body[name]
    for name, values in vendor.takes.items():
        if not values and name in body:  # it asks for nothing, or the request would not be here
            del body[name]
    for name in _CAPS.intersection(body).difference(vendor.caps):
        body[vendor.caps[0]] = body.pop(name)


_CAPS: Final = frozenset(("max_tokens", "max_completion_tokens"))


def rename(vendor: Vendor, body: dict[str, Any]) -> None:
    """Members under the vendor's names, whatever the endpoint."""
    for name, own in vendor.renames.items():
        if name in body:
            body.setdefault(own, body.pop(name))


def _message(vendor: Vendor, message: dict[str, Any]) -> dict[str, Any]:
    """The message itself where nothing of it changes."""
    changed: dict[str, Any] = {}
    gone: set[str] = set()
    role = message.get("role")
    if role == "developer" and not vendor.knows_developers:
        changed["role"] = "system"
    if "name" in message and not vendor.knows_names and role not in _NAMED_ROLES:
        gone.add("name")
    if vendor.thoughts is not None and not message.keys().isdisjoint(_THOUGHTS):
        gone.update(_THOUGHTS)
        if thought := _thought(message, vendor.thoughts):
            changed[vendor.thoughts] = thought
    if not vendor.takes_marks:
        if type(message.get("content")) is list:
            parts = _unmarked(message["content"])
            if parts is not message["content"]:
                changed["content"] = _plain(parts)
        gone.add(_MARK)
    if not changed and gone.isdisjoint(message):
        return message
    return {name: value for name, value in message.items() if name not in gone} | changed


def _thought(message: dict[str, Any], member: str) -> Any:
    """What was thought, as this member has it; empty if nothing was, or if there is no such member."""
    details = message.get(_DETAILS)
    if member == _DETAILS and type(details) is list:
        return details
    thought = next((message[name] for name in _THOUGHTS if type(message.get(name)) is str), "") if member else ""
    return [{"type": "reasoning.text", "text": thought}] if thought and member == _DETAILS else thought


def _plain(parts: list[Any]) -> Any:
    """One text that is no more than that as a text, which every server takes."""
    (only, *others) = parts
    is_plain = not others and type(only) is dict and only.keys() == {"type", "text"}
    return only["text"] if is_plain else parts


def _unmarked(parts: list[Any]) -> list[Any]:
    """The same list where nothing is marked."""
    if not any(type(part) is dict and _MARK in part for part in parts):
        return parts
    return [
        {name: value for name, value in part.items() if name != _MARK} if type(part) is dict else part for part in parts
    ]
