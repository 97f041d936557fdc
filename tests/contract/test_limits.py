"""What a caller may spend and how fast: the wallet, requests, tokens and concurrency."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from accounts import keys
from tests import upstream as up
from tests.callers import Caller
from tests.envelopes import assert_error, assert_final, assert_retriable
from tests.faults import BROKEN
from tests.installation import DEAR, DOLLAR, SINGLE, Offer, Shape, Tariff, Via
from tests.worlds import World

FLAT = Shape(price=Tariff(input=0, output=0, cached_input=None, request_fee=DOLLAR // 20))
"""Five cents a request, whatever it says: the hold is the cost."""


# --- the wallet ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True], ids=["json", "stream"])
def test_request_that_the_wallet_cannot_pay_is_refused_before_it_is_forwarded(
    each_world: World, is_stream: bool
) -> None:
    caller, model = each_world.caller(funds="0.01"), each_world.offer(SINGLE)

    with caller.nothing_changes():
        response = caller.ask(model, stream=is_stream, max_tokens=16_000)

    assert_error(response, 429, "insufficient_quota", "insufficient_quota", param=None)
    assert_final(response)


def test_refusal_names_the_tokens_that_the_wallet_affords(world: World) -> None:
    caller, model = world.caller(funds="0.01"), world.offer(SINGLE)

    error = assert_error(caller.ask(model, max_tokens=16_000), 429, "insufficient_quota", "insufficient_quota")
    affordable = int(re.findall(r"(\d+) (?:output )?tokens", error["message"])[0])

    assert 1_000 <= affordable < 1_250
    assert caller.ask(model, max_tokens=affordable).status_code == 200


def test_empty_wallet_is_refused(world: World) -> None:
    caller, model = world.caller(funds="0"), world.offer(SINGLE)

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_error(response, 429, "insufficient_quota", "insufficient_quota")
    assert_final(response)


def test_request_without_a_cap_gets_the_cap_that_the_wallet_affords(world: World) -> None:
    caller, model = world.caller(funds="0.02"), world.offer(SINGLE)

    response = caller.ask(model)

    assert response.status_code == 200
    (request,) = world.upstream.received(model.upstream)
    cap = request.json.get("max_tokens") or request.json["max_completion_tokens"]
    assert 1_000 <= cap <= 20_000_000 // 8_000


def test_wallet_is_spent_to_the_last_unit_and_not_further(each_world: World) -> None:
    caller, model = each_world.caller(funds="0.15"), each_world.offer(FLAT)

    statuses = [caller.ask(model).status_code for _count in range(5)]

    assert statuses == [200, 200, 200, 429, 429]
    assert caller.available == 0
    assert [record.cost for record in caller.records] == [DOLLAR // 20] * 3


def test_failed_request_gives_the_whole_hold_back_at_once(each_world: World) -> None:
    caller, model = each_world.caller(funds="0.05"), each_world.offer(FLAT)
    each_world.upstream.on(model.upstream, BROKEN["503 loading"], up.answer())

    statuses = [caller.ask(model).status_code for _count in range(3)]

    assert statuses == [502, 200, 429]


def test_money_in_flight_cannot_be_spent_again(each_world: World) -> None:
    caller, model = each_world.caller(funds="0.05"), each_world.offer(FLAT)
    gate = threading.Event()
    each_world.upstream.on(model.upstream, up.Reply((up.Until(gate), *up.answer().steps)))

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.ask, model)
        each_world.upstream.wait_for(model.upstream)
        second = caller.ask(model)
        gate.set()
        answered = first.result()

    error = assert_error(second, 429, "rate_limit_error", "funds_in_flight", param=None)
    assert_retriable(second, at_most=5)
    assert "0 USD are available" in error["message"]
    assert "in flight hold 0.05 USD" in error["message"]
    assert answered.status_code == 200
    assert caller.only_record().cost == DOLLAR // 20


def test_hold_waits_a_moment_for_money_that_comes_back(each_world: World) -> None:
    caller, model = each_world.caller(funds="0.05"), each_world.offer(SINGLE)
    each_world.upstream.on(model.upstream, up.Reply((up.Pause(0.15), *up.answer().steps)), up.answer())

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.ask, model, max_tokens=4_000)
        each_world.upstream.wait_for(model.upstream)
        second = caller.ask(model, max_tokens=4_000)

    assert (first.result().status_code, second.status_code) == (200, 200)


def test_request_that_would_not_fit_with_what_is_in_flight_is_final(each_world: World) -> None:
    caller, model, gate = each_world.caller(funds="0.05"), each_world.offer(SINGLE), threading.Event()
    each_world.upstream.on(model.upstream, up.Reply((up.Until(gate), *up.answer().steps)))

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.ask, model, max_tokens=4_000)
        each_world.upstream.wait_for(model.upstream)
        started = time.monotonic()
        second = caller.ask(model, max_tokens=16_000)
        took = time.monotonic() - started
        gate.set()
        first.result()

    assert_error(second, 429, "insufficient_quota", "insufficient_quota")
    assert_final(second)
    assert took < 0.15


def test_request_without_a_cap_takes_what_money_in_flight_leaves(world: World) -> None:
    caller, model, gate = world.caller(funds="0.05"), world.offer(SINGLE), threading.Event()
    world.upstream.on(model.upstream, up.Reply((up.Until(gate), *up.answer().steps)), up.answer())

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.ask, model, max_tokens=4_000)
        world.upstream.wait_for(model.upstream)
        second = caller.ask(model)
        gate.set()
        first.result()

    assert second.status_code == 200
    cap = world.upstream.received(model.upstream)[1].json
    assert (cap.get("max_tokens") or cap["max_completion_tokens"]) < 4_096


def test_forty_parallel_requests_spend_exactly_what_there_is(each_world: World) -> None:
    caller, model = each_world.caller(funds="0.50"), each_world.offer(FLAT)

    with ThreadPoolExecutor(40) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _i: caller.ask(model), range(40))]

    assert sorted(statuses) == [200] * 10 + [429] * 30
    caller.wait_until_settled()
    assert caller.available == 0


@pytest.mark.parametrize(
    "members", [{"n": 128, "max_tokens": 16_000}, {"max_tokens": 16_000, "max_completion_tokens": 16_384}]
)
def test_no_parameter_makes_a_request_cheaper_than_it_can_become(world: World, members: dict[str, Any]) -> None:
    caller, model = world.caller(funds="0.10"), world.offer(SINGLE)

    with caller.nothing_changes():
        response = caller.ask(model, **members)

    assert_error(response, 429, "insufficient_quota", "insufficient_quota")


def test_prices_beyond_64_bits_are_refused_and_never_wrap(world: World, caller: Caller) -> None:
    model = world.offer(Shape(price=Tariff(input=2**62, output=2**62, cached_input=None)))

    with caller.nothing_changes():
        response = caller.ask(model, max_tokens=16_000, n=128)

    assert 400 <= response.status_code < 500


def test_dollar_price_does_not_serve_a_wallet_in_dong(world: World, model: Offer) -> None:
    caller = world.caller(funds="100000", currency="VND")

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_error(response, 404, "invalid_request_error", "model_not_found")


# --- requests, tokens, concurrency -----------------------------------------------------------------------------------

OWNERS = ["key", "tenant"]


def limited(world: World, owner: str, **limits: int) -> Caller:
    return world.caller(**limits) if owner == "key" else world.caller(tenant=limits)


def assert_limited(response: httpx.Response) -> None:
    assert_error(response, 429, "rate_limit_error", "rate_limit_exceeded", param=None)
    assert_retriable(response)


@pytest.mark.parametrize("owner", OWNERS)
def test_requests_per_minute(each_world: World, owner: str) -> None:
    caller, model = limited(each_world, owner, requests_per_minute=3), each_world.offer(SINGLE)

    answers = [caller.ask(model) for _count in range(3)]
    caller.wait_until_settled()
    with caller.nothing_changes():
        refused = caller.ask(model)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert [answer.headers["x-ratelimit-limit-requests"] for answer in answers] == ["3"] * 3
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0"]
    assert re.fullmatch(r"(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?", answers[0].headers["x-ratelimit-reset-requests"])
    assert_limited(refused)


def test_refused_stream_is_a_json_429(world: World, model: Offer) -> None:
    caller = world.caller(requests_per_minute=1)
    caller.ask(model)
    caller.only_record()

    with caller.nothing_changes():
        response = caller.ask(model, stream=True)

    assert_limited(response)


@pytest.mark.parametrize("owner", OWNERS)
def test_tokens_per_minute(world: World, model: Offer, owner: str) -> None:
    caller = limited(world, owner, tokens_per_minute=3_000)

    first = caller.ask(model, max_tokens=100)
    caller.only_record()
    with caller.nothing_changes():
        refused = caller.ask(model, max_tokens=16_000)

    assert first.status_code == 200
    assert first.headers["x-ratelimit-limit-tokens"] == "3000"
    assert 0 <= int(first.headers["x-ratelimit-remaining-tokens"]) < 3_000
    assert_limited(refused)


@pytest.mark.parametrize("owner", OWNERS)
def test_concurrency(each_world: World, owner: str) -> None:
    caller, model = limited(each_world, owner, concurrency=1), each_world.offer(SINGLE)
    gate = threading.Event()
    each_world.upstream.on(model.upstream, up.Reply((up.Until(gate), *up.answer().steps)))

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.ask, model)
        each_world.upstream.wait_for(model.upstream)
        second = caller.ask(model)
        gate.set()
        answered = first.result()
    third = caller.ask(model)

    assert_limited(second)
    assert [answered.status_code, third.status_code] == [200, 200]


def test_concurrency_is_given_back_by_a_client_that_left(world: World, model: Offer) -> None:
    caller = world.caller(concurrency=1)
    world.upstream.on(model.upstream, up.stream(up.event(up.ROLE), up.HANG), up.answer())

    with caller.listening(model) as response:
        next(response.iter_raw())
    caller.only_record()

    assert caller.ask(model).status_code == 200


def test_concurrency_is_given_back_by_a_refused_request(world: World) -> None:
    caller, model = world.caller(concurrency=1, funds="0"), world.offer(SINGLE)

    codes = [caller.ask(model).json()["error"]["code"] for _count in range(3)]

    assert codes == ["insufficient_quota"] * 3


def test_many_keys_do_not_lift_the_tenants_limit(world: World, model: Offer) -> None:
    caller = world.caller(tenant={"requests_per_minute": 2})
    with world.installation.database():
        secrets = [keys.issue(tenant=caller.holder.tenant, name="more").secret for _count in range(4)]

    statuses = [caller.ask(model, headers={"authorization": f"Bearer {secret}"}).status_code for secret in secrets]

    assert statuses == [200, 200, 429, 429]


def test_one_tenants_limit_is_not_anothers(world: World, model: Offer) -> None:
    spent, free = world.caller(requests_per_minute=1), world.caller(requests_per_minute=1)
    spent.ask(model)
    spent.ask(model)

    assert free.ask(model).status_code == 200


def test_refusals_are_quick(world: World, model: Offer) -> None:
    caller = world.caller(requests_per_minute=1)
    caller.ask(model)

    started = time.monotonic()
    for _count in range(50):
        caller.ask(model)

    assert (time.monotonic() - started) / 50 < 0.1


def test_invalid_requests_are_refused_as_invalid_however_many(world: World, model: Offer) -> None:
    caller = world.caller(concurrency=1)

    statuses = {caller.ask(model, temperature=9).status_code for _count in range(10)}

    assert statuses == {400}


def test_limit_of_a_channel_sends_the_overflow_to_the_next_one(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(Via(concurrency=1), DEAR)))
    gate = threading.Event()
    world.upstream.on(model.upstreams[0], up.Reply((up.Until(gate), *up.answer().steps)))

    with ThreadPoolExecutor() as pool:
        first = pool.submit(caller.ask, model)
        world.upstream.wait_for(model.upstreams[0])
        second = caller.ask(model)
        gate.set()
        channels = [first.result().headers["x-costrouter-channel"], second.headers["x-costrouter-channel"]]

    assert channels == list(model.channels)
