"""What goes wrong upstream: failover before the first byte, honest errors after it, timeouts, rests."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import upstream as up
from tests.callers import Caller, decoded
from tests.envelopes import assert_error, assert_final, assert_retriable
from tests.faults import (
    BROKEN,
    BROKEN_FIRST_EVENT,
    BROKEN_STREAMS,
    CANARY,
    CONTENT_REFUSED,
    DRIP,
    ENDLESS,
    OUR_KEY_REFUSED,
    OWN_HEADERS,
    SPOKEN,
    TEXT,
    ContentRefusal,
)
from tests.installation import CHEAP, COST, DEAR, DEAREST, DOUBLE, HASTY, SINGLE, Offer, Shape, Via
from tests.servers import free_port
from tests.worlds import World

pytestmark = pytest.mark.usefixtures("retry_budget")


def assert_nothing_owed(caller: Caller, before: int, outcome: str, status: int, code: str) -> None:
    """The one record of a failed request costs nothing and says why."""
    record = caller.only_record()
    assert (record.cost, record.outcome, record.status, record.error_code) == (0, outcome, status, code)
    assert caller.available == before


# --- before the first byte -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [*BROKEN.values(), *OUR_KEY_REFUSED.values()], ids=[*BROKEN, *OUR_KEY_REFUSED])
@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_failure_of_the_first_channel_is_invisible(
    caller: Caller, double: Offer, reply: up.Reply, is_stream: bool
) -> None:
    first, second = double.upstreams
    caller.upstream.on(first, reply)

    response = caller.ask(double, stream=is_stream)

    assert response.status_code == 200
    assert response.headers["x-costrouter-attempts"] == "2"
    assert response.headers["x-costrouter-channel"] == double.channels[1]
    assert CANARY not in response.text
    # Once more if it met a kept connection that the upstream may have closed meanwhile.
    assert len(caller.upstream.received(first)) in {1, 2}
    assert len(caller.upstream.received(second)) == 1
    record = caller.only_record()
    assert (record.outcome, record.cost, record.channel) == ("success", COST, double.channels[1])
    assert [attempt["channel"] for attempt in record.attempts] == list(double.channels)
    assert record.attempts[0]["outcome"] != "answered"
    assert record.attempts[1]["outcome"] == "answered"


@pytest.mark.parametrize("reply", BROKEN_FIRST_EVENT.values(), ids=BROKEN_FIRST_EVENT.keys())
def test_stream_that_fails_before_its_first_chunk_is_taken_over(caller: Caller, double: Offer, reply: up.Reply) -> None:
    caller.upstream.on(double.upstreams[0], reply)

    stream = caller.listen(double)

    assert stream.status == 200
    assert stream.text() == TEXT
    assert stream.is_done
    assert stream.headers["x-costrouter-attempts"] == "2"
    assert caller.only_record().cost == COST


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("status", [206, 226])
def test_part_of_an_answer_is_no_answer(caller: Caller, double: Offer, status: int, is_stream: bool) -> None:
    caller.upstream.on(double.upstreams[0], up.plain(status, up.completion("half of it")))

    response = caller.ask(double, stream=is_stream)

    assert (response.status_code, response.headers["x-costrouter-attempts"]) == (200, "2")
    assert "half of it" not in response.text


@pytest.mark.parametrize("reply", [*BROKEN.values(), *OUR_KEY_REFUSED.values()], ids=[*BROKEN, *OUR_KEY_REFUSED])
@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_failure_of_every_channel_is_a_502_without_a_trace_of_the_upstream(
    caller: Caller, model: Offer, reply: up.Reply, is_stream: bool
) -> None:
    before = caller.available
    caller.upstream.on(model.upstream, reply)

    response = caller.ask(model, stream=is_stream)

    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert "x-should-retry" not in response.headers
    assert "127.0.0.1" not in response.text
    assert model.channels[0] not in response.text
    assert model.upstream not in response.text
    assert_nothing_owed(caller, before, "upstream_error", 502, "upstream_error")


@pytest.mark.parametrize("reply", BROKEN_FIRST_EVENT.values(), ids=BROKEN_FIRST_EVENT.keys())
def test_stream_that_never_begins_is_a_proper_502(caller: Caller, model: Offer, reply: up.Reply) -> None:
    before = caller.available
    caller.upstream.on(model.upstream, reply)

    response = caller.ask(model, stream=True)

    assert_error(response, 502, "server_error", "upstream_error", param=None)
    assert_nothing_owed(caller, before, "upstream_error", 502, "upstream_error")


def test_the_operator_sees_the_detail_of_a_refused_upstream_key(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, OUR_KEY_REFUSED["401 of llama.cpp"])

    caller.ask(model)

    (attempt,) = caller.only_record().attempts
    assert (attempt["outcome"], attempt["status"]) == ("bad_status", 401)
    assert "Invalid API Key" in attempt["detail"]


def test_channel_whose_key_is_refused_rests(caller: Caller, double: Offer) -> None:
    caller.upstream.on(double.upstreams[0], OUR_KEY_REFUSED["401 of llama.cpp"])

    answers = [caller.ask(double) for _count in range(3)]

    assert [answer.headers["x-costrouter-attempts"] for answer in answers] == ["2", "1", "1"]
    assert len(caller.upstream.received(double.upstreams[0])) == 1


def test_refused_connection_fails_over_at_once(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(Via(url=f"http://127.0.0.1:{free_port()}/v1"), DEAR)))
    before = time.monotonic()

    response = caller.ask(model)

    assert response.status_code == 200
    assert time.monotonic() - before < 1  # a connect timeout is longer
    assert caller.only_record().attempts[0]["outcome"] == "connect_failed"


def test_handshake_that_never_completes_fails_over_after_the_connect_timeout(world: World, caller: Caller) -> None:
    with up.silent_port() as port:
        silent = Via(url=f"http://127.0.0.1:{port}/v1", connect_timeout=0.4)
        model = world.offer(Shape(vias=(silent, DEAR)))
        before = time.monotonic()
        response = caller.ask(model)
        elapsed = time.monotonic() - before

    assert response.status_code == 200
    assert 0.4 <= elapsed < 1.5
    assert caller.only_record().attempts[0]["outcome"] == "connect_timeout"


def test_one_request_tries_a_route_once_and_three_routes_at_most(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(CHEAP, DEAR, DEAREST, DEAREST)))
    for name in model.upstreams:
        caller.upstream.on(name, BROKEN["503 loading"])

    response = caller.ask(model)

    assert_error(response, 502, "server_error", "upstream_error")
    assert [len(caller.upstream.received(name)) for name in model.upstreams[:2]] == [1, 1]
    assert sum(len(caller.upstream.received(name)) for name in model.upstreams) == 3
    assert len(caller.only_record().attempts) == 3


def test_caller_may_forbid_fallbacks(caller: Caller, double: Offer) -> None:
    caller.upstream.on(double.upstreams[0], BROKEN["503 loading"])

    response = caller.ask(double, provider={"allow_fallbacks": False})

    assert_error(response, 502, "server_error", "upstream_error")
    assert caller.upstream.received(double.upstreams[1]) == []


def test_fallback_model_is_asked_for_no_more_than_it_can_write(world: World, caller: Caller, model: Offer) -> None:
    second = world.offer(Shape(output_limit=100))
    caller.upstream.on(model.upstream, up.plain(500, {"error": {"message": "down"}}))
    assert caller.ask(model, models=[second.name], max_tokens=5_000).status_code == 200
    asked = [caller.upstream.received(name)[-1].json["max_tokens"] for name in (model.upstream, second.upstream)]
    assert asked == [5_000, 100]


def test_fallback_model_answers_under_its_own_name_and_price(world: World, caller: Caller) -> None:
    first, second = world.offer(SINGLE), world.offer(SINGLE)
    caller.upstream.on(first.upstream, BROKEN["503 loading"])

    response = caller.ask(first, models=[second.name])

    assert response.status_code == 200
    assert response.json()["model"] == second.name
    assert response.headers["x-costrouter-model"] == second.name
    record = caller.only_record()
    assert (record.requested_model, record.model, record.price_id) == (first.name, second.name, second.price_id)


# --- choosing --------------------------------------------------------------------------------------------------------


def test_the_cheapest_channel_is_chosen(caller: Caller, double: Offer) -> None:
    answers = [caller.ask(double) for _count in range(5)]

    assert {answer.headers["x-costrouter-channel"] for answer in answers} == {double.channels[0]}


def test_higher_priority_beats_the_cheaper_channel(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(CHEAP, Via(cost=DEAR.cost, priority=1))))

    assert caller.ask(model).headers["x-costrouter-channel"] == model.channels[1]


def test_caller_may_choose_the_channel(caller: Caller, double: Offer) -> None:
    only = caller.ask(double, provider={"only": [double.channels[1]]})
    ignored = caller.ask(double, provider={"ignore": [double.channels[0]]})
    ordered = caller.ask(double, provider={"order": [double.channels[1]]})

    assert {answer.headers["x-costrouter-channel"] for answer in (only, ignored, ordered)} == {double.channels[1]}


def test_disabled_channel_and_route_without_a_cost_price_are_out_and_explained(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(Via(is_enabled=False), Via(cost=None), DEAR)))

    response = caller.ask(model)

    assert response.headers["x-costrouter-channel"] == model.channels[2]
    states = {item["channel"]: item["reason"] for item in caller.only_record().decision["candidates"]}
    assert states == {
        model.channels[0]: "channel_disabled",
        model.channels[1]: "no_cost_price",
        model.channels[2]: None,
    }


# --- the upstream refuses the content --------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", CONTENT_REFUSED.values(), ids=CONTENT_REFUSED.keys())
@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_refused_content_is_told_with_the_upstreams_status_and_not_tried_elsewhere(
    caller: Caller, double: Offer, refusal: ContentRefusal, is_stream: bool
) -> None:
    before = caller.available
    caller.upstream.on(double.upstreams[0], refusal.reply)

    response = caller.ask(double, stream=is_stream)

    error = assert_error(response, refusal.status, refusal.type, refusal.code)
    assert_final(response)
    assert refusal.says in error["message"]
    assert caller.upstream.received(double.upstreams[1]) == []
    record = caller.only_record()
    assert (record.cost, record.outcome, record.status) == (0, "refused", refusal.status)
    assert caller.available == before


def test_refused_content_says_nothing_about_our_account(caller: Caller, model: Offer) -> None:
    error = {"message": f"Bad value for {CANARY}: key {model.secrets[0]}", "type": f"type-{CANARY}", "code": CANARY}
    caller.upstream.on(model.upstream, up.plain(400, {"error": error}, headers=OWN_HEADERS))

    response = caller.ask(model)

    assert response.status_code == 400
    assert decoded(response.content)["error"]["type"] == "invalid_request_error"
    assert model.secrets[0] not in response.text
    assert CANARY not in str(response.headers)


def test_refused_content_never_opens_the_breaker(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, *[CONTENT_REFUSED["llama.cpp bad message"].reply] * 12, up.answer())

    statuses = [caller.ask(model).status_code for _count in range(13)]

    assert statuses == [400] * 12 + [200]


# --- after the first byte --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS.keys())
def test_stream_that_breaks_ends_in_one_error_event_and_no_done(caller: Caller, double: Offer, reply: up.Reply) -> None:
    caller.upstream.on(double.upstreams[0], reply)

    stream = caller.listen(double)

    assert stream.status == 200
    assert not stream.is_cut
    assert stream.text() == TEXT
    assert "[DONE]" not in stream.data
    assert stream.error.keys() == {"message", "type", "param", "code"}
    assert (stream.error["type"], stream.error["code"], stream.error["param"]) == (
        "server_error",
        "upstream_error",
        None,
    )
    assert CANARY not in stream.raw.decode()
    assert caller.upstream.received(double.upstreams[1]) == []


@pytest.mark.parametrize("reply", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS.keys())
def test_stream_that_breaks_is_billed_by_what_was_received(caller: Caller, model: Offer, reply: up.Reply) -> None:
    caller.upstream.on(model.upstream, reply)
    before = caller.available

    caller.listen(model)

    record = caller.only_record()
    assert (record.outcome, record.usage_source) == ("upstream_error", "estimated")
    assert record.error_code == "upstream_error"
    assert 1 <= record.output_tokens <= len(TEXT)
    assert record.cost == record.input_tokens * 2_000 + record.output_tokens * 8_000
    assert record.cost <= record.held
    assert caller.available == before - record.cost


def test_stream_that_breaks_after_its_usage_is_billed_by_that_usage(caller: Caller, model: Offer) -> None:
    reply = up.stream(*SPOKEN, up.event(up.usage_chunk()), is_terminated=False, end=up.End.RESET)
    caller.upstream.on(model.upstream, reply)

    caller.listen(model)

    record = caller.only_record()
    assert (record.usage_source, record.input_tokens, record.output_tokens) == ("upstream", 12, 5)


# --- timeouts --------------------------------------------------------------------------------------------------------

HASTY_SINGLE = Shape(vias=(HASTY,))


@pytest.mark.parametrize(("is_stream", "seconds"), [(False, 2), (True, 0.5)], ids=["json", "stream"])
def test_silence_before_the_first_byte_is_a_504(world: World, caller: Caller, is_stream: bool, seconds: float) -> None:
    """A whole answer's first byte is its last: only the total bounds it."""
    model = world.offer(HASTY_SINGLE)
    caller.upstream.on(model.upstream, up.Reply((up.HANG,)))
    before, started = caller.available, time.monotonic()

    response = caller.ask(model, stream=is_stream)

    assert_error(response, 504, "server_error", "upstream_timeout", param=None)
    assert seconds <= time.monotonic() - started < seconds + 1
    assert_nothing_owed(caller, before, "timeout", 504, "upstream_timeout")
    (request,) = caller.upstream.received(model.upstream)
    assert request.was_left_within(1)


