"""Breakers, rests, the retry budget, and what is learned: with the time given by the test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from routing.selection.health import (
    CACHE_MEMORY_SECONDS,
    FAILURES_IN_A_ROW,
    OPEN_MOST,
    OPEN_SECONDS,
    REST_DEFAULT,
    REST_MOST,
    WINDOW_LEAST,
    Health,
    RetryBudget,
    RouteHealth,
)

NOW = 1000.0


def failing(times: int, at: float = NOW) -> RouteHealth:
    state = RouteHealth()
    for _ in range(times):
        state.failed(at)
    return state


# --- the breaker -----------------------------------------------------------------------------------------------------


def test_breaker_opens_with_the_fifth_failure_in_a_row() -> None:
    assert failing(4).reason_out(NOW) is None
    assert failing(5).reason_out(NOW) == "breaker_open"


def test_success_in_between_keeps_the_breaker_closed() -> None:
    state = failing(FAILURES_IN_A_ROW - 1)
    state.succeeded(NOW, 0.1)
    state.failed(NOW)
    assert state.reason_out(NOW) is None


def test_one_failure_of_a_route_that_does_well_opens_nothing() -> None:
    state = RouteHealth()
    state.started(NOW)
    state.failed(NOW)
    assert state.reason_out(NOW) is None


def test_breaker_opens_when_half_of_many_answers_fail() -> None:
    state = RouteHealth()
    for _ in range(WINDOW_LEAST // 2 - 1):
        state.succeeded(NOW, 0.1)
        state.failed(NOW)
    state.succeeded(NOW, 0.1)
    assert state.reason_out(NOW) is None
    state.failed(NOW)
    assert state.reason_out(NOW) == "breaker_open"


def test_failures_of_long_ago_do_not_count() -> None:
    state = RouteHealth()
    for second in range(2 * WINDOW_LEAST):
        state.succeeded(NOW + 10 * second, 0.1)
        state.failed(NOW + 10 * second)
    assert state.reason_out(NOW + 20 * WINDOW_LEAST) is None


def test_half_open_breaker_lets_one_probe_through() -> None:
    state = failing(FAILURES_IN_A_ROW)
    later = NOW + OPEN_SECONDS
    assert (state.reason_out(later - 0.1), state.reason_out(later)) == ("breaker_open", None)
    state.started(later)
    assert state.reason_out(later) == "breaker_open"


def test_probe_that_succeeds_closes_the_breaker() -> None:
    state = failing(FAILURES_IN_A_ROW)
    state.started(NOW + OPEN_SECONDS)
    state.succeeded(NOW + OPEN_SECONDS, 0.1)
    assert (state.reason_out(NOW + OPEN_SECONDS), state.opened) == (None, 0)


def test_probe_that_fails_opens_the_breaker_for_twice_as_long() -> None:
    state = failing(FAILURES_IN_A_ROW)
    probed = NOW + OPEN_SECONDS
    state.started(probed)
    state.failed(probed)
    assert state.reason_out(probed + 2 * OPEN_SECONDS - 0.1) == "breaker_open"
    assert state.reason_out(probed + 2 * OPEN_SECONDS) is None


@pytest.mark.parametrize(
    "end", [RouteHealth.ended_without_verdict, lambda state: state.rest(NOW, 0)], ids=["gone", "429"]
)
def test_probe_that_says_nothing_leaves_the_next_request_to_probe(end: Callable[[RouteHealth], None]) -> None:
    state = failing(FAILURES_IN_A_ROW)
    probed = NOW + OPEN_SECONDS
    state.started(probed)
    end(state)
    assert (state.reason_out(probed), state.opened) == (None, 1)


def test_failures_of_requests_that_were_under_way_do_not_prolong_an_open_breaker() -> None:
    state = failing(50)
    assert (state.opened, state.open_until) == (1, NOW + OPEN_SECONDS)


def test_breaker_never_stays_open_longer_than_the_most() -> None:
    state = failing(FAILURES_IN_A_ROW)
    for _ in range(30):
        state.started(state.open_until)
        state.failed(state.open_until)
    before = state.open_until
    state.started(before)
    state.failed(before)
    assert state.open_until == before + OPEN_MOST


# --- rests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "seconds"), [(7.0, 7.0), (None, REST_DEFAULT), (3600.0, REST_MOST), (0.0, 0.0)])
def test_route_rests_for_as_long_as_the_upstream_said(said: float | None, seconds: float) -> None:
    state = RouteHealth()
    state.rest(NOW, said)
    assert state.available_at() == NOW + seconds
    assert state.reason_out(NOW + seconds) is None
    assert state.reason_out(NOW + seconds - 0.01) == "resting"


def test_route_is_out_of_trouble_the_moment_its_rest_is_over() -> None:
    health = Health(0.1)
    health.routes[1].rest(NOW, 5)
    health.note_trouble(1)
    assert health.troubled({1}, NOW + 4.9) == [1]
    assert health.troubled({1}, NOW + 5) == []


def test_resting_channel_and_busy_channel_keep_every_route_out() -> None:
    health = Health(0.1)
    assert health.reason_out(1, 5, 2, NOW) is None
    health.channels[5].in_flight = 2
    assert health.reason_out(1, 5, 2, NOW) == "channel_busy"
    assert health.reason_out(1, 5, None, NOW) is None
    health.channels[5].resting_until = NOW + 1
    assert (health.reason_out(1, 5, None, NOW), health.reason_out(1, 6, None, NOW)) == ("resting", None)


# --- the retry budget ------------------------------------------------------------------------------------------------


def taken(budget: RetryBudget, times: int, now: float = NOW) -> int:
    return sum(budget.take(now) for _ in range(times))


def test_a_few_retries_are_always_allowed() -> None:
    assert taken(RetryBudget(0.1), 100) == 10


def test_more_requests_allow_more_retries() -> None:
    budget = RetryBudget(0.1)
    for _ in range(1000):
        budget.note_request(NOW)
    assert taken(budget, 1000) == 100


def test_retries_come_back_after_ten_seconds() -> None:
    budget = RetryBudget(0.1)
    assert (taken(budget, 20), taken(budget, 20, NOW + 9.9), taken(budget, 20, NOW + 10.1)) == (10, 0, 10)


# --- what is learned -------------------------------------------------------------------------------------------------


def test_speed_and_success_are_learned_from_the_first_answer_on() -> None:
    state = RouteHealth()
    state.succeeded(NOW, 2.0)
    assert (state.latency, state.success_rate) == (2.0, 1.0)
    state.failed(NOW)
    state.succeeded(NOW, 1.0)
    assert (round(state.latency, 3), round(state.success_rate, 3)) == (1.9, 0.91)


def test_route_that_served_a_conversation_is_expected_to_have_it_cached() -> None:
    health = Health(0.1)
    health.note_served(77, 1, NOW, 0.0)
    health.note_served(77, 1, NOW, 0.9)
    assert round(health.cached_share(77, 1, NOW), 3) == 0.27
    health.note_served(77, 1, NOW, 0.9)
    assert round(health.cached_share(77, 1, NOW), 3) == 0.459  # three tenths of the way that is left
    assert health.cached_share(77, 1, NOW + CACHE_MEMORY_SECONDS) > 0
    assert health.cached_share(77, 1, NOW + CACHE_MEMORY_SECONDS + 1) == 0
    assert (health.cached_share(77, 2, NOW), health.cached_share(78, 1, NOW)) == (0, 0)


def test_conversation_that_moved_is_cached_only_where_it_was_served_last() -> None:
    health = Health(0.1)
    for route in (1, 1, 2):
        health.note_served(77, route, NOW, 0.9)
    assert health.cached_share(77, 1, NOW) == 0
