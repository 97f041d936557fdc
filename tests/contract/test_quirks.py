"""What upstreams send beside the book: good answers arrive whole and rightly billed, broken ones never look whole."""

from __future__ import annotations

from typing import Any

import pytest

from tests import schemas
from tests import upstream as up
from tests.callers import Caller, Stream, decoded
from tests.installation import Offer, Via
from tests.installation import Shape as Shaped
from tests.worlds import World

ASKED: dict[str, Any] = {"stream_options": {"include_usage": True}}
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
COST = 100 * 2_000 + 10 * 8_000
HELLO, THERE, STOP = up.chunk({"content": "Hello"}), up.chunk({"content": " there"}), up.FINISH
SIZES = [0, 7]


def sent(*parts: bytes | dict[str, Any], size: int = 0, is_terminated: bool = True) -> up.Reply:
    """A stream of these events, in transfer chunks of this many bytes."""
    data = b"".join(part if isinstance(part, bytes) else up.event(part) for part in parts)
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    return up.stream(*pieces, is_terminated=is_terminated)


def assert_valid(seen: Stream) -> None:
    assert [fault for chunk in seen.chunks for fault in schemas.faults(schemas.CHUNK, chunk)] == []


def assert_broken(seen: Stream) -> None:
    """An error event at the end and no [DONE], or an error instead of an answer."""
    if seen.status == 200:
        assert not seen.is_done
        assert seen.error["code"]
    else:
        assert seen.status == 502


def reasons(seen: Stream) -> list[str | None]:
    return [choice["finish_reason"] for chunk in seen.chunks for choice in chunk["choices"]]


# --- events that are no perfect chunks -------------------------------------------------------------------------------