def test_headers_without_an_event_count_as_silence(world: World, caller: Caller) -> None:
    model = world.offer(HASTY_SINGLE)
    caller.upstream.on(model.upstream, up.stream(up.HANG))

    assert_error(caller.ask(model, stream=True), 504, "server_error", "upstream_timeout")


def test_silence_before_the_first_byte_fails_over(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(HASTY, DEAR)))
    caller.upstream.on(model.upstreams[0], up.Reply((up.HANG,)))

    stream = caller.listen(model)

    assert (stream.status, stream.is_done) == (200, True)
    assert caller.only_record().attempts[0]["outcome"] == "first_byte_timeout"
    assert caller.upstream.received(model.upstreams[0])[0].was_left_within(1)


def test_silence_between_chunks_ends_the_stream_with_an_error(world: World, caller: Caller) -> None:
    model = world.offer(HASTY_SINGLE)
    caller.upstream.on(model.upstream, up.stream(*SPOKEN, up.HANG))

    stream = caller.listen(model)

    assert (stream.error["type"], stream.error["code"]) == ("server_error", "upstream_timeout")
    assert "[DONE]" not in stream.data
    record = caller.only_record()
    assert (record.outcome, record.attempts[0]["outcome"]) == ("timeout", "idle_timeout")
    assert record.cost > 0
    assert caller.upstream.received(model.upstream)[0].was_left_within(1)


