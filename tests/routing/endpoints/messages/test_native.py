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


# --- what comes oddly ------------------------------------------------------------------------------------------------


def brings(kind: str, index: Any = 0, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def opens(index: Any = 0, **block: Any) -> dict[str, Any]:
    opening = block or {"type": "text", "text": ""}
    return {"type": "content_block_start", "index": index, "content_block": opening}


START: dict[str, Any] = {"type": "message_start", "message": {"usage": {"input_tokens": 5}}}
ENDS: list[dict[str, Any]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"},
]  # fmt: skip


def test_beginning_is_told_once_and_where_it_was_left_out() -> None:
    twice = events_in(relayed([START, START, opens(), brings("text_delta", text="a"), *ENDS]))
    without = events_in(relayed([opens(), brings("text_delta", text="a"), *ENDS]))
    ping = events_in(relayed([{"type": "ping"}, opens(), brings("text_delta", text="a"), *ENDS]))
    for found, tokens in ((twice, 5), (without, 9), (ping, 9)):
        assert [each["type"] for each in found].count("message_start") == 1
        assert found[0]["message"]["usage"]["input_tokens"] == tokens
        assert found[0]["message"]["stop_reason"] is None
    assert assert_whole(twice)["content"] == assert_whole(without)["content"]


@pytest.mark.parametrize(
    ("kind", "member", "block"),
    [
        ("text_delta", "text", {"type": "text", "text": ""}),
        ("thinking_delta", "thinking", {"type": "thinking", "thinking": "", "signature": ""}),
    ],
)
def test_block_whose_beginning_was_left_out_has_one(kind: str, member: str, block: dict[str, Any]) -> None:
    found = events_in(relayed([START, brings(kind, 3, **{member: "a"}), brings(kind, 3, **{member: "b"}), *ENDS]))
    assert [each["type"] for each in found[1:5]] == [
        "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
    ]  # fmt: skip
    assert (found[1]["content_block"], found[1]["index"], found[4]["index"]) == (block, 0, 0)
    assert assert_whole(found)["content"][0][member] == "ab"


@pytest.mark.parametrize("delta", [{"type": "input_json_delta", "partial_json": "{"}, {"type": "x"}, {}, None], ids=str)
def test_delta_of_a_block_that_nobody_can_name_is_malformed(delta: Any) -> None:
    with pytest.raises(MalformedAnswer):
        relayed([START, {"type": "content_block_delta", "index": 0, "delta": delta}])


def test_blocks_have_places_of_our_own_and_end_once() -> None:
    """Upstreams begin at one, use a place twice, leave an end out, or tell one twice."""
    stop = {"type": "content_block_stop", "index": 7}
    found = events_in(
        relayed([
            START, opens(7), brings("text_delta", 7, text="a"), opens(7), brings("text_delta", 7, text="b"), stop, stop,
            opens(None), brings("text_delta", None, text="c"), *ENDS,
        ])
    )  # fmt: skip
    placed = [(each["type"].rpartition("_")[2], each["index"]) for each in found if "index" in each]
    assert placed == [(what, at) for at in range(3) for what in ("start", "delta", "stop")]
    assert [block["text"] for block in assert_whole(found)["content"]] == ["a", "b", "c"]


def test_blocks_that_are_open_at_the_end_are_closed() -> None:
    relay: Any = MESSAGES.relay(REQUEST, HEAD, 1000)
    out = b"".join([relay.relay(each) for each in (START, opens(), brings("text_delta", text="a"))])
    out += relay.cut()
    assert relay.is_complete
    found = events_in(out + relay.closing(BILL))
    assert [each["type"] for each in found[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert assert_whole(found)["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("deltas", "told"),
    [
        ([{"stop_reason": "end_turn"}, {"stop_reason": None}], ("end_turn", None)),
        ([{"stop_reason": "end_turn"}, {"stop_reason": ""}], ("end_turn", None)),
        ([{"stop_reason": "end_turn"}, {"stop_reason": "max_tokens"}], ("max_tokens", None)),
        ([{"stop_reason": "stop_sequence", "stop_sequence": "X"}], ("stop_sequence", "X")),
        ([{"stop_reason": "end_turn"}, {}], ("end_turn", None)),
    ],
    ids=str,
)
def test_reason_is_as_it_was_told_last(deltas: list[Any], told: tuple[Any, Any]) -> None:
    chunks = [START, *({"type": "message_delta", "delta": delta} for delta in deltas), {"type": "message_stop"}]
    delta = events_in(relayed(chunks))[-2]["delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == told


def test_members_that_hide_the_upstream_go_and_the_models_words_stay() -> None:
    hidden = "at hidden.example"
    start = {"type": "message_start", "message": {"note": hidden, "beside": 1, "usage": {}}, "own": hidden}
    said = [{**opens(), "note": hidden, "beside": 2}, brings("text_delta", text=hidden)]
    ends = [{**ENDS[0], "note": hidden, "beside": 3, "request_id": "r"}, ENDS[1]]
    found = events_in(relayed([start, *said, *ends]))
    assert (found[0]["message"]["beside"], "note" in found[0]["message"], "own" in found[0]) == (1, False, False)
    assert (found[1]["beside"], "note" in found[1], found[2]["delta"]["text"]) == (2, False, hidden)
    assert (found[-2]["beside"], "note" in found[-2], "request_id" in found[-2]) == (3, False, False)


@pytest.mark.parametrize("value", [None, 5, {"text": 5}, {"text": None}], ids=str)
def test_words_of_what_cannot_be_read_are_none(value: Any) -> None:
    assert MESSAGES.words({"delta": value}) == ""
    assert MESSAGES.words({"delta": {"text": "a"}}) == "a"


def test_pieces_of_a_whole_message_are_what_its_blocks_say() -> None:
    content: list[dict[str, Any]] = [
        {"type": "text", "text": "", "citations": []}, {"type": "thinking", "thinking": "t", "signature": ""},
        {"type": "server_tool_use", "id": "s", "name": "n", "input": None}, {"type": "redacted_thinking", "data": "d"},
    ]  # fmt: skip
    pieces = MESSAGES.pieces({**MESSAGE, "content": content, "stop_sequence": "X"})
    deltas = [each["delta"] for each in pieces if each["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "t"}, {"type": "input_json_delta", "partial_json": "{}"},
    ]  # fmt: skip
    assert [each["content_block"] for each in pieces if each["type"] == "content_block_start"] == [
        content[0], {**content[1], "thinking": ""}, {**content[2], "input": {}}, content[3],
    ]  # fmt: skip
    assert pieces[0]["message"]["stop_sequence"] is None
    assert pieces[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": "X"}


def test_null_of_a_later_event_tells_a_whole_answer_nothing() -> None:
    assembler = MESSAGES.assembler(REQUEST)
    for delta in ({"stop_reason": "end_turn", "stop_sequence": "X"}, {"stop_reason": None, "stop_sequence": None}):
        assembler.add({"type": "message_delta", "delta": delta})
    assert assembler.answer() == {"stop_reason": "end_turn", "stop_sequence": "X", "content": []}
