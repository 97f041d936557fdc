"""Anthropic's format as gateways and servers that took it over write it, read as its own and as chat's.

From public reports about new-api, LiteLLM, vLLM and proxies before Claude Code: inputs as objects and under chat's
names, reasons beside the delta or in the last event, text in objects, counts in OpenAI's words, events on one line.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.messages.answer import check_message
from routing.providers.anthropic.chat import ChatReader
from routing.providers.anthropic.reader import AnthropicReader
from routing.providers.base import END, End, MalformedAnswer
from tests.routing.providers.anthropic.streams import (
    STOP,
    begins,
    brings,
    closes,
    deltas,
    ends,
    event,
    finishes,
    joined,
    opens,
    read,
)

COUNTS: Final = {"input_tokens": 100, "output_tokens": 10}
HELLO: Final = begins(COUNTS) + opens() + brings("text", text="Hello") + closes()
CALL: Final = {"type": "tool_use", "id": "toolu_1", "name": "f"}


def told(*parts: bytes, size: int = 0) -> tuple[str, list[tuple[str, str]], str, list[str]]:
    """Text and calls, each with its arguments, then the reason, in chat's words; how the format's own ended."""
    events, _reader = read(*parts, reader=ChatReader(), size=size)
    assert events[-1] == END
    calls: dict[int, list[str]] = {}
    for call in (call for delta in deltas(events) for call in delta.get("tool_calls", ())):
        said = calls.setdefault(call["index"], ["", ""])
        said[0] += call["function"].get("name", "")
        said[1] += call["function"].get("arguments", "")
    own, _reader = read(*parts, reader=AnthropicReader(), size=size)
    reasons = [each["delta"]["stop_reason"] for each in own if type(each) is dict and each["type"] == "message_delta"]
    return joined(events, "content"), [(name, text) for name, text in calls.values()], finishes(events)[-1], reasons


@pytest.mark.parametrize(
    "delta",
    [
        {"type": "input_json_delta", "input": {"a": 1}},
        {"type": "input_json_delta", "arguments": '{"a":1}'},
        {"type": "tool_use_delta", "partial_json": '{"a":1}'},
        {"type": "tool_use", "input": {"a": 1}},
        {"type": ["odd"], "partial_json": {"a": 1}},
        {"partial_json": '{"a":1}'},
        {"input": {"a": 1}},
        {"input": '{"a":1}', "arguments": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [0, 7])
def test_input_of_a_call_is_read_in_whatever_form_its_delta_has(delta: dict[str, Any], size: int) -> None:
    brought = event("content_block_delta", index=0, delta=delta)
    parts = begins(COUNTS), opens(**CALL, input={}), brought, closes(), ends("tool_use"), STOP
    assert told(*parts, size=size) == ("", [("f", '{"a":1}')], "tool_calls", ["tool_use"])


CALLS: Final[list[dict[str, Any]]] = [
    {**CALL, "arguments": {"a": 1}},
    {**CALL, "arguments": '{"a":1}'},
    {**CALL, "input": {}, "arguments": {"a": 1}},
    {**CALL, "parameters": {"a": 1}},
    {"type": "tool_use", "id": "toolu_1", "function": {"name": "f", "arguments": '{"a":1}'}},
    {**CALL, "function": {"name": "g", "arguments": {"a": 1}}},
]


@pytest.mark.parametrize("block", CALLS, ids=str)
def test_call_is_read_under_chats_names(block: dict[str, Any]) -> None:
    parts = begins(COUNTS), opens(**block), closes(), ends("tool_use"), STOP
    assert told(*parts) == ("", [("f", '{"a":1}')], "tool_calls", ["tool_use"])
    answer = orjson.dumps({"type": "message", "content": [block], "stop_reason": "tool_use"})
    assert AnthropicReader().whole(answer)["content"] == [{**CALL, "input": {"a": 1}}]
    (choice,) = ChatReader().whole(answer)["choices"]
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}


@pytest.mark.parametrize(
    "last",
    [
        event("message_delta", delta={}, stop_reason="max_tokens") + STOP,
        event("message_delta", delta={"stop_sequence": None}, stop_reason="max_tokens") + STOP,
        event("message_delta", delta=None, stop_reason="max_tokens", stop_sequence=None) + STOP,
        event("message_delta", message={"stop_reason": "max_tokens"}) + STOP,
        event("message_delta", delta={"finish_reason": "length"}) + STOP,
        event("message_delta", delta={"stop_reason": None, "stopReason": "max_tokens"}) + STOP,
        event("message_delta", delta={}) + event("message_stop", stop_reason="max_tokens"),
        event("message_stop", message={"stop_reason": "max_tokens"}),
    ],
    ids=["beside", "beside another", "beside null", "message", "chats", "camels", "last", "message of the last"],
)
def test_reason_is_read_wherever_the_last_events_say_it(last: bytes) -> None:
    text, _calls, finish, reasons = told(HELLO, last)
    assert (text, finish, [each for each in reasons if each]) == ("Hello", "length", ["max_tokens"])


@pytest.mark.parametrize("name", ["stop_reason", "stopReason", "finish_reason"])
def test_reason_of_a_whole_message_is_read_under_other_names(name: str) -> None:
    answer = orjson.dumps({"type": "message", "content": [{"type": "text", "text": "Hello"}], name: "max_tokens"})
    assert AnthropicReader().whole(answer)["stop_reason"] == "max_tokens"
    assert ChatReader().whole(answer)["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "last",
    [
        event("message_delta", delta={"stop_reason": None}, error={"message": "worker limit"}) + STOP,
        event("message_delta", delta={}, stop_reason="error") + STOP,
        event("message_stop", stop_reason="error"),
        event("message_stop", error={"message": "worker limit"}),
    ],
    ids=["error beside", "reason beside", "reason of the last", "error of the last"],
)
@pytest.mark.parametrize("kind", [AnthropicReader, ChatReader])
def test_failure_in_the_last_events_is_no_end(last: bytes, kind: type[AnthropicReader]) -> None:
    events, _reader = read(HELLO, last, reader=kind())
    assert type(events[-1]) is End
    assert events[-1].error


def test_half_a_call_whose_reason_comes_last_is_broken() -> None:
    half = opens(**CALL, input={}) + brings("input_json", partial_json='{"a":')
    events, _reader = read(begins(), half, event("message_stop", stop_reason="tool_use"), reader=ChatReader())
    assert type(events[-1]) is End
    assert events[-1].error


TEXTS: Final[list[dict[str, Any]]] = [
    {"text": {"text": "Hello"}},
    {"text": {"value": "Hello"}},
    {"text": ["Hel", {"text": "lo"}]},
    {"content": "Hello"},
    {"text": None, "content": [{"type": "text", "text": "Hello"}]},
]


@pytest.mark.parametrize("said", TEXTS, ids=str)
def test_text_is_read_in_whatever_holds_it(said: dict[str, Any]) -> None:
    parts = begins(COUNTS), opens(), brings("text", **said), closes(), ends(), STOP
    assert told(*parts)[0] == "Hello"
    answer = orjson.dumps({"type": "message", "content": [{"type": "text", **said}], "stop_reason": "end_turn"})
    assert ChatReader().whole(answer)["choices"][0]["message"]["content"] == "Hello"
    assert AnthropicReader().whole(answer)["content"][0]["text"] == "Hello"


def test_blocks_in_other_formats_words_are_read() -> None:
    blocks = [{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "Hello"}]
    answer = orjson.dumps({"type": "message", "content": blocks, "stop_reason": "end_turn"})
    message = ChatReader().whole(answer)["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hello", "hm")


@pytest.mark.parametrize(
    "usage",
    [
        {**COUNTS, "cached_tokens": 90},
        {**COUNTS, "input_tokens_details": {"cached_tokens": 90}},
        {**COUNTS, "prompt_tokens_details": {"cached_tokens": 90}, "cache_read_input_tokens": 0},
        {"input_tokens": 10, "output_tokens": 10, "cached_tokens": 90, "total_tokens": 110},
        {"input_tokens": 10, "output_tokens": 10, "cache_read_input_tokens": 90, "cached_tokens": 90},
    ],
    ids=str,
)
def test_cache_is_counted_in_openais_words(usage: dict[str, Any]) -> None:
    _events, reader = read(HELLO, ends(usage=usage), STOP, reader=AnthropicReader())
    assert reader.usage == Usage(input=100, cached_input=90, output=10)


@pytest.mark.parametrize("size", [0, 7])
def test_events_on_one_line_are_several(size: int) -> None:
    lines = HELLO + ends("max_tokens") + STOP
    objects = [each.partition(b"data: ")[2] for each in lines.split(b"\n\n")[:-1]]
    data = b"data: " + b"data: ".join(objects) + b"\n\n"
    assert told(data, size=size) == ("Hello", [], "length", ["max_tokens"])
    assert told(b"data: " + b"\\n\\ndata: ".join([*objects[:-1], b"[DONE]"]) + b"\n\n")[2] == "length"


def test_line_that_is_cut_is_no_event() -> None:
    events, _reader = read(HELLO, b'data: {"type":"ping"}data: {"type":"message_st\n\n', reader=AnthropicReader())
    assert type(events[-1]) is End
    assert events[-1].error


def test_call_without_a_name_is_none() -> None:
    answer = orjson.dumps({"type": "message", "content": [{"type": "tool_use", "function": {"arguments": "{}"}}]})
    with pytest.raises(MalformedAnswer, match="without a name"):
        AnthropicReader().whole(answer)


THRICE: Final = json.dumps(json.dumps('{"a":1}'))


@pytest.mark.parametrize("block", [{"x": 1}, 5, ["Hello"], True], ids=str)
def test_block_that_is_none_is_no_answer(block: Any) -> None:
    answer = {"type": "message", "content": [{"type": "text", "text": "Hello"}, block], "stop_reason": "end_turn"}
    with pytest.raises(MalformedAnswer, match="no content"):
        AnthropicReader().whole(orjson.dumps(answer))


def test_numbers_of_a_whole_call_go_on_digit_by_digit() -> None:
    number = b"123456789012345678901234567890"
    call = orjson.dumps({**CALL, "input": {"n": 1}}).replace(b":1", b":" + number)
    answer = b'{"type":"message","stop_reason":"tool_use","content":[%b]}' % call
    assert call in orjson.dumps(AnthropicReader().whole(answer))


def inputs(*parts: bytes) -> list[tuple[str, int, str]]:
    """The events of blocks, each with its place and what it brings of an input."""
    events, _reader = read(begins(COUNTS), *parts, ends("tool_use"), STOP, reader=AnthropicReader())
    blocks = [each for each in events if type(each) is dict and "index" in each]
    pieces = [(each["type"], each["index"], each.get("delta", {}).get("partial_json", "")) for each in blocks]
    return [(kind.removeprefix("content_block_"), index, piece) for kind, index, piece in pieces]


def test_input_of_a_calls_beginning_comes_within_its_block() -> None:
    whole = opens(**CALL, input={"a": 1}), closes()
    assert inputs(*whole) == [("start", 0, ""), ("delta", 0, '{"a":1}'), ("stop", 0, "")]
    assert inputs(whole[0]) == [("start", 0, ""), ("delta", 0, '{"a":1}')]


def test_input_of_a_calls_beginning_goes_where_pieces_come_behind_another_block() -> None:
    between = opens(1), brings("text", 1, text="Hello"), closes(1)
    piece = brings("input_json", partial_json='{"b":2}')
    told = inputs(opens(**CALL, input={"a": 1}), *between, piece, closes())
    assert [piece for kind, index, piece in told if (kind, index) == ("delta", 0)] == ['{"b":2}']


@pytest.mark.parametrize("input_", ['{"a":', "words", [], 5, THRICE], ids=str)
def test_call_of_a_whole_message_whose_input_is_no_object_is_none(input_: Any) -> None:
    answer = orjson.dumps({"type": "message", "content": [{**CALL, "input": input_ or [1]}], "stop_reason": "tool_use"})
    with pytest.raises(MalformedAnswer, match="no object"):
        check_message(AnthropicReader().whole(answer))


@pytest.mark.parametrize("size", [0, 7])
def test_answer_that_has_said_why_it_ended_has_not_ended_without_the_last_event(size: int) -> None:
    events, _reader = read(HELLO, ends("max_tokens"), reader=AnthropicReader(), size=size)
    assert END not in events


@pytest.mark.parametrize(("depth", "text"), [(4, "Hello!"), (5, "!"), (1000, "!"), (1020, "!")])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"text":', b"}")], ids=["lists", "objects"])
def test_text_that_lies_too_deep_is_none(depth: int, text: str, opening: bytes, closing: bytes) -> None:
    deep = opening * depth + b'"Hello"' + closing * depth
    first = brings("text", text="@").replace(b'"@"', deep)
    assert told(begins(COUNTS), opens(), first, brings("text", text="!"), closes(), ends(), STOP)[0] == text
    answer = b'{"type":"message","stop_reason":"end_turn","content":[{"type":"text","text":%b}]}' % deep
    (choice,) = ChatReader().whole(answer)["choices"]
    assert choice["message"]["content"] == text.removesuffix("!")


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ((None, None, None, None), (0, 0, 1, 1)),
        ((3, None, None, None), (3, 3, 4, 4)),
        (("2", "2", "1234567", 1.0), (2, 2, 123456, 1)),
    ],
)
def test_block_has_a_place_whatever_its_server_says_of_that(given: tuple[Any, ...], places: tuple[int, ...]) -> None:
    first, second, third, fourth = given
    parts = opens(first), brings("text", second, text="a"), opens(third), brings("text", fourth, text="b")
    events, _reader = read(begins(), *parts, reader=AnthropicReader())
    assert [each["index"] for each in events if type(each) is dict and "index" in each] == [*places]


@pytest.mark.parametrize("index", [1.5, "x", [0], True])
def test_block_without_a_place_is_none(index: Any) -> None:
    events, _reader = read(begins(), opens(index), reader=AnthropicReader())
    assert type(events[-1]) is End
    assert events[-1].error


@pytest.mark.parametrize(("id_", "said"), [("a", "a"), (5, "5"), ("", None), (None, None), (["a"], None), (1.5, None)])
def test_call_has_an_id(id_: Any, said: str | None) -> None:
    answer = orjson.dumps({"type": "message", "content": [{**CALL, "id": id_}], "stop_reason": "tool_use"})
    told_id = AnthropicReader().whole(answer)["content"][0]["id"]
    assert told_id == said if said else re.fullmatch("toolu_[0-9a-f]{24}", told_id)


WHOLE: Final[dict[str, Any]] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "Four."}, {**CALL, "input": {"a": 1}}],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": COUNTS,
}


@pytest.mark.parametrize("behind", [b"", STOP, b"data: [DONE]\n\n"], ids=["nothing", "its end", "OpenAI's end"])
@pytest.mark.parametrize("size", [0, 7])
def test_whole_message_as_one_event_is_its_stream(behind: bytes, size: int) -> None:
    """Of servers that answer at once, and write that as events all the same."""
    parts = event("message", **{name: value for name, value in WHOLE.items() if name != "type"}), behind
    assert told(*parts, size=size) == ("Four.", [("f", '{"a":1}')], "tool_calls", ["tool_use"])
    _events, reader = read(*parts, reader=AnthropicReader(), size=size)
    assert reader.usage == Usage(input=100, output=10)


def test_whole_message_behind_its_own_stream_says_nothing_new() -> None:
    again = event("message", **{**WHOLE, "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"})
    assert told(HELLO, again, ends("end_turn"), STOP)[0] == "Hello"


@pytest.mark.parametrize("content", [None, [], [5], {}], ids=str)
def test_message_without_blocks_before_a_stream_is_read_past(content: Any) -> None:
    empty = event("message", role="assistant", content=content)
    assert told(empty, HELLO, ends("end_turn"), STOP) == ("Hello", [], "stop", ["end_turn"])


def test_whole_message_that_says_nothing_is_none() -> None:
    silent = {"role": "assistant", "content": [{"type": "text", "text": ""}], "stop_reason": None}
    events, _reader = read(event("message", **silent), reader=AnthropicReader())
    assert isinstance(events[-1], End)
    assert events[-1].error