@pytest.mark.parametrize("reply", [DRIP, ENDLESS], ids=["bytes but never an event", "a model that never stops"])
def test_stream_without_an_end_is_ended_by_the_total_timeout(world: World, caller: Caller, reply: up.Reply) -> None:
    model = world.offer(HASTY_SINGLE)
    caller.upstream.on(model.upstream, reply)
    started = time.monotonic()

    stream = caller.listen(model)

    assert time.monotonic() - started < 3
    assert stream.error["code"] == "upstream_timeout"
    assert "[DONE]" not in stream.data
    record = caller.only_record()
    assert record.outcome == "timeout"
    assert record.cost > 0
    assert caller.upstream.received(model.upstream)[0].was_left_within(1)


def test_a_slow_stream_is_not_a_silent_one(world: World, caller: Caller) -> None:
    model = world.offer(HASTY_SINGLE)
    caller.upstream.on(model.upstream, up.told(TEXT, pause=0.2))

    stream = caller.listen(model)

    assert stream.is_done
    assert stream.text() == TEXT


# --- rests and breakers ----------------------------------------------------------------------------------------------


def busy(seconds: int) -> up.Reply:
    """An upstream's own rate limit."""
    error = {"error": {"message": f"Rate limit for {CANARY}", "type": "requests", "code": "rate_limit_exceeded"}}
    return up.plain(429, error, headers=[("retry-after", str(seconds)), *OWN_HEADERS])


