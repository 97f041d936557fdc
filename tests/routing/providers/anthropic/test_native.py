"""Anthropic's own format through the dialect: as it came, but for what must be ours."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import END, End, MalformedAnswer
from tests.routing.providers.anthropic.calls import HI, native, request, sent
from tests.routing.providers.anthropic.streams import (
    PING,
    begins,
    brings,
    closes,
    ends,
    event,
    opens,
    own,
    read,
    recorded,
)

BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}],
    "system": [{"type": "text", "text": "Be brief."}],
    "max_tokens": 99,
    "thinking": {"type": "adaptive"},
    "top_k": 5,
    "context_management": {"edits": []},
}


def test_body_goes_on_as_it_came_but_for_model_and_cap() -> None:
    assert sent(native({**BODY, "stream": False})) == {**BODY, "model": "claude-sonnet-4-5", "max_tokens": 4_000}


def turn(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


UNSIGNED = {"type": "thinking", "thinking": "Of another upstream", "signature": ""}
SIGNED = {"type": "thinking", "thinking": "Its own", "signature": "sig"}
SEALED = {"type": "redacted_thinking", "data": "enc"}
SPOKEN = {"type": "text", "text": "Hello"}
FOUND = {
    "type": "web_search_result_location",
    "url": "https://a",
    "title": "A",
    "cited_text": "",
    "encrypted_index": "e",
}
CITED = {**FOUND, "encrypted_index": ""}
PLACE = {"type": "char_location", "cited_text": "c", "document_index": 0, "start_char_index": 0, "end_char_index": 1}


@pytest.mark.parametrize(
    ("given", "sent_on"),
    [
        (turn(UNSIGNED, SPOKEN), turn(SPOKEN)),
        (turn(SIGNED, UNSIGNED, SEALED, SPOKEN), turn(SIGNED, SEALED, SPOKEN)),
        (turn({"type": "thinking", "thinking": "x"}, SPOKEN), turn(SPOKEN)),
        (turn(SIGNED, SPOKEN), turn(SIGNED, SPOKEN)),
        (turn(UNSIGNED), turn(UNSIGNED)),
        (turn({**SPOKEN, "citations": [CITED]}), turn(SPOKEN)),
        (
            turn(UNSIGNED, {**SPOKEN, "citations": [FOUND, CITED, PLACE, 5]}),
            turn({**SPOKEN, "citations": [FOUND, PLACE, 5]}),
        ),
        (turn(SPOKEN, {"type": "text", "text": "", "citations": [CITED]}), turn(SPOKEN)),
        (turn(5, {**SPOKEN, "citations": None}), turn(5, {**SPOKEN, "citations": None})),
        ({"role": "assistant", "content": "Hello"}, {"role": "assistant", "content": "Hello"}),
        ({"role": "user", "content": [UNSIGNED]}, {"role": "user", "content": [UNSIGNED]}),
    ],
    ids=[
        "unsigned",
        "among signed ones",
        "without the member",
        "signed",
        "alone",
        "cited",
        "cited among others",
        "cited alone",
        "none",
        "a text",
        "a user's",
    ],
)
def test_thoughts_and_citations_that_nobody_signed_stay_here(given: dict[str, Any], sent_on: dict[str, Any]) -> None:
    """What an upstream of chat's format has thought or cited, Anthropic would refuse the whole request for."""
    body: dict[str, Any] = {"messages": [*HI, given, *HI], "max_tokens": 99}
    assert sent(native(body))["messages"] == [*HI, sent_on, *HI]
    assert body["messages"][1] == given


def test_stream_is_asked_for() -> None:
    asked = request(native(BODY, is_stream=True))
    assert orjson.loads(asked.body)["stream"] is True
    assert dict(asked.headers)["accept"] == "text/event-stream"


def test_request_without_a_cap_gets_none() -> None:
    asked = native({"messages": HI}, cap=0, path="/messages/count_tokens")
    assert sent(asked) == {"model": "claude-sonnet-4-5", "messages": HI}
    assert request(asked).path == "/messages/count_tokens"


def test_what_is_the_routers_own_or_null_stays_here() -> None:
    ours: dict[str, Any] = {"models": ["a"], "provider": {}, "usage": {}, "stop_sequences": None}
    assert sent(native({**BODY, **ours})).keys() == {*BODY, "model"}


@pytest.mark.parametrize(
    ("thinking", "cap", "sent_on"),
    [
        ({"type": "enabled", "budget_tokens": 31_999}, 20_000, {"type": "enabled", "budget_tokens": 19_999}),
        ({"type": "enabled", "budget_tokens": 1_024}, 1_025, {"type": "enabled", "budget_tokens": 1_024}),
        ({"type": "enabled", "budget_tokens": 1_025}, 1_025, {"type": "enabled", "budget_tokens": 1_024}),
        ({"type": "enabled", "budget_tokens": 2_000}, 1_024, {"type": "disabled"}),
        ({"type": "adaptive"}, 16, {"type": "adaptive"}),
    ],
)
def test_budget_stays_below_a_cap_that_was_lowered(thinking: Any, cap: int, sent_on: Any) -> None:
    asked = sent(native({**BODY, "thinking": thinking}, cap=cap))
    assert (asked["thinking"], asked["max_tokens"]) == (sent_on, cap)