BETWEEN: dict[str, bytes | dict[str, Any]] = {
    "choices null": {"choices": None, "usage": USAGE},
    "usage without choices": {"usage": USAGE},
    "delta null": {"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]},
    "ping": b'event: ping\ndata: {"type":"ping"}\n\n',
    "empty data": b"data:\n\n",
    "done with a blank": b"data: [DONE] \n\n",
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN.keys())
def test_event_that_is_no_perfect_chunk_loses_nothing(
    caller: Caller, model: Offer, between: bytes | dict[str, Any], size: int
) -> None:
    caller.upstream.on(model.upstream, sent(HELLO, THERE, STOP, between, up.usage_chunk(USAGE), up.DONE, size=size))

    seen = caller.listen(model, **ASKED)

    assert (seen.text(), seen.is_done, reasons(seen)[-1]) == ("Hello there", True, "stop")
    assert_valid(seen)
    record = caller.only_record()
    if between != BETWEEN["done with a blank"]:  # nothing is read after the end
        assert (record.outcome, record.usage_source, record.cost) == ("success", "upstream", COST)
    assert record.outcome == "success"


@pytest.mark.parametrize("late", [b"data: {oops\n\n", {"error": {"message": "late"}, "usage": USAGE}], ids=str)
def test_nothing_breaks_an_answer_that_is_whole(caller: Caller, model: Offer, late: Any) -> None:
    caller.upstream.on(model.upstream, sent(HELLO, THERE, STOP, late))

    seen = caller.listen(model, **ASKED)

    assert (seen.text(), seen.is_done) == ("Hello there", True)
    assert caller.only_record().outcome == "success"


def test_connection_that_breaks_behind_a_whole_answer_breaks_nothing(caller: Caller, model: Offer) -> None:
    parts = [up.event(part) for part in (HELLO, THERE, STOP)]
    caller.upstream.on(model.upstream, up.stream(*parts, up.Pause(0.1), end=up.End.RESET, is_terminated=False))

    seen = caller.listen(model, **ASKED)

    assert (seen.text(), seen.is_done, caller.only_record().outcome) == ("Hello there", True, "success")


# --- finish reasons --------------------------------------------------------------------------------------------------


def test_empty_finish_reason_is_none(caller: Caller, model: Offer) -> None:
    parts = (up.chunk({"content": "Hello"}, finish_reason=""), up.chunk({"content": " there"}, finish_reason=""))
    caller.upstream.on(model.upstream, sent(*parts, STOP, up.usage_chunk(USAGE), up.DONE))

    seen = caller.listen(model)

    assert reasons(seen) == [None, None, "stop"]
    assert_valid(seen)


@pytest.mark.parametrize("word", ["error", "network_error"])
def test_finish_reason_of_a_failure_breaks_the_stream(caller: Caller, model: Offer, word: str) -> None:
    caller.upstream.on(model.upstream, sent(up.chunk({"content": "Hel"}), up.chunk({}, finish_reason=word), up.DONE))

    seen = caller.listen(model)

    assert_broken(seen)
    assert seen.text() == "Hel"
    assert caller.only_record().outcome == "upstream_error"


@pytest.mark.parametrize("word", ["error", "network_error"])
def test_whole_answer_that_failed_is_tried_elsewhere(world: World, caller: Caller, double: Offer, word: str) -> None:
    caller.upstream.on(double.upstreams[0], up.answer("Hel", finish_reason=word))

    response = caller.ask(double)

    assert (response.status_code, response.headers["x-costrouter-attempts"]) == (200, "2")


@pytest.mark.parametrize(
    ("word", "reason"), [("max_tokens", "length"), ("MAX_TOKENS", "length"), ("content_filtered", "content_filter")]
)
def test_other_vendors_finish_reasons_keep_their_meaning(caller: Caller, model: Offer, word: str, reason: str) -> None:
    caller.upstream.on(
        model.upstream, sent(HELLO, up.chunk({}, finish_reason=word), up.DONE), up.answer("Hello", finish_reason=word)
    )

    seen, whole = caller.listen(model), caller.ask(model).json()

    assert reasons(seen)[-1] == whole["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize(
    ("arguments", "is_whole"), [('{"x":1}', True), ('{"x":"}', False), ('{"x":', False), ("", False)]
)
def test_done_in_the_middle_of_a_tool_call_is_not_the_end_of_one(
    caller: Caller, model: Offer, arguments: str, is_whole: bool
) -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    caller.upstream.on(model.upstream, sent(up.chunk({"tool_calls": [call]}), up.DONE))

    seen = caller.listen(model)

    if is_whole:
        assert (reasons(seen)[-1], seen.is_done) == ("tool_calls", True)
        assert_valid(seen)
    else:
        assert_broken(seen)


PARTS_OF_CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAID_AT_THE_END: dict[str, tuple[list[Any], list[str | None]]] = {
    "stop in every chunk": (
        [up.chunk({"content": text}, finish_reason="stop") for text in ("Hello", " there")], [None, None, "stop"]
    ),
    "stop in every chunk, and alone": (
        [*(up.chunk({"content": text}, finish_reason="stop") for text in ("Hello", " there")), STOP],
        [None, None, "stop"],
    ),
    "length behind stop": (
        [up.chunk({"content": "Hello"}, finish_reason="stop"), up.chunk({"content": " there"}, finish_reason="length")],
        [None, "length"],
    ),
    "stop behind a call": (
        [HELLO, THERE, up.chunk({"tool_calls": [PARTS_OF_CALL]}), STOP], [None, None, None, "tool_calls"]
    ),
    "calls where there are none": ([HELLO, THERE, up.chunk({}, finish_reason="tool_calls")], [None, None, "stop"]),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "right"), SAID_AT_THE_END.values(), ids=SAID_AT_THE_END.keys())
@pytest.mark.parametrize("size", SIZES)
def test_reason_goes_out_once_and_fits_what_was_said(
    caller: Caller, model: Offer, parts: list[Any], right: list[str | None], size: int
) -> None:
    caller.upstream.on(model.upstream, sent(*parts, up.usage_chunk(USAGE), up.DONE, size=size))

    seen = caller.listen(model, **ASKED)

    assert (seen.text(), reasons(seen), seen.is_done) == ("Hello there", right, True)
    assert_valid(seen)
    assert caller.only_record().cost == COST


def test_whole_answer_that_called_says_so(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.answer(None, message={"tool_calls": [PARTS_OF_CALL]}, finish_reason="stop"))

    assert caller.ask(model).json()["choices"][0]["finish_reason"] == "tool_calls"


UNASKED: dict[str, list[Any]] = {
    "chunks": [HELLO, THERE, STOP, up.usage_chunk(USAGE)],
    "one event": [up.completion("Hello there", usage=USAGE)],
}


@pytest.mark.parametrize("parts", UNASKED.values(), ids=UNASKED.keys())
def test_answer_that_comes_as_events_unasked_is_put_together(caller: Caller, model: Offer, parts: list[Any]) -> None:
    caller.upstream.on(model.upstream, sent(*parts, up.DONE))

    answer = caller.ask(model).json()

    assert answer["choices"][0]["message"]["content"] == "Hello there"
    assert schemas.faults(schemas.COMPLETION, answer) == []
    assert caller.only_record().cost == COST