def test_429_of_the_upstream_fails_over_and_rests_the_route(caller: Caller, double: Offer) -> None:
    caller.upstream.on(double.upstreams[0], busy(30))

    answers = [caller.ask(double) for _count in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.headers["x-costrouter-attempts"] for answer in answers] == ["2", "1", "1"]
    assert len(caller.upstream.received(double.upstreams[0])) == 1


def test_rest_ends_when_retry_after_says(caller: Caller, double: Offer) -> None:
    caller.upstream.on(double.upstreams[0], busy(1), up.answer())

    channels = [caller.ask(double).headers["x-costrouter-channel"] for _count in range(2)]
    time.sleep(1.1)
    channels.append(caller.ask(double).headers["x-costrouter-channel"])

    assert channels == [double.channels[1], double.channels[1], double.channels[0]]


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_all_routes_resting_is_a_503_with_the_time_to_wait(caller: Caller, model: Offer, is_stream: bool) -> None:
    caller.upstream.on(model.upstream, busy(7))
    caller.ask(model)
    caller.only_record()

    with caller.nothing_changes():
        response = caller.ask(model, stream=is_stream)

    assert_error(response, 503, "server_error", "no_available_channel", param=None)
    assert_retriable(response, at_most=7)


def test_the_request_that_meets_the_429_is_told_to_wait_as_well(caller: Caller, model: Offer) -> None:
    before = caller.available
    caller.upstream.on(model.upstream, busy(7))

    response = caller.ask(model)

    assert_error(response, 503, "server_error", "no_available_channel", param=None)
    assert_retriable(response, at_most=7)
    assert caller.only_record().cost == 0
    assert caller.available == before


