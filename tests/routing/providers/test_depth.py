"""What an upstream nests a thousand times, wherever it puts that, is no fault of ours: it is read past, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from routing.endpoints.chat.answer import estimate_strings
from routing.providers.anthropic.chat import ChatReader as AnthropicsChatReader
from routing.providers.anthropic.reader import AnthropicReader
from routing.providers.base import MalformedAnswer, Reader
from routing.providers.gemini.reader import ChatReader as GooglesChatReader
from routing.providers.gemini.reader import GenerateReader
from routing.providers.openai.reader import OpenAIReader
from routing.providers.openai.responses import ResponsesReader

FUNCTION: Final = {"name": "f", "arguments": "{}"}
CALL: Final = {"index": 0, "id": "a", "type": "function", "function": FUNCTION}
SAID: Final = {"content": "a", "reasoning_content": "b", "tool_calls": [CALL], "function_call": FUNCTION}
USE: Final = {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}}
CHATS: Final[list[dict[str, Any]]] = [
    {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": SAID, "finish_reason": "stop"}], "usage": {}},
    {"choices": [{"message": SAID, "finish_reason": "stop", "error": None}], "status": "x", "metadata": {}},
    {"type": "message-end", "delta": {"message": {"content": "a"}, "usage": {}, "error": "x"}, "object": "x"},
    {"data": {"response": {}}, "status": "failed", "message": "x", "detail": "x", "code": 5},
]
MESSAGES: Final[list[dict[str, Any]]] = [
    {"type": "message", "content": [{"type": "text", "text": "a"}, USE], "stop_reason": "end_turn", "usage": {}},
    {"type": "content_block_start", "index": 0, "content_block": {**USE, "function": FUNCTION}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}, "error": None},
    {"type": "error", "error": {"message": "x"}},
]
PARTS: Final = [{"text": "a"}, {"functionCall": {"name": "f", "args": {"a": 1}}}]
GOOGLES: Final[list[dict[str, Any]]] = [
    {"candidates": [{"content": {"parts": PARTS}, "finishReason": "STOP", "index": 0}], "usageMetadata": {}},
    {"promptFeedback": {"blockReason": "x"}, "error": None, "message": "x"},
]
ITEM: Final = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
RESPONSES: Final[list[dict[str, Any]]] = [
    {"type": "response.completed", "response": {"status": "completed", "output": [ITEM], "usage": {}, "error": None}},
    {"type": "response.function_call_arguments.delta", "output_index": 0, "item_id": "a", "delta": "{"},
    {"status": "completed", "output": [ITEM, {"type": "function_call", "name": "f", "arguments": "{}"}], "error": None},
]
READERS: Final[dict[Callable[[], Reader], list[dict[str, Any]]]] = {
    OpenAIReader: CHATS,
    AnthropicReader: MESSAGES,
    AnthropicsChatReader: MESSAGES,
    GenerateReader: GOOGLES,
    GooglesChatReader: GOOGLES,
    ResponsesReader: RESPONSES,
}


def replaced(value: Any) -> Iterator[Any]:
    """The value with a mark in each place in turn."""
    yield "@"
    for place in range(len(value)) if type(value) is list else ():
        for inner in replaced(value[place]):
            yield [*value[:place], inner, *value[place + 1 :]]
    for name in value if type(value) is dict else ():
        for inner in replaced(value[name]):
            yield {**value, name: inner}


CASES: Final = [
    (make, json.dumps(marked).encode())
    for make, values in READERS.items()
    for value in values
    for marked in replaced(value)
]


@pytest.mark.parametrize(
    ("opening", "closing"), [(b"[", b"]"), (b'{"error":', b"}"), (b'{"data":', b"}")], ids=["lists", "errors", "data"]
)
@pytest.mark.parametrize(("make", "marked"), CASES, ids=lambda each: getattr(each, "__name__", ""))
def test_nothing_is_too_deep_for_a_reader(
    make: Callable[[], Reader], marked: bytes, opening: bytes, closing: bytes
) -> None:
    data = marked.replace(b'"@"', opening * 1000 + b"1" + closing * 1000)
    make().feed(b"data: " + data + b"\n\n")
    with suppress(MalformedAnswer):
        make().whole(data)


def test_text_is_counted_however_deep_it_lies() -> None:
    deep: Any = {"text": "abc", "type": "text"}
    for _depth in range(2000):
        deep = [deep, {"content": "de"}]
    assert estimate_strings(deep) == 3 + 2 * 2000