def test_events_that_break_off_unasked_are_no_answer(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, sent(HELLO, THERE))

    assert caller.ask(model).status_code == 502
    assert caller.only_record().cost == 0


@pytest.mark.parametrize("tier", [["x"], {}, "on_demand", ""], ids=str)
def test_tier_that_is_none_goes(caller: Caller, model: Offer, tier: Any) -> None:
    caller.upstream.on(model.upstream, up.answer("Hello", service_tier=tier))

    response = caller.ask(model)

    assert (response.status_code, response.json().get("service_tier")) == (200, None)


def test_exception_of_bedrocks_breaks_the_stream(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, sent(HELLO, {"modelStreamErrorException": {"message": "x"}}, up.DONE))

    assert_broken(caller.listen(model))


# --- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        pytest.param(
            {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 419,
             "completion_tokens_details": {"reasoning_tokens": 317}},
            100 * 2_000 + 319 * 8_000, id="reasoning beside"),
        pytest.param(
            {"prompt_tokens": 65, "completion_tokens": 0, "total_tokens": 446,
             "completion_tokens_details": {"reasoning_tokens": 381}},
            65 * 2_000 + 381 * 8_000, id="nothing but reasoning"),
        pytest.param({"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010, "cached_tokens": 900},
                     100 * 2_000 + 900 * 500 + 10 * 8_000, id="cached beside"),
        pytest.param({"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010,
                      "prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 100},
                     100 * 2_000 + 900 * 500 + 10 * 8_000, id="cache hits"),
    ],
)  # fmt: skip
def test_usage_in_other_words_costs_what_was_used(
    caller: Caller, model: Offer, usage: dict[str, Any], cost: int
) -> None:
    caller.upstream.on(
        model.upstream, sent(HELLO, STOP, up.usage_chunk(usage), up.DONE), up.answer("Hello", usage=usage)
    )

    caller.listen(model)
    caller.ask(model)

    caller.wait_until_settled()
    assert [(record.cost, record.usage_source) for record in caller.records] == [(cost, "upstream")] * 2


