"""What a choice says, brought into the canonical shape: text as text, tool calls as calls, whatever they came as."""

from __future__ import annotations

from typing import Any, Final

from routing.providers.base import MalformedAnswer
from routing.providers.openai.finish import GOOD_ENDS
from routing.providers.openai.refusals import text_of
from routing.providers.openai.tools import complete_calls, json_of, refuse_cut

_TEXTS: Final = frozenset(("refusal", "reasoning_content", "reasoning"))
_PLAIN: Final = frozenset(("role", "content", "refusal", "annotations", "audio"))
"""Members of a message that need nothing."""
CALLS: Final = frozenset(("tool_call", "toolCalls"))
"""Other names of a message's calls."""
_MOST_DEPTH: Final = 6
"""Of what holds a text."""
_THOUGHT: Final = frozenset(("thinking", "reasoning"))
"""Kinds of parts."""


def is_plain(choice: dict[str, Any]) -> bool:
    """Whether a whole choice has the canonical shape: text and no more, as most have."""
    message = choice.get("message")
    return (
        type(message) is dict
        and type(message.get("content")) is str
        and message.keys() <= _PLAIN
        and message.get("refusal") is None
    )


def complete_whole(choice: dict[str, Any]) -> None:
    """Brings a choice of a whole answer into the canonical shape."""
    message = choice.get("message")
    if type(message) is str:
        message = choice["message"] = {"content": message}
    if message is None:
        message = choice["message"] = message_of(choice) or None
    if type(message) is not dict:
        return
    calls = choice.pop("tool_calls", None)
    for name in CALLS.intersection(message):
        calls = message.pop(name) or calls
    if calls and not message.get("tool_calls"):
        message["tool_calls"] = calls
    if message.get("tool_calls") is not None:
        calls = complete_calls(message["tool_calls"])
        if choice.get("finish_reason") in GOOD_ENDS:
            refuse_cut(calls)
        if calls:
            message["tool_calls"] = calls
        else:
            del message["tool_calls"]
    complete_said(message)
    if "function_call" in message and choice.get("finish_reason") in GOOD_ENDS:
        refuse_cut([{"function": message["function_call"]}])


def message_of(choice: dict[str, Any]) -> dict[str, Any]:
    """What a choice says outside its usual place: some stream whole messages, some a completion's text."""
    for name in ("message", "delta"):
        if type(choice.get(name)) is dict:
            said: dict[str, Any] = choice.pop(name)
            return said
    text = choice.pop("text", None)
    if text is None:
        text = choice.pop("content", None)
    return {"content": text} if type(text) is str else {}


def complete_said(message: dict[str, Any]) -> None:
    """Text as text, whatever it came as; what is no text where only text may be goes."""
    content = message.get("content")
    if type(content) is not str and content is not None:
        if type(content) in {list, dict}:
            _join_parts(message, content if type(content) is list else [content])
        else:
            message["content"] = str(content) if type(content) in {int, float} else None
    for name in _TEXTS.intersection(message):
        if type(message[name]) is not str:
            message[name] = _text_in(message[name])
    if "function_call" in message:
        _complete_function(message)


def _complete_function(message: dict[str, Any]) -> None:
    """The older form of a call: a name and arguments are texts where they are there; without either it is none."""
    function = message["function_call"]
    if type(function) is not dict or not any(function.values()):
        del message["function_call"]
        return
    for name in ("name", "arguments"):
        value = function.get(name)
        if value is None:
            function.pop(name, None)
        elif type(value) is not str:
            function[name] = json_of(value)


def _text_in(value: Any, depth: int = 0) -> str | None:
    """The text of what should be one: a number, parts; None where it lies too deep."""
    if depth > _MOST_DEPTH:
        return None
    if type(value) is list:
        return "".join(filter(None, [_text_in(each, depth + 1) for each in value])) or None
    if type(value) is dict:
        return _text_in(value.get("text") or value.get("content"), depth + 1)
    return value if type(value) is str else str(value) if type(value) in {int, float} else None


def _join_parts(message: dict[str, Any], parts: list[Any]) -> None:
    """Content that came as parts, as text: thoughts (Mistral's `thinking`) and pictures apart from what is said.

    Raises MalformedAnswer for a part that is none.
    """
    said, thought, shown = [], [], []
    for part in parts:
        if type(part) is str:
            said.append(part)
        elif type(part) is dict and part.get("thinking"):
            inner = part["thinking"]
            thought += (
                [text_of(each.get("text")) for each in inner if type(each) is dict] if type(inner) is list else []
            )
            thought.append(text_of(inner))
        elif type(part) is dict and part.get("image_url"):
            shown.append({"type": "image_url", "image_url": part["image_url"]})
        elif type(part) is dict:
            text = part.get("text") or part.get("content") or _text_in(part.get("summary"))
            text = text_of(text.get("value") if type(text) is dict else text)
            (thought if text_of(part.get("type")) in _THOUGHT else said).append(text)
        elif part is not None:
            raise MalformedAnswer("a part of the content that is none")
    message["content"] = "".join(said)
    if shown:
        before = message.get("images")
        message["images"] = [*(before if type(before) is list else ()), *shown]
    if any(thought) and not message.get("reasoning_content"):
        message["reasoning_content"] = "".join(thought)
