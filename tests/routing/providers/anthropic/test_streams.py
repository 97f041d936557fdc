"""Anthropic's events as chat's chunks."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import END, End
from routing.wire.events import Comment
from tests.routing.providers.anthropic.streams import (
    NAMES,
    PING,
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
    own,
    read,
    read_pieces,
    recorded,
)

HELLO = begins({"input_tokens": 25, "output_tokens": 1}) + opens() + brings("text", text="Hello")


# --- the documented streams ------------------------------------------------------------------------------------------


def test_text() -> None:
    events, reader = read(recorded("anthropic_text"))
    assert [each for each in deltas(events) if each] == [{"content": ""}, {"content": "Hello"}, {"content": "!"}]
    assert (finishes(events), events[-1]) == (["stop"], END)
    assert (reader.usage, reader.is_exact, reader.is_partial) == (Usage(input=25, output=15), True, False)
    assert reader.reported == {"input_tokens": 25, "output_tokens": 15}


def test_tool_call() -> None:
    events, reader = read(recorded("anthropic_tools"))
    calls = [call for delta in deltas(events) for call in delta.get("tool_calls", ())]
    assert joined(events, "content") == "Okay, let's check the weather for San Francisco, CA:"
    assert calls[0] == {
        "index": 0,
        "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    assert [call["function"]["arguments"] for call in calls[1:]] == [
        '{"location":', ' "San', " Francisc", "o,", ' CA"', ",", ' "unit": "fah', 'renheit"}'
    ]  # fmt: skip
    assert all(call.keys() == {"index", "function"} and call["index"] == 0 for call in calls[1:])
    assert finishes(events) == ["tool_calls"]
    assert reader.usage == Usage(input=472, output=89)


def test_thought() -> None:
    events, reader = read(recorded("anthropic_thinking"))
    details = [detail for delta in deltas(events) for detail in delta.get("reasoning_details", ())]
    thought = joined(events, "reasoning_content")
    assert thought.startswith("I need to find the GCD")
    assert "".join(detail.get("text", "") for detail in details) == thought
    assert details[-1] == {
        "type": "reasoning.text",
        "format": "anthropic-claude-v1",
        "index": 0,
        "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds...",
    }
    assert joined(events, "content") == "The greatest common divisor of 1071 and 462 is **21**."
    assert reader.usage is None


def test_work_of_tools_at_anthropics_is_not_shown_and_counts() -> None:
    events, reader = read(recorded("anthropic_web_search"))
    assert joined(events, "content") == (
        "I'll check the current weather in New York City for you."
        "Here's the current weather information for New York City:\n\n# Weather"
    )
    assert not any("tool_calls" in delta for delta in deltas(events))
    assert finishes(events) == ["stop"]
    assert reader.usage == Usage(input=10_682, output=510)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_own", [False, True], ids=["chat", "messages"])
def test_stream_cut_at_every_byte_gives_the_same_events(name: str, is_own: bool) -> None:
    data = recorded(name)
    expected, whole = read(data, reader=own() if is_own else None)
    for at in range(1, len(data)):
        _events, fresh = read(reader=own() if is_own else None)
        assert read_pieces(fresh, data[:at], data[at:]) == expected
        assert (fresh.usage, fresh.reported) == (whole.usage, whole.reported)


@pytest.mark.parametrize("name", NAMES)
def test_stream_that_is_cut_between_events_is_not_whole(name: str) -> None:
    blocks = recorded(name).split(b"\n\n")
    last = next(at for at, block in enumerate(blocks) if b"message_delta" in block)
    for at in range(last):
        events, _reader = read(b"\n\n".join(blocks[:at]) + b"\n\n")
        assert not any(isinstance(each, End) for each in events)
        assert finishes(events) == []


# --- events that are no perfect ones ---------------------------------------------------------------------------------


def test_pings_are_comments() -> None:
    events, _reader = read(PING, HELLO, PING)
    assert [type(each) for each in events] == [Comment, dict, dict, Comment]


def test_beginning_says_nothing_yet() -> None:
    events, reader = read(begins({"input_tokens": 25, "output_tokens": 1}))
    assert (events, reader.usage) == ([], Usage(input=25, output=1))


@pytest.mark.parametrize(
    "odd",
    [
        b"data:\n\n",
        b"data: null\n\n",
        b"data: [1]\n\n",
        b'data: {"type":"vibe_check","feeling":"fine"}\n\n',
        b'event: ping\ndata: {"type":"ping"}\n\n',
        event("content_block_delta", index=0, delta={"type": "mood_delta", "mood": "fine"}),
        event("content_block_delta", index=0, delta=None),
        event("message_delta", delta=None),
        event("message_delta"),
        brings("text", text=""),
        brings("text", text=None),
        brings("thinking", thinking=""),
        brings("citations", citation={"type": "page_location", "document_index": 0}),
        opens(index=7, type="hologram"),
        closes(9),
    ],
)
def test_what_says_nothing_is_skipped(odd: bytes) -> None:
    events, reader = read(HELLO, odd, brings("text", text=" there"), ends(usage={"output_tokens": 4}), STOP)
    assert joined(events, "content") == "Hello there"
    assert (finishes(events), events[-1], reader.usage) == (["stop"], END, Usage(input=25, output=4))


@pytest.mark.parametrize("end", [STOP, b"data: [DONE]\n\n", b"data: [DONE] \n\n"], ids=["own", "OpenAI's", "spaced"])
def test_end_is_the_end(end: bytes) -> None:
    events, _reader = read(HELLO, ends(), end, brings("text", text="never"))
    assert (events[-1], joined(events, "content")) == (END, "Hello")


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
BROKEN = {
    "named": event("error", error=OVERLOADED["error"]),
    "not named": b"data: " + orjson.dumps(OVERLOADED) + b"\n\n",
    "not typed": b'data: {"error":{"message":"Overloaded"}}\n\n',
    "a text": b'data: {"error":"Overloaded"}\n\n',
    "no JSON": b'event: error\ndata: Overloaded\n\n',
    "no event": b'{"type":"error","error":{"message":"Overloaded"}}\n\n',
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_error_ends_the_stream_with_its_words(broken: bytes) -> None:
    events, _reader = read(HELLO, broken, brings("text", text="never"))
    assert isinstance(events[-1], End)
    assert "Overloaded" in str(events[-1].error)
    assert joined(events, "content") == "Hello"


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_error_behind_the_reason_for_the_end_harms_nothing(broken: bytes) -> None:
    events, reader = read(HELLO, ends(usage={"output_tokens": 4}), broken)
    assert (events[-1], reader.usage) == (END, Usage(input=25, output=4))


@pytest.mark.parametrize("is_own", [False, True], ids=["chat", "messages"])
def test_overload_right_behind_the_beginning_leaves_another_route_to_try(is_own: bool) -> None:
    events, _reader = read(begins({"input_tokens": 1, "output_tokens": 1}), PING, BROKEN["named"],
                           reader=own() if is_own else None)  # fmt: skip
    assert [type(each) for each in events] == [Comment, End]


@pytest.mark.parametrize(
    "broken",
    [
        b"data: {broken\n\n",
        brings("input_json", index=3, partial_json="{}"),
        opens(index=[1], type="text", text=""),
        event("content_block_start", index=0, content_block="text"),
        b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n',
        ends("network_error"),
    ],
)
def test_what_cannot_be_read_ends_the_stream(broken: bytes) -> None:
    events, _reader = read(HELLO, broken)
    assert isinstance(events[-1], End)
    assert events[-1].error


def test_event_that_is_too_large_ends_the_stream() -> None:
    events, _reader = read(HELLO, b"data: " + b"x" * (17 << 20), size=1 << 20)
    assert isinstance(events[-1], End)
    assert str(events[-1].error) == "an event is too large"


def test_upstream_that_sends_no_events_is_quoted() -> None:
    events, _reader = read(b"upstream connect error\n\n")
    assert isinstance(events[-1], End)
    assert "upstream connect error" in str(events[-1].error)


def halves(*texts: str, index: int = 0) -> bytes:
    """Pieces of a text as JSON that says letters beyond 16 bits in two halves."""
    text = '{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":"%s"}}'
    return b"".join(b"data: " + (text % (index, each)).encode() + b"\n\n" for each in texts)


@pytest.mark.parametrize(
    ("pieces", "letters"),
    [
        (("ab\\ud83d", "\\ude00c"), "ab😀c"),
        (("\\ud83d", "\\ude00"), "😀"),
        (("\\ud800", "\\udc00"), "\U00010000"),
        (("\\udbff", "\\udfff"), "\U0010ffff"),
        (("\\ud83d", "", "\\ude00"), "😀"),
        (("\\ude00", "a"), "\ufffda"),
    ],
)
def test_letter_that_was_cut_in_two_is_one_again(pieces: tuple[str, ...], letters: str) -> None:
    events, _reader = read(HELLO, halves(*pieces))
    assert joined(events, "content") == f"Hello{letters}"


def test_halves_of_letters_are_bounded() -> None:
    firsts, seconds = ([halves(half, index=at) for at in range(129)] for half in ("\\ud83d", "\\ude00"))
    events, _reader = read(begins(), *firsts, *seconds)
    assert sorted(joined(events, "content")) == sorted("😀" * 128 + "\ufffd" * 2)


def test_mark_at_the_beginning_is_none_of_the_first_event() -> None:
    events, _reader = read(b"\xef\xbb\xbf", HELLO)
    assert joined(events, "content") == "Hello"


# --- tool calls ------------------------------------------------------------------------------------------------------

TOOL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


def arguments(*parts: bytes) -> list[str]:
    """Of each call, put together as clients do."""
    events, _reader = read(begins(), *parts)
    found: dict[int, str] = {}
    for delta in deltas(events):
        for call in delta.get("tool_calls", ()):
            found[call["index"]] = found.get(call["index"], "") + call["function"]["arguments"]
    return [found[place] for place in sorted(found)]


def test_call_without_arguments_has_an_empty_object() -> None:
    assert arguments(opens(**TOOL), brings("input_json", partial_json=""), closes()) == ["{}"]


def test_arguments_that_came_with_the_beginning_count_if_no_others_come() -> None:
    with_input = {**TOOL, "input": {"a": 1}}
    assert arguments(opens(**with_input), closes()) == ['{"a":1}']
    assert arguments(opens(**with_input), brings("input_json", partial_json='{"b":2}'), closes()) == ['{"b":2}']


def test_call_that_nobody_closes_is_closed_by_the_end() -> None:
    assert arguments(opens(**TOOL), ends("tool_use")) == ["{}"]
    assert arguments(opens(**TOOL), event("message_delta", delta={"stop_reason": None})) == [""]


def test_calls_are_numbered_among_themselves() -> None:
    pieces = [
        opens(0), closes(0), opens(1, **TOOL), opens(2, **{**TOOL, "id": "t2"}),
        brings("input_json", 2, partial_json="[2]"), brings("input_json", 1, partial_json="[1]"), closes(1), closes(2),
    ]  # fmt: skip
    assert arguments(*pieces) == ["[1]", "[2]"]


def test_input_of_other_tools_is_nobodys_arguments() -> None:
    server = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    assert arguments(opens(**server), brings("input_json", partial_json='{"q"'), closes()) == []


def test_answer_that_calls_tools_ends_for_them_whatever_is_said() -> None:
    events, _reader = read(begins(), opens(**TOOL), closes(), ends("end_turn"))
    assert finishes(events) == ["tool_calls"]


def test_too_many_calls_fill_no_memory() -> None:
    calls = [opens(place, **TOOL) + closes(place) for place in range(1_025)]
    events, _reader = read(begins(), *calls)
    assert str(events[-1].error) == "too many tool calls" if isinstance(events[-1], End) else False


def test_too_many_open_blocks_fill_no_memory() -> None:
    events, _reader = read(begins(), *[opens(place) for place in range(1_025)])
    assert str(events[-1].error) == "too many blocks" if isinstance(events[-1], End) else False


# --- thoughts, pages, refusals ---------------------------------------------------------------------------------------


def test_thoughts_of_every_kind_are_numbered() -> None:
    events, _reader = read(
        begins(),
        opens(0, type="thinking", thinking="a", signature=""), brings("signature", 0, signature="s"), closes(0),
        opens(1, type="redacted_thinking", data="d"), closes(1),
        opens(2, type="thinking", thinking=""), brings("thinking", 2, thinking="b"), closes(2),
    )  # fmt: skip
    assert [delta["reasoning_details"] for delta in deltas(events)] == [
        [{"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, "text": "a"}],
        [{"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, "signature": "s"}],
        [{"type": "reasoning.encrypted", "format": "anthropic-claude-v1", "index": 1, "data": "d"}],
        [{"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 2, "text": "b"}],
    ]
    assert joined(events, "reasoning_content") == "ab"


def test_thought_that_is_hidden_is_signed_all_the_same() -> None:
    events, _reader = read(begins(), opens(type="thinking", thinking=""), brings("signature", signature="s"), closes())
    assert deltas(events)[0] == {"content": ""}
    assert deltas(events)[1]["reasoning_details"][0]["signature"] == "s"


def test_first_block_may_begin_with_text() -> None:
    events, _reader = read(begins(), opens(type="text", text="Hel"), brings("text", text="lo"))
    assert [delta["content"] for delta in deltas(events)] == ["Hel", "lo"]


def test_pages_are_annotations() -> None:
    citation = {"type": "web_search_result_location", "url": "https://x", "title": "X", "cited_text": "x"}
    events, _reader = read(HELLO, brings("citations", citation=citation))
    cited = {"url": "https://x", "title": "X", "start_index": 0, "end_index": 0}
    assert deltas(events)[-1] == {"annotations": [{"type": "url_citation", "url_citation": cited, "index": 0}]}


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        ({"type": "refusal", "category": "cyber", "explanation": "Not that."}, {"refusal": "Not that."}),
        ({"type": "refusal", "explanation": None}, {}),
        ({"type": "other", "explanation": "x"}, {}),
        (None, {}),
    ],
)
def test_refusal_is_said_in_its_words(details: Any, shown: dict[str, Any]) -> None:
    events, _reader = read(HELLO, ends("refusal", stop_details=details), STOP)
    assert (finishes(events), deltas(events)[-1]) == (["content_filter"], shown)


def test_unknown_reason_is_told_to_the_operator() -> None:
    events, reader = read(HELLO, ends("bored"), STOP)
    assert (finishes(events), events[-1]) == ([], END)
    assert reader.remark == "a stop reason that nobody knows: 'bored'"


# --- usage -----------------------------------------------------------------------------------------------------------


def test_early_counts_are_in_part_until_the_end_tells() -> None:
    _events, early = read(HELLO)
    assert (early.usage, early.is_partial) == (Usage(input=25, output=1), True)
    _events, late = read(HELLO, ends(usage={"output_tokens": 4}))
    assert (late.usage, late.is_partial) == (Usage(input=25, output=4), False)


@pytest.mark.parametrize("usage", [None, {"input_tokens": 0, "output_tokens": 0}, {"output_tokens": None}], ids=str)
def test_end_that_tells_nothing_leaves_the_counts_in_part(usage: Any) -> None:
    _events, reader = read(HELLO, ends(usage=usage), STOP)
    assert (reader.usage, reader.is_partial) == (Usage(input=25, output=1), True)


def test_counts_that_come_at_the_end_alone_count() -> None:
    told = {"input_tokens": 9, "cache_read_input_tokens": 3, "output_tokens": 4}
    _events, reader = read(
        begins({"input_tokens": 0, "output_tokens": 0}), opens(), brings("text", text="a"), ends(usage=told)
    )
    assert (reader.usage, reader.is_partial) == (Usage(input=12, cached_input=3, output=4), False)


def test_parts_of_the_cache_are_told_at_the_beginning() -> None:
    early = {"input_tokens": 5, "cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 7},
             "output_tokens": 1}  # fmt: skip
    _events, reader = read(begins(early), opens(), ends(usage={"cache_creation_input_tokens": 7, "output_tokens": 4}))
    assert reader.usage == Usage(input=12, cache_write=7, cache_write_1h=7, output=4)


def test_usage_beside_an_error_counts() -> None:
    _events, reader = read(
        opens(), event("error", error={"message": "x"}, usage={"input_tokens": 5, "output_tokens": 2})
    )
    assert reader.usage == Usage(input=5, output=2)


def test_cost_that_a_gateway_tells_is_read() -> None:
    _events, reader = read(HELLO, ends(usage={"output_tokens": 4, "cost": 0.5}))
    assert reader.told_cost == 500_000_000