def test_usage_that_came_early_is_no_less_than_what_was_received(caller: Caller, model: Offer) -> None:
    first = up.chunk({"content": "a "}, usage={"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101})
    caller.upstream.on(model.upstream, sent(first, *[up.chunk({"content": "b "})] * 40, STOP, up.DONE))

    caller.listen(model)

    record = caller.only_record()
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (100, 41, "estimated")


def test_tool_calls_are_estimated_by_their_text(caller: Caller, model: Offer) -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    rest = up.chunk({"tool_calls": [{"index": 0, "function": {"arguments": "ab"}}]})
    parts = (up.chunk({"role": "assistant", "tool_calls": [first]}), *[rest] * 100)
    caller.upstream.on(model.upstream, sent(*parts, up.chunk({}, finish_reason="tool_calls"), up.DONE))

    caller.listen(model)

    assert 90 <= caller.only_record().output_tokens <= 110


# --- the cap ---------------------------------------------------------------------------------------------------------


def test_stream_that_goes_on_past_its_cap_is_ended_there(caller: Caller, model: Offer) -> None:
    word = up.event(up.chunk({"content": "word"}))
    caller.upstream.on(model.upstream, up.stream(up.Forever(up.framed(word), 0.0005), is_terminated=False))

    seen = caller.listen(model, max_tokens=5)

    assert (seen.is_done, reasons(seen)[-1]) == (True, "length")
    assert len(seen.text()) // 4 <= 5 + 1 + 64 + 40  # what came in one piece with the last
    assert_valid(seen)
    record = caller.only_record()
    assert (record.outcome, record.usage_source) == ("success", "estimated")
    assert "output cap" in record.attempts[0]["detail"]


@pytest.mark.parametrize(
    ("piece", "count"),
    [
        pytest.param("a sentence of fifty bytes, which some send at once. ", 50, id="sentences"),
        pytest.param("x", 1_000, id="letters"),
        pytest.param("\N{LATIN SMALL LETTER U WITH HORN AND TILDE}", 300, id="Vietnamese letters"),
    ],
)
def test_stream_within_its_cap_is_whole_however_it_is_cut_into_chunks(
    caller: Caller, model: Offer, piece: str, count: int
) -> None:
    caller.upstream.on(model.upstream, sent(*[up.chunk({"content": piece})] * count, STOP, up.DONE))

    seen = caller.listen(model, max_tokens=256)

    assert (seen.text(), reasons(seen)[-1], seen.is_done) == (piece * count, "stop", True)


def test_stream_that_is_past_its_cap_at_once_says_so_too(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, sent(*[up.chunk({"content": "w "})] * 200))

    seen = caller.listen(model, max_tokens=5)

    assert (seen.is_done, reasons(seen)[-1]) == (True, "length")
    assert "output cap" in caller.only_record().attempts[0]["detail"]


def test_counts_far_above_the_cap_are_not_believed(caller: Caller, model: Offer) -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 50_000, "total_tokens": 50_012}
    caller.upstream.on(model.upstream, up.answer("Hello there!", usage=usage), up.told("Hello there!", usage=usage))

    caller.ask(model, max_tokens=100)
    caller.listen(model, max_tokens=100)

    caller.wait_until_settled()
    assert [(record.usage_source, record.output_tokens < 10) for record in caller.records] == [("estimated", True)] * 2
    assert ["output" in record.attempts[0]["detail"] for record in caller.records] == [True, True]


# --- tool calls ------------------------------------------------------------------------------------------------------


def test_tool_calls_without_place_are_completed(caller: Caller, model: Offer) -> None:
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": '{"x":'}} for i in "ab"]
    later = up.chunk({"tool_calls": [{"id": None, "type": None, "function": {"name": None, "arguments": "1}"}}]})
    end = up.chunk({}, finish_reason="tool_calls")
    caller.upstream.on(model.upstream, sent(up.chunk({"tool_calls": calls}), later, end, up.DONE))

    seen = caller.listen(model)

    found = [
        call for chunk in seen.chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())
    ]
    assert [(call["index"], call.get("id")) for call in found] == [(0, "a"), (1, "b"), (1, None)]
    assert found[2] == {"index": 1, "function": {"arguments": "1}"}}
    assert_valid(seen)


