"""Streams that end well: their chunks, their usage, what passes through, and who pays for what."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests import schemas
from tests import upstream as up
from tests.callers import PATH, Caller, decoded
from tests.faults import (
    BIG_LINE,
    BIG_WORD,
    CANARY,
    ODD_STREAMS,
    OWN_HEADERS,
    SPOKEN,
    TEXT,
    UNTRUSTWORTHY_USAGE,
    OddStream,
)
from tests.installation import COST, Offer, Shape
from tests.worlds import World

ASKED: dict[str, Any] = {"stream_options": {"include_usage": True}}


def assert_valid(stream: Any) -> None:
    """Every chunk has the public shape, and all of them one id, one time and one model."""
    assert [
        schemas.faults(schemas.CHUNK, chunk) for chunk in stream.chunks if schemas.faults(schemas.CHUNK, chunk)
    ] == []
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in stream.chunks}) == 1


def test_stream_is_whole_and_says_done_at_the_very_end(each_caller: Caller, each_world: World) -> None:
    model = each_world.offer(Shape())

    stream = each_caller.listen(model)

    assert stream.status == 200
    assert stream.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert not stream.is_cut
    assert stream.is_done
    assert stream.text() == TEXT
    assert_valid(stream)
    assert {chunk["model"] for chunk in stream.chunks} == {model.name}
    assert stream.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in stream.chunks][-1] == "stop"


def test_stream_is_billed_and_recorded_like_an_answer(each_caller: Caller, each_world: World) -> None:
    model = each_world.offer(Shape())
    before = each_caller.available

    stream = each_caller.listen(model)

    record = each_caller.only_record()
    assert f"chatcmpl-{record.id.hex}" == stream.id
    assert (record.outcome, record.status, record.is_stream) == ("success", 200, True)
    assert (record.usage_source, record.input_tokens, record.output_tokens) == ("upstream", 12, 5)
    assert record.cost == COST
    assert each_caller.available == before - COST


def test_usage_that_was_not_asked_for_is_not_shown(caller: Caller, model: Offer) -> None:
    stream = caller.listen(model)

    assert [chunk for chunk in stream.chunks if "usage" in chunk] == []
    assert [chunk for chunk in stream.chunks if not chunk["choices"]] == []


def test_usage_that_was_asked_for_is_one_last_chunk_with_the_cost(caller: Caller, model: Offer) -> None:
    stream = caller.listen(model, **ASKED)

    *others, last = stream.chunks
    assert stream.is_done
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (12, 5)
    assert last["usage"]["total_tokens"] == 17
    assert last["usage"]["cost"] == Decimal("0.000064")
    assert caller.only_record().cost == COST
    assert [chunk["usage"] for chunk in others] == [None] * len(others)
    assert_valid(stream)


def test_headers_of_a_stream(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*SPOKEN, up.event(up.FINISH), up.DONE, headers=OWN_HEADERS))

    stream = caller.listen(model)

    assert stream.headers["x-request-id"]
    assert stream.headers["x-costrouter-model"] == model.name
    assert stream.headers["x-costrouter-channel"] == model.channels[0]
    assert stream.headers["x-costrouter-attempts"] == "1"
    assert "no-cache" in stream.headers["cache-control"]
    assert "content-length" not in stream.headers
    assert "content-encoding" not in stream.headers
    assert CANARY not in str(stream.headers)


@pytest.mark.parametrize("odd", ODD_STREAMS.values(), ids=ODD_STREAMS.keys())
def test_odd_but_complete_stream_reaches_the_client_whole(caller: Caller, model: Offer, odd: OddStream) -> None:
    caller.upstream.on(model.upstream, odd.reply)

    stream = caller.listen(model, **ASKED)

    assert stream.status == 200
    assert stream.text() == odd.text
    assert stream.is_done
    assert_valid(stream)
    assert [chunk["choices"][0]["finish_reason"] for chunk in stream.chunks if chunk["choices"]][-1] is not None
    assert len(stream.usages) == 1
    assert stream.chunks[-1]["choices"] == []
    assert stream.usages[0]["cost"] == Decimal("0.000064")
    record = caller.only_record()
    assert (record.outcome, record.cost, record.usage_source) == ("success", COST, "upstream")
    assert CANARY not in stream.raw.decode()


@pytest.mark.parametrize("odd", ODD_STREAMS.values(), ids=ODD_STREAMS.keys())
def test_odd_stream_shows_no_usage_unless_asked(caller: Caller, model: Offer, odd: OddStream) -> None:
    caller.upstream.on(model.upstream, odd.reply)

    stream = caller.listen(model)

    assert stream.text() == odd.text
    assert stream.is_done
    assert [chunk for chunk in stream.chunks if "usage" in chunk] == []
    assert caller.only_record().cost == COST


def test_unknown_members_of_chunks_and_deltas_are_kept(caller: Caller, model: Offer) -> None:
    odd = up.chunk({"content": "a", "reasoning_content": "hm", "reasoning": "r"}, obfuscation="xyz", timings={"n": 1.5})
    caller.upstream.on(model.upstream, up.stream(up.event(up.ROLE), up.event(odd), up.event(up.FINISH), up.DONE))

    chunk = caller.listen(model).chunks[1]

    assert chunk["choices"][0]["delta"] == {"content": "a", "reasoning_content": "hm", "reasoning": "r"}
    assert chunk["obfuscation"] == "xyz"
    assert chunk["timings"] == {"n": Decimal("1.5")}


def test_tool_call_pieces_pass_byte_identical(caller: Caller, model: Offer) -> None:
    pieces = ['{ "ci', 'ty": "H', "à N", 'ội",\n\t"n":1.0', "}"]
    start = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    deltas = [{"tool_calls": [start]}, *({"tool_calls": [{"index": 0, "function": {"arguments": p}}]} for p in pieces)]
    finish = up.chunk({}, finish_reason="tool_calls")
    events = [up.event(item) for item in (up.ROLE, *map(up.chunk, deltas), finish, up.usage_chunk())]
    caller.upstream.on(model.upstream, up.stream(*events, up.DONE))

    stream = caller.listen(model, tools=[{"type": "function", "function": {"name": "get_weather"}}])

    seen = [chunk["choices"][0]["delta"] for chunk in stream.chunks[1:-1]]
    assert seen == deltas
    assert_valid(stream)
    assert stream.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_line_of_five_megabytes_passes(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, BIG_LINE)

    stream = caller.listen(model)

    assert len(stream.text()) == len(BIG_WORD)
    assert stream.is_done


def test_two_usage_chunks_one_per_choice_are_summed(caller: Caller, model: Offer) -> None:
    each = {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    first = [up.chunk({"role": "assistant", "content": "a"}, index=1), up.chunk({}, index=1, finish_reason="stop")]
    second = [up.chunk({"role": "assistant", "content": "b"}, index=0), up.chunk({}, index=0, finish_reason="stop")]
    items = [*first, up.usage_chunk(each), *second, up.usage_chunk(each)]
    caller.upstream.on(model.upstream, up.stream(*map(up.event, items), up.DONE))

    stream = caller.listen(model, n=2, **ASKED)

    record = caller.only_record()
    assert (stream.text(0), stream.text(1)) == ("b", "a")
    assert record.output_tokens == 10
    assert len(stream.usages) == 1
    assert stream.usages[0]["completion_tokens"] == 10
    assert stream.chunks[-1]["choices"] == []
    assert stream.usages[0]["cost"] == Decimal(record.cost).scaleb(-9)
    assert_valid(stream)


def test_two_choices_counted_together_are_not_doubled(caller: Caller, model: Offer) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 10, "total_tokens": 22}
    items = [
        *(up.chunk({"role": "assistant", "content": "a"}, index=i) for i in (0, 1)),
        *(up.chunk({}, index=i, finish_reason="stop") for i in (0, 1)),
        up.usage_chunk(usage),
    ]
    caller.upstream.on(model.upstream, up.stream(*map(up.event, items), up.DONE))

    caller.listen(model, n=2)

    assert caller.only_record().output_tokens == 10


def test_explanation_comes_in_the_last_chunk(caller: Caller, double: Offer) -> None:
    stream = caller.listen(double, headers={"x-costrouter-explain": "true"})

    assert [index for index, chunk in enumerate(stream.chunks) if "costrouter" in chunk] == [len(stream.chunks) - 1]
    assert stream.chunks[-1]["costrouter"]["candidates"][0]["state"] == "chosen"


# --- time ------------------------------------------------------------------------------------------------------------


def test_chunks_arrive_as_they_come_and_not_in_one_lump(caller: Caller, model: Offer) -> None:
    gate = threading.Event()
    caller.upstream.on(
        model.upstream, up.stream(*SPOKEN[:3], up.Until(gate), *SPOKEN[3:], up.event(up.FINISH), up.DONE)
    )

    with caller.listening(model) as response:
        parts = response.iter_raw()
        seen = b""
        while b"two" not in seen:
            seen += next(parts)
        gate.set()
        seen += b"".join(parts)

    assert seen.rstrip().endswith(b"data: [DONE]")


def test_first_chunk_is_not_held_back(caller: Caller, model: Offer) -> None:
    gate = threading.Event()
    caller.upstream.on(model.upstream, up.stream(SPOKEN[0], up.Until(gate), *SPOKEN[1:], up.event(up.FINISH), up.DONE))

    with caller.listening(model) as response:
        first = next(response.iter_raw())
        gate.set()

    assert b'"role":"assistant"' in first.replace(b" ", b"")


def test_keep_alive_comments_go_out_while_the_upstream_is_silent(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*SPOKEN, up.Pause(1.5), up.event(up.FINISH), up.DONE))

    stream = caller.listen(model)

    assert stream.comments.count(": keep-alive") in {2, 3, 4}
    assert stream.text() == TEXT
    assert stream.is_done


def test_no_keep_alive_in_a_stream_that_is_not_silent(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.told(" ".join(["word"] * 20), pause=0.05))

    assert caller.listen(model).comments == []


def test_forty_streams_at_once_stay_apart(world: World, model: Offer) -> None:
    caller = world.caller()
    world.upstream.on(model.upstream, lambda request: up.told(f"hello {request.json['user']} and goodbye", pause=0.02))
    texts: dict[str, str] = {}

    def listen(user: str) -> None:
        texts[user] = caller.listen(model, user=user).text()

    threads = [threading.Thread(target=listen, args=(f"user{i}",)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert texts == {f"user{i}": f"hello user{i} and goodbye" for i in range(40)}


# --- usage that cannot be trusted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("usage", UNTRUSTWORTHY_USAGE.values(), ids=UNTRUSTWORTHY_USAGE.keys())
def test_stream_without_usable_usage_is_estimated_and_marked_so(caller: Caller, model: Offer, usage: Any) -> None:
    caller.upstream.on(model.upstream, up.told(TEXT, usage=usage))

    stream = caller.listen(model, **ASKED)

    record = caller.only_record()
    assert stream.is_done
    assert record.usage_source == "estimated"
    assert record.outcome == "success"
    assert 1 <= record.output_tokens <= len(TEXT)
    assert 1 <= record.input_tokens <= 300
    assert record.cost == record.input_tokens * 2_000 + record.output_tokens * 8_000
    assert stream.usages[0]["cost"] == Decimal(record.cost).scaleb(-9)
    assert_valid(stream)


@pytest.mark.parametrize("usage", UNTRUSTWORTHY_USAGE.values(), ids=UNTRUSTWORTHY_USAGE.keys())
def test_answer_without_usable_usage_is_estimated_and_marked_so(caller: Caller, model: Offer, usage: Any) -> None:
    caller.upstream.on(model.upstream, up.answer(TEXT, usage=usage))

    body = decoded(caller.ask(model).content)

    record = caller.only_record()
    assert record.usage_source == "estimated"
    assert 1 <= record.output_tokens <= len(TEXT)
    assert record.cost == record.input_tokens * 2_000 + record.output_tokens * 8_000
    assert body["usage"]["cost"] == Decimal(record.cost).scaleb(-9)
    assert schemas.faults(schemas.COMPLETION, body) == []


INFLATED = {"prompt_tokens": 90_000, "completion_tokens": 5, "total_tokens": 90_005}


@pytest.mark.parametrize("is_stream", [False, True])
def test_input_beyond_its_bound_is_paid_beyond_the_hold(caller: Caller, model: Offer, is_stream: bool) -> None:
    caller.upstream.on(model.upstream, up.told(usage=INFLATED) if is_stream else up.answer(usage=INFLATED))
    before = caller.available

    caller.ask(model, stream=is_stream, max_tokens=100)

    record = caller.only_record()
    assert record.cost == record.claimed_cost == 90_000 * 2_000 + 5 * 8_000
    assert record.cost > record.held
    assert caller.available == before - record.cost


def test_absurd_usage_neither_wraps_nor_breaks_the_books(caller: Caller, model: Offer) -> None:
    usage = {"prompt_tokens": 10**30, "completion_tokens": 2**63, "total_tokens": 2**64}
    caller.upstream.on(model.upstream, up.told(usage=usage))
    before = caller.available

    stream = caller.listen(model, max_tokens=100)

    record = caller.only_record()
    assert stream.is_done
    assert 0 < record.cost <= record.held
    assert caller.available == before - record.cost


@pytest.mark.parametrize("cached", [-1, 13, 10**20, "9", 1.5, None])
def test_cached_tokens_outside_the_prompt_are_not_believed(caller: Caller, model: Offer, cached: Any) -> None:
    usage = {**up.USAGE, "prompt_tokens_details": {"cached_tokens": cached}}
    caller.upstream.on(model.upstream, up.answer(usage=usage))

    response = caller.ask(model)

    record = caller.only_record()
    assert response.status_code == 200
    assert 0 <= record.usage.cached_input <= 12
    assert 12 * 500 + 5 * 8_000 <= record.cost <= COST


# --- a stream answered to a client that asked for none, and the other way round --------------------------------------


def test_stream_instead_of_the_json_that_was_asked_is_an_upstream_error(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.told())

    response = caller.ask(model)

    assert response.status_code in {200, 502}
    assert decoded(response.content)


def test_json_instead_of_the_stream_that_was_asked_never_looks_like_a_broken_success(
    caller: Caller, model: Offer
) -> None:
    caller.upstream.on(model.upstream, up.answer())

    with httpx.Client(base_url=caller.installation.gateway_url, headers=caller.authorization) as client:
        response = client.post(PATH, json=caller.body(model, stream=True))

    ended_well = response.status_code == 200 and response.text.rstrip().endswith("data: [DONE]")
    assert ended_well or response.status_code == 502


def test_time_to_the_first_chunk_is_recorded(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(up.Pause(0.2), *SPOKEN, up.Pause(0.2), up.event(up.FINISH), up.DONE))
    before = time.monotonic()

    caller.listen(model)

    elapsed = (time.monotonic() - before) * 1000
    record = caller.only_record()
    assert record.first_byte_ms is not None
    assert 200 <= record.first_byte_ms <= record.duration_ms - 190
    assert record.duration_ms <= elapsed + 5
