"""Anthropic's own answers and streams on their way to the client: as they came, but for what must be ours."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.messages import MESSAGES
from routing.endpoints.messages.schema import read
from routing.providers.base import MalformedAnswer
from tests.grammar import assert_valid_message, assert_whole, events_in

HEAD = Head("msg_0", "lab/m", 1_700_000_000, (b"hidden.example",), expected_input=9)
BILL = Bill(Usage(input=100, cached_input=30, output=40), {}, "0.5", {"currency": "USD"})
REQUEST: Any = read({"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]})
MESSAGE: dict[str, Any] = {
    "id": "msg_theirs",
    "type": "message",
    "role": "assistant",
    "model": "claude-upstream",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "enc"},
        {"type": "text", "text": "Well", "citations": None},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"é": 1.0}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 70, "cache_read_input_tokens": 30, "output_tokens": 40, "service_tier": "standard"},
}


def events() -> list[dict[str, Any]]:
    return MESSAGES.pieces(copy.deepcopy(MESSAGE))


def relayed(chunks: list[dict[str, Any]], *, most: int = 1000, is_done: bool = False) -> bytes:
    relay: Any = MESSAGES.relay(REQUEST, HEAD, most)
    out = b"".join(relay.relay(copy.deepcopy(chunk)) for chunk in chunks)
    relay.is_done = is_done
    return out + (relay.closing(BILL) if relay.is_complete else b"")


def completed(answer: dict[str, Any], explanation: Any = None) -> dict[str, Any]:
    MESSAGES.check(REQUEST, answer)
    message: dict[str, Any] = orjson.loads(MESSAGES.complete(REQUEST, answer, HEAD, BILL, explanation))
    assert_valid_message(message)
    return message


def test_answer_is_as_it_came_but_for_id_model_and_usage() -> None:
    message = completed(copy.deepcopy(MESSAGE))
    assert (message["id"], message["model"]) == ("msg_0", "lab/m")
    assert message["content"] == MESSAGE["content"]
    usage = message["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (70, 30, 40)
    assert (usage["cost"], "service_tier" in usage) == (0.5, False)


def test_member_that_the_schema_requires_is_there() -> None:
    answer = copy.deepcopy(MESSAGE)
    del answer["stop_sequence"]
    assert completed(answer)["stop_sequence"] is None


def test_stream_is_as_it_came_but_for_id_model_and_usage() -> None:
    message = assert_whole(events_in(relayed([{"type": "ping"}, *events()][1:])))
    assert (message["id"], message["model"], message["stop_reason"]) == ("msg_0", "lab/m", "tool_use")
    arguments = [block.pop("arguments") for block in message["content"] if block["type"] == "tool_use"]
    assert (arguments, message["content"]) == (['{"é":1.0}'], MESSAGE["content"])
    assert (message["usage"]["input_tokens"], message["usage"]["cost"]) == (70, 0.5)


def test_first_event_tells_what_the_upstream_counted() -> None:
    (first,) = events_in(relayed(events()[:1]))
    assert first["message"]["usage"]["input_tokens"] == 70
    start = events()[0]
    start["message"]["usage"] = {"input_tokens": 8, "output_tokens": None, "service_tier": "standard", "n": 5}
    (first,) = events_in(relayed([start]))
    assert first["message"]["usage"] == {"input_tokens": 8, "output_tokens": 0}
    del start["message"]["usage"]
    (first,) = events_in(relayed([start]))
    assert (first["message"]["usage"]["input_tokens"], first["message"]["usage"]["output_tokens"]) == (9, 0)


@pytest.mark.parametrize("cut", range(len(events())))
def test_cut_at_any_event_is_no_whole_answer(cut: int) -> None:
    kinds = {event["type"] for event in events_in(relayed(events()[:cut]))}
    assert not {"message_delta", "message_stop"} & kinds


def test_end_without_the_last_event_is_one_if_the_reason_was_told() -> None:
    assert_whole(events_in(relayed(events()[:-1], is_done=True)))
    assert "message_stop" not in {event["type"] for event in events_in(relayed(events()[:-2], is_done=True))}


def test_members_beside_the_reason_stay() -> None:
    chunks = events()
    chunks[-2]["context_management"] = {"applied_edits": []}
    chunks.insert(-2, {"type": "message_delta", "delta": {"stop_reason": None, "stop_sequence": "END"}})
    (told,) = (event for event in events_in(relayed(chunks)) if event["type"] == "message_delta")
    assert told["context_management"] == {"applied_edits": []}
    assert told["delta"] == {"stop_reason": "tool_use", "stop_sequence": "END"}


def test_unknown_events_and_blocks_pass() -> None:
    chunks = events()
    chunks[1:1] = [{"type": "ping"}, {"type": "news", "x": 1}]
    assert {"type": "news", "x": 1} in events_in(relayed(chunks))


def test_event_without_a_type_is_a_broken_answer() -> None:
    for broken in ({}, {"type": 5}, {"type": "a b"}):
        with pytest.raises(MalformedAnswer):
            MESSAGES.relay(REQUEST, HEAD, 10).relay(dict(broken))


def test_blocks_do_not_fill_the_memory() -> None:
    relay = MESSAGES.relay(REQUEST, HEAD, 1000)
    for index in range(1_024):
        relay.relay({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
    with pytest.raises(MalformedAnswer, match="too many blocks"):
        relay.relay({"type": "content_block_start", "index": 1_024, "content_block": {"type": "text", "text": ""}})


def test_what_was_written_is_counted_and_nothing_else() -> None:
    relay = MESSAGES.relay(REQUEST, HEAD, 1000)
    for kind, name in (("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json")):
        relay.relay({"type": "content_block_delta", "index": 0, "delta": {"type": kind, name: "abcd" * 10}})
    for delta in ({"type": "signature_delta", "signature": "x" * 900}, {"type": ["odd"]}, {"type": "text_delta"}, None):
        relay.relay({"type": "content_block_delta", "index": 0, "delta": delta})
    assert relay.received_tokens() == 30


def test_answer_cut_at_the_cap_says_so() -> None:
    relay = MESSAGES.relay(REQUEST, HEAD, 4)
    start, opening = (
        events()[0],
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    )
    long = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word " * 20}}
    out = b"".join(map(relay.relay, (start, opening, long)))
    assert relay.is_past_cap
    assert assert_whole(events_in(out + relay.cut() + relay.closing(BILL)))["stop_reason"] == "max_tokens"


def test_nothing_of_the_upstream_is_shown() -> None:
    extra = {"upstream": "x", "note": "at hidden.example"}
    answer = {**copy.deepcopy(MESSAGE), **extra}
    answer["content"][2]["note"] = "hidden.example"
    assert {"upstream", "note"} & completed(answer).keys() == set()
    chunks = events()
    chunks[0]["message"].update(extra)
    chunks[1].update(extra)
    chunks[-2].update(extra)
    assert b"hidden.example" not in relayed(chunks)
    assert b"claude-upstream" not in relayed(chunks)


def test_explanation_stands_beside() -> None:
    assert completed(copy.deepcopy(MESSAGE), {"why": 1})["costrouter"] == {"why": 1}


def test_stream_adds_up_to_the_whole_answer() -> None:
    assembler = MESSAGES.assembler(REQUEST)
    for index, event in enumerate(events()):
        assert assembler.is_complete is False, index
        assembler.add(event)
    assert assembler.is_complete
    assert assembler.answer() == MESSAGE


def test_citations_add_up_too() -> None:
    assembler = MESSAGES.assembler(REQUEST)
    for event in events()[:1]:
        assembler.add(event)
    assembler.add({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}})
    for cited in ("x", "y"):
        delta = {"type": "citations_delta", "citation": {"cited_text": cited}}
        assembler.add({"type": "content_block_delta", "index": 0, "delta": delta})
    assembler.add({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}})
    (block,) = assembler.answer()["content"]
    assert block == {"type": "text", "text": "ab", "citations": [{"cited_text": "x"}, {"cited_text": "y"}]}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start"},
        {"type": "content_block_delta", "index": 4, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_start", "index": [], "content_block": {}},
        {},
    ],
)
def test_event_of_another_shape_is_a_broken_answer(event: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        MESSAGES.assembler(REQUEST).add(event)


@pytest.mark.parametrize(
    "broken",
    [{}, {"content": None}, {"content": ["a"]}, {"content": [{}]}, {"content": [], "stop_reason": None}],
)
def test_answer_that_is_none_is_told(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        MESSAGES.check(REQUEST, broken)


def test_output_that_was_not_told_is_estimated_from_the_words_alone() -> None:
    needs: Any = type("Needs", (), {"expected_input": 9})
    answer = {"content": [{"type": "text", "text": "é" * 10}, {"type": "tool_use", "input": {"a": 1}, "id": "x" * 99}]}
    assert MESSAGES.estimate(answer, needs) == Usage(input=9, output=7)


def test_words_of_an_event_are_its_text() -> None:
    assert [MESSAGES.words(event) for event in events() if MESSAGES.words(event)] == ["Well"]