# --- what upstreams say in other forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_stream_that_comes_as_a_whole_answer_is_streamed(caller: Caller, model: Offer, size: int) -> None:
    message = {"tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}
    caller.upstream.on(
        model.upstream, up.answer("Hello there", usage=USAGE, message=message, finish_reason="tool_calls")
    )

    seen = caller.listen(model, **ASKED)

    assert (seen.text(), seen.is_done, reasons(seen)[-1]) == ("Hello there", True, "tool_calls")
    assert_valid(seen)
    assert (caller.only_record().cost, caller.only_record().usage_source) == (COST, "upstream")


def test_error_that_comes_as_json_is_kept_with_the_attempt(caller: Caller, double: Offer) -> None:
    caller.upstream.on(double.upstreams[0], up.plain(200, {"error": {"message": "worker limit"}}))

    seen = caller.listen(double)

    assert (seen.is_done, seen.headers["x-costrouter-attempts"]) == (True, "2")
    assert "worker limit" in caller.only_record().attempts[0]["detail"]


@pytest.mark.parametrize("size", SIZES)
def test_byte_order_mark_costs_no_event(caller: Caller, model: Offer, size: int) -> None:
    caller.upstream.on(model.upstream, sent(b"\xef\xbb\xbf", HELLO, THERE, STOP, up.DONE, size=size))

    assert caller.listen(model).text() == "Hello there"


def test_comments_of_an_upstream_are_our_own_sign_of_life(caller: Caller, model: Offer) -> None:
    canary = b": upstream https://host.example org-Abc123 sk-canary\n\n"
    parts = (canary, up.event(HELLO), up.Pause(0.2), canary, up.event(STOP), up.DONE)  # behind an event it says nothing
    caller.upstream.on(model.upstream, up.stream(*parts))

    seen = caller.listen(model)

    assert set(seen.comments) == {": keep-alive"}
    assert b"canary" not in seen.raw


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_extra_members_pass_but_for_what_names_the_upstream(caller: Caller, model: Offer, is_stream: bool) -> None:
    secret = model.secrets[0]
    extra: dict[str, Any] = {
        "organization": "org-x",
        "x_upstream": "h",
        "citations": ["a"],
        "trace": {"at": f"key {secret}"},
    }
    if is_stream:
        caller.upstream.on(model.upstream, sent(up.chunk({"content": "Hello"}, **extra), STOP, up.DONE))
        seen = caller.listen(model)
        (body, *_), raw = seen.chunks, seen.raw
    else:
        caller.upstream.on(model.upstream, up.answer("Hello", **extra))
        response = caller.ask(model)
        body, raw = decoded(response.content), response.content

    assert body["citations"] == ["a"]
    assert {"organization", "x_upstream", "trace"} & set(body) == set()
    assert secret.encode() not in raw


def test_values_that_the_schema_does_not_know_leave_valid(caller: Caller, model: Offer) -> None:
    content = [{"type": "text", "text": "Hello"}, {"type": "text", "text": " there"}]
    caller.upstream.on(
        model.upstream,
        sent(HELLO, up.chunk({"role": "", "content": " there"}, service_tier="on_demand"), STOP, up.DONE),
        up.answer(None, message={"content": content}, service_tier="on_demand"),
    )

    seen, whole = caller.listen(model), decoded(caller.ask(model).content)

    assert_valid(seen)
    assert schemas.faults(schemas.COMPLETION, whole) == []
    assert (seen.text(), whole["choices"][0]["message"]["content"]) == ("Hello there", "Hello there")
    assert "service_tier" not in whole


# --- refusals --------------------------------------------------------------------------------------------------------


def test_rest_that_is_a_date_is_kept(world: World, caller: Caller, model: Offer) -> None:
    date = [("date", "Thu, 26 Nov 2026 08:00:00 GMT"), ("retry-after", "Thu, 26 Nov 2026 08:01:30 GMT")]
    caller.upstream.on(model.upstream, up.plain(429, {"error": {"message": "slow"}}, headers=date))

    first, second = caller.ask(model), caller.ask(model)

    assert (first.status_code, second.status_code) == (503, 503)
    assert 85 <= int(second.headers["retry-after"]) <= 90
    assert len(caller.upstream.received(model.upstream)) == 1


def test_overloaded_upstream_that_says_when_to_come_back_is_left_alone(caller: Caller, model: Offer) -> None:
    reply = up.plain(503, {"error": {"message": "loading"}}, headers=[("retry-after", "44")])
    caller.upstream.on(model.upstream, reply)

    first, second = caller.ask(model), caller.ask(model)

    assert (first.status_code, second.status_code) == (503, 503)
    assert 40 <= int(second.headers["retry-after"]) <= 44
    assert len(caller.upstream.received(model.upstream)) == 1


def test_request_above_the_operators_limit_rests_no_route_and_tells_no_limit(caller: Caller, model: Offer) -> None:
    message = "Request too large for model `x` in organization `org_1` on tokens per minute (TPM): Limit 6000"
    error = {"error": {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}}
    caller.upstream.on(model.upstream, up.plain(413, error, headers=[("retry-after", "44")]))

    answers = [caller.ask(model) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [502] * 6
    assert "6000" not in answers[0].text
    assert len(caller.upstream.received(model.upstream)) == 6


def test_empty_account_of_the_operator_rests_the_channel(world: World, caller: Caller, model: Offer) -> None:
    error = {
        "error": {
            "message": "You exceeded your current quota",
            "type": "insufficient_quota",
            "code": "insufficient_quota",
        }
    }
    caller.upstream.on(model.upstream, up.plain(429, error))

    first, second = caller.ask(model), caller.ask(model)

    assert first.status_code == 502
    assert second.status_code == 503
    assert int(second.headers["retry-after"]) > 200
    assert "insufficient" not in first.text


def test_list_of_errors_says_which_field_was_refused(caller: Caller, model: Offer) -> None:
    body = [{"error": {"code": 400, "message": "Invalid value at 'x'", "status": "INVALID_ARGUMENT"}}]
    caller.upstream.on(model.upstream, up.plain(400, body))

    response = caller.ask(model)

    assert (response.status_code, response.json()["error"]["message"]) == (400, "Invalid value at 'x'")


def test_whole_answer_is_not_bounded_by_the_first_byte_limit(world: World, caller: Caller) -> None:
    model = world.offer(Shaped(vias=(Via(first_byte_timeout=0.3),)))
    caller.upstream.on(model.upstream, up.plain(200, up.completion("Late", usage=up.USAGE), delay=0.8))

    assert caller.ask(model).json()["choices"][0]["message"]["content"] == "Late"
