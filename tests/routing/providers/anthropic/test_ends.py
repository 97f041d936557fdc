"""How answers in Anthropic's format end that say so in another way, or not at all."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from routing.providers.anthropic.chat import ChatReader
from routing.providers.anthropic.reader import AnthropicReader
from routing.providers.base import END, End, MalformedAnswer
from tests.routing.providers.anthropic.streams import (
    STOP,
    begins,
    brings,
    closes,
    ends,
    event,
    finishes,
    joined,
    opens,
    read,
)

CALL: Final = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
each_reader = pytest.mark.parametrize("kind", [AnthropicReader, ChatReader], ids=["messages", "chat"])


def whole(kind: type[AnthropicReader], *blocks: Any, **members: Any) -> dict[str, Any]:
    return kind().whole(orjson.dumps({"type": "message", "content": [*blocks], **members}))


@pytest.mark.parametrize(
    "end", ["[DONE]", "      [DONE]      ", '"[DONE]"', "data: [DONE]", f"{'[DONE]':20}", "[done]", "[END]", "[DONE]\0"]
)
@pytest.mark.parametrize("size", [0, 7])
def test_end_in_chats_words_is_one_however_it_is_written(end: str, size: int) -> None:
    parts = begins(), opens(), brings("text", text="Hello"), f"data: {end}\n\n".encode(), brings("text", text="never")
    events, _reader = read(*parts, reader=ChatReader(), size=size)
    assert (joined(events, "content"), finishes(events), events[-1]) == ("Hello", [], END)


@pytest.mark.parametrize(
    ("parts", "reasons"),
    [
        ((opens(), brings("text", text="Hello"), closes()), ["end_turn"]),
        ((opens(type="text", text="Hello"),), ["end_turn"]),
        ((opens(**CALL), closes()), ["tool_use"]),
        ((opens(type="thinking", thinking="hm"), closes()), []),
        ((), []),
    ],
    ids=["text", "text of the beginning", "call", "thoughts alone", "nothing"],
)
def test_last_event_alone_ends_what_was_said(parts: tuple[bytes, ...], reasons: list[str]) -> None:
    events, _reader = read(begins(), *parts, STOP, reader=AnthropicReader())
    told = [each for each in events if type(each) is dict and each["type"] == "message_delta"]
    assert ([each["delta"]["stop_reason"] for each in told], events[-1]) == (reasons, END)


def test_last_event_that_says_why_ends_what_says_nothing() -> None:
    events, _reader = read(begins(), event("message_stop", stop_reason="max_tokens"), reader=ChatReader())
    assert (finishes(events), events[-1]) == (["length"], END)


@pytest.mark.parametrize("size", [0, 7])
def test_words_before_the_answer_are_none_of_it(size: int) -> None:
    parts = b"welcome\n\n", begins(), opens(), brings("text", text="Hello"), closes(), ends(), STOP
    events, _reader = read(*parts, reader=ChatReader(), size=size)
    assert (joined(events, "content"), events[-1]) == ("Hello", END)
    events, _reader = read(*parts[:-2], reader=ChatReader(), size=size)
    assert (joined(events, "content"), [each for each in events if type(each) is End]) == ("Hello", [])


@each_reader
@pytest.mark.parametrize("place", ["x", 1.5, [0], {}], ids=str)
def test_end_stands_at_no_place(kind: type[AnthropicReader], place: Any) -> None:
    last = event("message_delta", delta={"stop_reason": "end_turn"}, index=place)
    reader = kind()
    events, _reader = read(begins(), opens(), brings("text", text="Hello"), closes(), last, STOP, reader=reader)
    assert (events[-1], reader.finish) == (END, "stop")


@pytest.mark.parametrize(("block", "reason", "finish"), [
    (CALL, "tool_use", "tool_calls"), ({"type": "text", "text": "Hello"}, "end_turn", "stop"),
], ids=["call", "text"])  # fmt: skip
def test_whole_message_that_says_something_has_ended(block: dict[str, Any], reason: str, finish: str) -> None:
    assert whole(AnthropicReader, block)["stop_reason"] == reason
    assert whole(ChatReader, block)["choices"][0]["finish_reason"] == finish


@each_reader
@pytest.mark.parametrize("blocks", [[], [{"type": "text", "text": ""}]], ids=["no block", "no word"])
def test_whole_message_that_says_nothing_and_not_why_is_none(kind: type[AnthropicReader], blocks: list[Any]) -> None:
    with pytest.raises(MalformedAnswer, match="says nothing"):
        whole(kind, *blocks)
    assert whole(kind, *blocks, stop_reason="end_turn")