@pytest.mark.parametrize(
    ("headers", "version", "beta"),
    [
        ((), "2023-06-01", "chan-1"),
        ((("anthropic-version", "2025-01-01"),), "2025-01-01", "chan-1"),
        ((("anthropic-beta", "mine-2, chan-1,mine-3"),), "2023-06-01", "chan-1,mine-2,mine-3"),
        ((("Anthropic-Beta", ""),), "2023-06-01", "chan-1"),
    ],
    ids=str,
)
def test_clients_version_and_features_go_on(headers: Any, version: str, beta: str) -> None:
    asked = dict(request(native(BODY, headers=headers, options={"beta": ["chan-1"]})).headers)
    assert (asked["anthropic-version"], asked["anthropic-beta"]) == (version, beta)


def test_no_header_of_the_clients_replaces_the_secret() -> None:
    headers = (("x-api-key", "mine"), ("x-other", "1"))
    asked = request(native(BODY, headers=headers)).headers
    assert [value for name, value in asked if name == "x-api-key"] == ["sk-ant-secret"]
    assert ("x-other", "1") in asked


@pytest.mark.parametrize("name", ["anthropic_text", "anthropic_tools", "anthropic_thinking", "anthropic_web_search"])
def test_events_are_as_they_came(name: str) -> None:
    events, reader = read(recorded(name), reader=own())
    lines = recorded(name).splitlines()
    came = [orjson.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: ")]
    shown = [each for each in events if type(each) is dict]
    assert shown == [each for each in came if each["type"] not in {"ping", "message_stop"}]
    assert events[-1] == END
    assert reader.usage != Usage()


def test_unknown_events_go_on() -> None:
    events, _reader = read(begins(), event("vibe_check", feeling="fine"), reader=own())
    assert [each["type"] for each in events if type(each) is dict] == ["message_start", "vibe_check"]


def test_usage_is_read_and_left_in_place() -> None:
    told = {"input_tokens": 5, "output_tokens": 1}
    events, reader = read(begins(told), opens(), brings("text", text="a"), PING, ends(usage={"output_tokens": 3}),
                          reader=own())  # fmt: skip
    shown = [each for each in events if type(each) is dict]
    assert (shown[0]["message"]["usage"], shown[-1]["usage"]) == (told, {"output_tokens": 3})
    assert (reader.usage, reader.is_partial) == (Usage(input=5, output=3), False)


def test_error_ends_it() -> None:
    events, _reader = read(begins(), opens(), event("error", error={"type": "overloaded_error"}), reader=own())
    assert [each["type"] for each in events if type(each) is dict] == ["message_start", "content_block_start"]
    assert isinstance(events[-1], End)
    assert events[-1].error is not None


# --- at the bounds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "letter"), [("\\ud83d", "\\ude00", "\U0001f600"), ("\\ud800", "\\udc00", "\U00010000")]
)
def test_letter_that_is_cut_in_two_is_one_again_in_its_own_format(first: str, second: str, letter: str) -> None:
    halves = [
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b","n":5,"e":""}}\n\n' % text.encode()
        for text in (f"ab{first}", f"{second}cd")
    ]

    events, _reader = read(begins(), opens(), *halves, reader=own())

    said = [each["delta"] for each in events if type(each) is dict and "delta" in each]
    assert ([each["text"] for each in said], said[0]["n"]) == (["ab", f"{letter}cd"], 5)


@pytest.mark.parametrize(
    ("data", "is_piece"), [(b'{"type":"message_start"}', True), (b'{"type":"message"}', False), (b"{", False)]
)
def test_object_that_only_a_stream_has_is_a_piece(data: bytes, is_piece: bool) -> None:
    assert own().is_piece(data) is is_piece


def test_words_that_are_kept_are_cut() -> None:
    reader = own()
    reader.feed(begins() + ends("w" * 70))
    assert reader.remark == f"a stop reason that nobody knows: {'w' * 60!r}"
    with pytest.raises(MalformedAnswer, match=f": {'x' * 120}$"):
        own().whole(b"x" * 130)
    last = own().feed(b"data: " + b"x" * 130 + b"\n\n")[-1]
    assert isinstance(last, End)
    assert str(last.error) == f"an event is not JSON: {'x' * 120}"


CALLED: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "f"}


def inputs(*parts: bytes) -> list[tuple[Any, ...]]:
    """Of the blocks, in the order of the events: what they begin with, and the pieces that come."""
    events, _reader = read(begins(), *parts, ends("tool_use"), event("message_stop"), reader=own())
    found: list[tuple[Any, ...]] = []
    for each in events:
        if type(each) is dict and each["type"] == "content_block_start":
            found.append((each["index"], each["content_block"]["input"]))
        elif type(each) is dict and each["type"] == "content_block_delta":
            found.append((each["index"], each["delta"]["partial_json"]))
    return found


def test_input_that_came_with_its_beginning_is_a_piece_as_it_is_everywhere() -> None:
    long = opens(**CALLED, input={"a": 5}).replace(b"5", b"12345678901234567890123")
    assert inputs(long, closes()) == [(0, {}), (0, '{"a":12345678901234567890123}')]
    odd = inputs(opens(**CALLED, input="no object"), closes())
    assert odd == [(0, {}), (0, "no object")]


def test_pieces_count_more_than_what_came_with_the_beginning() -> None:
    piece = brings("input_json", partial_json='{"b": 6}')
    assert inputs(opens(**CALLED, input={"a": 5}), piece, closes()) == [(0, {}), (0, '{"b": 6}')]
    assert inputs(opens(**CALLED, input={}), piece, closes()) == [(0, {}), (0, '{"b": 6}')]


def test_input_of_a_block_whose_end_was_left_out_is_not_lost() -> None:
    begun = opens(**CALLED, input={"a": 5}), opens(1, **CALLED, input={"b": 6})
    assert inputs(*begun) == [(0, {}), (1, {}), (0, '{"a":5}'), (1, '{"b":6}')]
