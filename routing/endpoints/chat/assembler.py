"""A whole chat completion from a stream's chunks.

Some requests go upstream as streams although the client wants JSON: some servers count several choices in a stream
only (ADR 0006).
"""

from __future__ import annotations

from typing import Any, Final

from routing.providers.base import MalformedAnswer

_MOST_CALLS: Final = 1024


class ChatAssembler:
    """One answer in the making."""

    def __init__(self, choices: int) -> None:
        self._wanted = choices
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._places: dict[int, dict[int, int]] = {}
        """By choice and index, where a tool call stands."""

    def add(self, chunk: dict[str, Any]) -> None:
        for part in chunk["choices"]:
            self._add_choice(part)
        self._top.update(chunk)

    def _add_choice(self, part: dict[str, Any]) -> None:
        index = part.get("index", 0)
        if type(index) is not int:
            raise MalformedAnswer("a choice has no index")
        choice = self._choices.setdefault(
            index, {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
        )
        for name, value in part["delta"].items():
            if name == "tool_calls":
                self._add_calls(index, choice["message"], value)
            elif name != "role":
                choice["message"][name] = _joined(choice["message"].get(name), value)
        if part.get("finish_reason") is not None:
            choice["finish_reason"] = part["finish_reason"]
        logprobs = part.get("logprobs")
        if type(logprobs) is dict:
            whole = choice.setdefault("logprobs", {})
            for name, value in logprobs.items():
                whole[name] = _joined(whole.get(name), value)

    def _add_calls(self, index: int, message: dict[str, Any], parts: Any) -> None:
        """Raises MalformedAnswer for what are no tool calls; null and none at all change nothing."""
        if parts is None:
            return
        if type(parts) is not list or any(type(part) is not dict for part in parts):
            raise MalformedAnswer("a tool call that is none")
        if parts:
            _merge_calls(message.setdefault("tool_calls", []), self._places.setdefault(index, {}), parts)

    @property
    def is_complete(self) -> bool:
        finished = [choice for choice in self._choices.values() if choice["finish_reason"] is not None]
        return len(finished) >= self._wanted

    def answer(self) -> dict[str, Any]:
        return {**self._top, "choices": [self._choices[index] for index in sorted(self._choices)]}


def _joined(before: Any, value: Any) -> Any:
    """Text and lists grow, anything else is replaced, null changes nothing."""
    if value is None:
        return before
    if before is not None and type(before) is type(value) and type(value) in (str, list):
        return before + value
    return value


def _merge_calls(calls: list[dict[str, Any]], places: dict[int, int], parts: list[dict[str, Any]]) -> None:
    """Tool calls come in pieces, with their place in each: the name first, then the arguments bit by bit.

    They stand in the order in which they came. Raises MalformedAnswer where they would fill the memory.
    """
    for part in parts:
        index = part.get("index", len(calls))
        if type(index) is not int:
            raise MalformedAnswer("a tool call without a place")
        place = places.setdefault(index, len(calls))
        if place == len(calls):
            if place >= _MOST_CALLS:
                raise MalformedAnswer("too many tool calls")
            calls.append({})
        call = calls[place]
        for name, value in part.items():
            if type(value) is dict:
                inner = call.setdefault(name, {})
                for key, piece in value.items():
                    inner[key] = _joined(inner.get(key), piece)
            elif name != "index":
                call.setdefault(name, value)
