"""Google's answers as its client libraries and gateways write them, brought into the shape of Google's own JSON. Pure.

Python's libraries write members with underscores and enums as numbers (protobuf.dev/programming-guides/json); gateways
write one thing where a list of them should be, or a text in place of what holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from routing.providers.base import MalformedAnswer

_OF_ANSWERS: Final = {"usage_metadata": "usageMetadata", "prompt_feedback": "promptFeedback", "usage": "usageMetadata"}
_OF_CANDIDATES: Final = {"finish_reason": "finishReason", "usage_metadata": "usageMetadata"}
_OF_PARTS: Final = {
    "function_call": "functionCall",
    "inline_data": "inlineData",
    "thought_signature": "thoughtSignature",
}
_OF_PARTS_ALONE: Final = frozenset(("text", "functionCall", "function_call", "inlineData", "inline_data"))
"""What shows that a part stands where a content should."""
_OF_FEEDBACK: Final = {"block_reason": "blockReason"}
_ARGUMENTS: Final = ("arguments", "input", "parameters")
"""Other vendors' names of a call's arguments."""
_REASONS: Final = (
    "FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST",
    "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL",
)  # fmt: skip
"""By their number in the protocol buffers."""
_MOST_DIGITS: Final = 4


def canonical(value: dict[str, Any]) -> None:
    """Brings an answer, or a chunk, into the shape, in place; what is of no shape stays, and is found out later."""
    _rename(value, _OF_ANSWERS)
    if type(value.get("promptFeedback")) is dict:
        _rename(value["promptFeedback"], _OF_FEEDBACK)
    candidates = value.get("candidates")
    if type(candidates) is dict:
        candidates = value["candidates"] = [candidates] if candidates else []
    if type(candidates) is not list:
        return
    if None in candidates:
        candidates[:] = [candidate for candidate in candidates if candidate is not None]
    for candidate in candidates:
        if type(candidate) is dict:
            _canonical(candidate)
            if "usageMetadata" in candidate:
                value.setdefault("usageMetadata", candidate.pop("usageMetadata"))


def _canonical(candidate: dict[str, Any]) -> None:
    _rename(candidate, _OF_CANDIDATES)
    reason, index = candidate.get("finishReason"), candidate.get("index", 0)
    if type(reason) is int:
        candidate["finishReason"] = _REASONS[reason] if 0 <= reason < len(_REASONS) else f"number {reason}"
    if type(index) is not int:
        del candidate["index"]
        if type(index) is str and index.isascii() and index.isdecimal():
            candidate["index"] = int(index[:_MOST_DIGITS])
    content = candidate.get("content")
    if type(content) is list:
        content = _joined(content)
    if type(content) is str:
        content = {"parts": [{"text": content}]} if content else {}
    if type(content) is dict:
        if "parts" not in content and not _OF_PARTS_ALONE.isdisjoint(content):
            content = {"parts": [content]}
        content["parts"] = _parts_of(content.get("parts"))
    if "content" in candidate:
        candidate["content"] = content


def _joined(contents: list[Any]) -> Any:
    """One content of several, or of parts that stand there alone; None for nothing, the list for what is neither."""
    contents = [content for content in contents if content is not None]
    if not all(type(content) in (dict, str) for content in contents):
        return contents
    parts = [_parts_in(content) for content in contents]
    return {"parts": [part for each in parts for part in each]} if parts else None


def _parts_in(content: Any) -> list[Any]:
    if type(content) is not dict or "parts" not in content:
        return [content] if content and content != {"role": "model"} else []
    parts = content["parts"]
    return parts if type(parts) is list else [parts]


def _parts_of(parts: Any) -> Any:
    """The parts where one stands alone, as a text or as null among them."""
    if type(parts) in (dict, str):
        parts = [parts] if parts else []
    if type(parts) is not list:
        return parts
    found = [{"text": part} if type(part) is str else part for part in parts if part is not None]
    for part in found:
        if type(part) is dict:
            _rename(part, _OF_PARTS)
            if type(part.get("text", "")) is not str:
                part["text"] = str(part["text"]) if type(part["text"]) in (int, float) else ""
            call: Any = part.get("functionCall")
            if type(call) is dict:
                _complete_call(call)
            elif call:
                raise MalformedAnswer("a function call that is none")
    return found


def _complete_call(call: dict[str, Any]) -> None:
    """Arguments under another vendor's name, or as a text.

    Raises MalformedAnswer for what are none, and for a call without a name.
    """
    if type(call.get("name")) is not str or not call["name"]:
        raise MalformedAnswer("a function call without a name")
    for name in _ARGUMENTS:
        if name in call:
            call.setdefault("args", call.pop(name))
    if call.get("args", {}) is None:
        del call["args"]
    arguments = call.get("args")
    if type(arguments) is str:
        try:
            call["args"] = orjson.loads(arguments) if arguments.strip() else {}
        except orjson.JSONDecodeError as error:
            raise MalformedAnswer("a function call's arguments that are no object") from error
    if type(call.get("args", {})) is not dict:
        raise MalformedAnswer("a function call's arguments that are no object")


def _rename(members: dict[str, Any], names: Mapping[str, str]) -> None:
    if not names.keys().isdisjoint(members):
        for name, own in names.items():
            if name in members:
                members.setdefault(own, members.pop(name))
