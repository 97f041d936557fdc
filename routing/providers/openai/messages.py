"""What a choice says, brought into the canonical shape: text as text, tool calls as calls, whatever they came as."""

from __future__ import annotations

from typing import Any, Final

from routing.providers.base import MalformedAnswer
from routing.providers.openai.refusals import text_of
from routing.providers.openai.tools import complete_calls

_TEXTS: Final = frozenset(("refusal", "reasoning_content", "reasoning"))
_PLAIN: Final = frozenset(("role", "content", "refusal", "annotations", "audio"))
"""Members of a message that need nothing."""
_NOTHING: Final[dict[str, Any]] = {"name": ""}


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
    if message is None:
        message = choice["message"] = message_of(choice) or None
    if type(message) is not dict:
        return
    if message.get("tool_calls") is not None:
        calls = complete_calls(message["tool_calls"])
        if calls:
            message["tool_calls"] = calls
        else:
            del message["tool_calls"]
    complete_said(message)


def message_of(choice: dict[str, Any]) -> dict[str, Any]:
    """What a choice says outside its usual place: some stream whole messages, some a completion's text."""
    for name in ("message", "delta"):
        if type(choice.get(name)) is dict:
            said: dict[str, Any] = choice.pop(name)
            return said
    text = choice.pop("text", None)
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
    if type(message.get("function_call", _NOTHING)) is not dict or not message.get("function_call", True):
        del message["function_call"]


def _text_in(value: Any) -> str | None:
    """The text of what should be one: a number, parts."""
    if type(value) is list:
        return "".join(filter(None, map(_text_in, value))) or None
    if type(value) is dict:
        return _text_in(value.get("text"))
    return value if type(value) is str else str(value) if type(value) in {int, float} else None


def _join_parts(message: dict[str, Any], parts: list[Any]) -> None:
    """Content that came as parts, as text: what was thought (Mistral's `thinking`) apart from what is said.

    Raises MalformedAnswer for a part that is none.
    """
    said, thought = [], []
    for part in parts:
        if type(part) is str:
            said.append(part)
        elif type(part) is dict and part.get("thinking"):
            inner = part["thinking"]
            thought += (
                [text_of(each.get("text")) for each in inner if type(each) is dict] if type(inner) is list else []
            )
            thought.append(text_of(inner))
        elif type(part) is dict:
            text = part.get("text")
            said.append(text_of(text.get("value") if type(text) is dict else text))
        elif part is not None:
            raise MalformedAnswer("a part of the content that is none")
    message["content"] = "".join(said)
    if any(thought) and not message.get("reasoning_content"):
        message["reasoning_content"] = "".join(thought)
