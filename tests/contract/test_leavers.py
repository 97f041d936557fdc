"""Clients that leave: what stops, what is read on, and what they owe."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from tests import upstream as up
from tests.callers import PATH, Caller
from tests.faults import ENDLESS, SPOKEN, TEXT
from tests.installation import CHEAP, COST, DEAR, HASTY, SINGLE, Offer, Shape, Via
from tests.worlds import World

pytestmark = pytest.mark.usefixtures("retry_budget")


def test_client_that_leaves_a_stream_cancels_the_upstream_within_a_second(
    each_world: World, each_caller: Caller
) -> None:
    model = each_world.offer(Shape())
    each_caller.upstream.on(model.upstream, ENDLESS)

    with each_caller.listening(model) as response:
        seen = b""
        for part in response.iter_raw():
            seen += part
            if seen.count(b" x") > 5:
                break

    (request,) = each_caller.upstream.received(model.upstream)
    assert request.was_left_within(1)
    record = each_caller.only_record()
    assert (record.outcome, record.usage_source) == ("client_gone", "estimated")
    assert record.output_tokens >= 5
    assert record.cost == record.input_tokens * 2_000 + record.output_tokens * 8_000


def test_client_that_leaves_a_silent_stream_cancels_the_upstream_within_a_second(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.stream(*SPOKEN, up.HANG))

    with caller.listening(model) as response:
        next(response.iter_raw())

    (request,) = caller.upstream.received(model.upstream)
    assert request.was_left_within(1)
    assert caller.only_record().outcome == "client_gone"


def leave_after(caller: Caller, model: Offer, seconds: float, *, is_stream: bool) -> None:
    """Asks, and hangs up before an answer."""
    url = f"{caller.installation.gateway_url}{PATH}"
    body = caller.body(model, stream=is_stream)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=body, headers=caller.authorization, timeout=seconds)


def test_client_that_leaves_a_stream_before_the_first_byte_owes_its_prompt(caller: Caller, model: Offer) -> None:
    """The upstream has read it; otherwise long prompts could be had for nothing by leaving in time."""
    caller.upstream.on(model.upstream, up.Reply((up.Pause(2), *up.told().steps)))
    before = caller.available

    leave_after(caller, model, 0.4, is_stream=True)

    (request,) = caller.upstream.received(model.upstream)
    assert request.was_left_within(1)
    record = caller.only_record()
    assert (record.outcome, record.output_tokens, record.usage_source) == ("client_gone", 0, "estimated")
    assert record.cost == record.input_tokens * 2_000 > 0
    assert caller.available == before - record.cost


def test_client_that_leaves_while_another_route_is_sought_owes_nothing_for_the_one_that_failed(
    world: World, caller: Caller
) -> None:
    """The second route cannot be connected to: its prompt was never sent."""
    with up.silent_port() as port:
        model = world.offer(Shape(vias=(CHEAP, Via(cost=DEAR.cost, url=f"http://127.0.0.1:{port}/v1"))))
        caller.upstream.on(model.upstream, up.plain(500, {"error": {"message": "down"}}))
        leave_after(caller, model, 0.6, is_stream=True)
        record = caller.only_record()

    assert (record.outcome, record.cost, record.usage_source) == ("client_gone", 0, "none")


def test_json_answer_that_nobody_waits_for_is_read_to_its_end_and_billed(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.Reply((up.Pause(1), *up.answer().steps)))

    leave_after(caller, model, 0.3, is_stream=False)

    (request,) = caller.upstream.received(model.upstream)
    assert request.done.wait(3)
    assert not request.gone.is_set()
    record = caller.only_record()
    assert (record.outcome, record.usage_source, record.cost) == ("client_gone", "upstream", COST)


def test_slow_whole_answer_that_its_client_waits_for_is_a_success(caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.Reply((up.Pause(0.4), *up.answer().steps)))
    assert caller.ask(model).status_code == 200
    assert caller.only_record().outcome == "success"


def test_client_that_leaves_a_stream_that_would_fail_over_starts_no_other_attempt(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(HASTY, DEAR)))
    caller.upstream.on(model.upstreams[0], up.Reply((up.HANG,)))

    leave_after(caller, model, 0.2, is_stream=True)

    assert caller.only_record().outcome == "client_gone"
    time.sleep(0.5)
    assert caller.upstream.received(model.upstreams[1]) == []


def slow_failure(seconds: float) -> up.Reply:
    return up.Reply((up.Pause(seconds), *up.plain(500, {"error": {"message": "down"}}).steps))


def test_whole_answer_that_nobody_waits_for_is_not_asked_for_elsewhere(caller: Caller, double: Offer) -> None:
    """The route that was asked has failed: another would be paid for by somebody who has left."""
    caller.upstream.on(double.upstreams[0], slow_failure(0.8))

    leave_after(caller, double, 0.3, is_stream=False)

    record = caller.only_record()
    assert (record.outcome, record.cost, len(record.attempts)) == ("client_gone", 0, 1)
    time.sleep(0.3)
    assert caller.upstream.received(double.upstreams[1]) == []


def test_whole_answer_that_its_client_waits_for_is_asked_for_elsewhere_however_late(
    caller: Caller, double: Offer
) -> None:
    caller.upstream.on(double.upstreams[0], slow_failure(0.5))
    assert caller.ask(double).status_code == 200
    record = caller.only_record()
    assert (record.outcome, len(record.attempts)) == ("success", 2)


def test_draining_channel_is_read_to_its_end_for_the_exact_usage(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(Via(disconnect_policy="drain"),)))
    caller.upstream.on(model.upstream, up.told(TEXT, pause=0.15))

    with caller.listening(model) as response:
        next(response.iter_raw())

    (request,) = caller.upstream.received(model.upstream)
    assert request.done.wait(5)
    record = caller.only_record()
    assert (record.outcome, record.usage_source, record.cost) == ("client_gone", "upstream", COST)


def test_client_that_leaves_after_done_is_a_success(caller: Caller, model: Offer) -> None:
    with caller.listening(model) as response:
        seen = b""
        parts = response.iter_raw()
        while b"[DONE]" not in seen:
            seen += next(parts)

    record = caller.only_record()
    assert (record.outcome, record.cost) == ("success", COST)


def test_a_hundred_leavers_leave_nothing_behind(world: World) -> None:
    caller, model = world.caller(), world.offer(SINGLE)
    world.upstream.on(model.upstream, ENDLESS)

    def leave() -> None:
        with caller.listening(model, max_tokens=100) as response:
            next(response.iter_raw())

    threads = [threading.Thread(target=leave) for _count in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    caller.wait_until_settled(seconds=5)
    assert {record.outcome for record in caller.records} == {"client_gone"}
    assert len(caller.records) == 100
    assert all(request.was_left_within(1) for request in world.upstream.received(model.upstream))