def test_breaker_takes_a_failing_route_out(caller: Caller, double: Offer) -> None:
    caller.upstream.on(double.upstreams[0], BROKEN["503 loading"])

    answers = [caller.ask(double) for _count in range(12)]

    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].headers["x-costrouter-attempts"] == "1"
    assert len(caller.upstream.received(double.upstreams[0])) <= 6


def test_open_breaker_of_the_only_route_is_a_503_and_no_upstream_call(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, BROKEN["503 loading"])
    for _count in range(10):
        caller.ask(model)
    caller.wait_until_settled()

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_error(response, 503, "server_error", "no_available_channel", param=None)
    assert_retriable(response, at_most=300)


# --- answers beside failures ------------------------------------------------------------------------------------------


def test_double_is_reached_through_both_worlds(each_world: World, each_caller: Caller) -> None:
    model = each_world.offer(DOUBLE)
    each_caller.upstream.on(model.upstreams[0], BROKEN["503 loading"])

    assert each_caller.ask(model).headers["x-costrouter-attempts"] == "2"


@pytest.mark.parametrize("name", ["503 loading", "500 as plain text", "200 with an error body"])
def test_answers_after_a_failure_are_never_mixed_up(world: World, caller: Caller, name: str) -> None:
    broken, model = world.offer(SINGLE), world.offer(SINGLE)
    world.upstream.on(broken.upstream, BROKEN[name])
    world.upstream.on(
        model.upstream, lambda request: up.Reply((up.Pause(0.05), *up.answer(request.json["user"]).steps))
    )
    for _count in range(3):
        caller.ask(broken)

    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(lambda user: caller.ask(model, user=user).json(), [f"user{i}" for i in range(20)])

    assert [answer["choices"][0]["message"]["content"] for answer in answers] == [f"user{i}" for i in range(20)]


def test_answers_after_refused_content_are_never_mixed_up(world: World, caller: Caller, model: Offer) -> None:
    refused = world.offer(SINGLE)
    world.upstream.on(refused.upstream, CONTENT_REFUSED["llama.cpp bad message"].reply)
    world.upstream.on(
        model.upstream, lambda request: up.Reply((up.Pause(0.05), *up.answer(request.json["user"]).steps))
    )
    for _count in range(3):
        caller.ask(refused)

    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(lambda user: caller.ask(model, user=user).json(), [f"user{i}" for i in range(20)])

    assert [answer["choices"][0]["message"]["content"] for answer in answers] == [f"user{i}" for i in range(20)]
