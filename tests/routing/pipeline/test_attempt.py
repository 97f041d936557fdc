"""One try of one route: the place it takes, its record, and what its end says about the route's health."""

from __future__ import annotations

import asyncio
import time

import pytest

from routing.errors import ContentRefused, NoAvailableChannel, UpstreamError, UpstreamTimeout
from routing.pipeline.attempt import Attempt, AttemptFailed
from routing.pipeline.outcomes import OF_FAULT, OF_MEANING, Ending
from routing.providers.base import MalformedAnswer, Meaning, Refusal
from routing.selection.health import ChannelHealth, Health, RouteHealth
from routing.wire.answer import Fault, UpstreamFault
from tests.routing.pipeline.test_plan import route

ROUTE = route()
DAY = 86_400.0
"""Long beside what a test takes."""
IN_DAYS = range(86_400_000, 86_460_000)
"""Milliseconds: a day, and what a test takes."""


@pytest.fixture
def health() -> Health:
    return Health(0.1)


@pytest.fixture
def state(health: Health) -> RouteHealth:
    """Of the route."""
    return health.routes[ROUTE.id]


@pytest.fixture
def channel(health: Health) -> ChannelHealth:
    """Of the route's channel."""
    return health.channels[ROUTE.channel.id]


def begin(health: Health) -> Attempt:
    return Attempt(health, ROUTE, request_started=time.monotonic())


def begin_a_day_ago(health: Health) -> Attempt:
    attempt = begin(health)
    attempt._started -= DAY
    return attempt


def fail_by(attempt: Attempt, error: BaseException) -> None:
    with attempt:
        raise error


def test_place_is_given_back_once(health: Health, channel: ChannelHealth) -> None:
    first, _second = begin(health), begin(health)
    taken = channel.in_flight

    first.end()
    first.end()

    assert (taken, channel.in_flight) == (2, 1)


def test_block_that_ends_well_leaves_the_attempt_open(health: Health, channel: ChannelHealth) -> None:
    with begin(health) as attempt:
        pass
    assert (attempt.record.outcome, channel.in_flight) == (None, 1)


def test_request_that_goes_through_an_open_breaker_is_its_probe(health: Health, state: RouteHealth) -> None:
    state.opened = 1
    attempt = begin(health)
    was_probing = state.is_probing

    attempt.end()

    assert (was_probing, state.is_probing, state.opened) == (True, False, 1)


# --- the record ------------------------------------------------------------------------------------------------------


def test_record_tells_when_the_attempt_began() -> None:
    attempt = Attempt(Health(0.1), ROUTE, request_started=time.monotonic() - DAY)
    assert attempt.record.started_ms in IN_DAYS


def test_answer_is_recorded_with_its_status_and_duration(health: Health, state: RouteHealth) -> None:
    attempt = begin_a_day_ago(health)
    attempt.answered(200, first_byte=attempt._started + 2)
    attempt.end()

    record = attempt.record
    assert (record.outcome, record.status, record.detail) == ("answered", 200, "")
    assert record.duration_ms in IN_DAYS
    assert state.latency == pytest.approx(2)


def test_failure_is_recorded_with_its_status_duration_and_detail(health: Health) -> None:
    attempt = begin_a_day_ago(health)
    attempt.fail(OF_MEANING["retry"], "x" * 600, status=503)

    record = attempt.record
    assert (record.outcome, record.status, record.detail) == ("bad_status", 503, "x" * 500)
    assert record.duration_ms in IN_DAYS


def test_failure_without_an_answer_has_no_status(health: Health) -> None:
    attempt = begin(health)
    attempt.fail(OF_FAULT["connect_failed"], "refused")
    assert (attempt.record.outcome, attempt.record.status) == ("connect_failed", None)


def test_answer_that_breaks_off_keeps_its_status_and_duration(health: Health, state: RouteHealth) -> None:
    attempt = begin_a_day_ago(health)
    attempt.answered(200, first_byte=attempt._started + 2)
    attempt._started -= DAY
    attempt.fail(OF_FAULT["broken_stream"], "y" * 600)

    record = attempt.record
    assert (record.outcome, record.status, record.detail) == ("broken_stream", 200, "y" * 500)
    assert record.duration_ms in IN_DAYS
    assert state.failures_in_a_row == 1


def test_what_has_no_ending_was_cancelled(health: Health, state: RouteHealth, channel: ChannelHealth) -> None:
    attempt = begin_a_day_ago(health)
    with pytest.raises(asyncio.CancelledError):
        fail_by(attempt, asyncio.CancelledError())

    assert (attempt.record.outcome, attempt.record.status) == ("cancelled", None)
    assert attempt.record.duration_ms in IN_DAYS
    assert (state.failures_in_a_row, channel.in_flight) == (0, 0)


# --- what the upstream did -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "was_sent"),
    [
        ("connect_failed", UpstreamError, False),
        ("connect_timeout", UpstreamTimeout, False),
        ("idle_timeout", UpstreamTimeout, True),
        ("broken_stream", UpstreamError, True),
    ],
)
def test_fault_makes_room_for_another_route(
    health: Health, state: RouteHealth, channel: ChannelHealth, fault: Fault, error: type[Exception], was_sent: bool
) -> None:
    attempt = begin(health)
    with pytest.raises(AttemptFailed) as failed:
        fail_by(attempt, UpstreamFault(fault, "as it was"))

    assert (type(failed.value.error), failed.value.was_sent) == (error, was_sent)
    assert (attempt.record.outcome, attempt.record.status, attempt.record.detail) == (fault, None, "as it was")
    assert (state.failures_in_a_row, channel.in_flight) == (1, 0)


def test_malformed_answer_is_a_success_that_was_none(health: Health, state: RouteHealth) -> None:
    attempt = begin(health)
    with pytest.raises(AttemptFailed) as failed:
        fail_by(attempt, MalformedAnswer("no choices"))

    assert (type(failed.value.error), failed.value.was_sent) == (UpstreamError, True)
    assert (attempt.record.outcome, attempt.record.status) == ("invalid_response", 200)
    assert (attempt.record.detail, state.failures_in_a_row) == ("no choices", 1)


def test_refused_content_is_the_clients_and_says_nothing_about_the_route(health: Health, state: RouteHealth) -> None:
    attempt = begin(health)
    error = attempt.refuse(Refusal("content_refused", message="No."), 403)

    assert isinstance(error, ContentRefused)
    assert (error.upstream_status, attempt.record.outcome) == (403, "refused_content")
    assert (state.failures_in_a_row, state.resting_until) == (0, 0.0)


@pytest.mark.parametrize("retry_after", [7.0, 0.0])
def test_route_rests_for_as_long_as_it_asked(health: Health, state: RouteHealth, retry_after: float) -> None:
    now = time.monotonic()
    wait = begin(health).fail(OF_MEANING["rest"], "slow down", refusal=Refusal("rest", retry_after=retry_after))

    assert wait == pytest.approx(retry_after)
    assert state.resting_until >= now + retry_after


def test_rest_is_told_to_whoever_finds_no_other_route(health: Health) -> None:
    failed = begin(health).refuse(Refusal("rest", retry_after=7.0), 429)

    assert isinstance(failed, AttemptFailed)
    assert isinstance(failed.error, NoAvailableChannel)
    assert (failed.error.retry_after, failed.was_sent) == (7, True)


@pytest.mark.parametrize(("meaning", "seconds"), [("key_refused", 30), ("account_empty", 300)])
def test_channel_that_refuses_us_rests(
    health: Health, state: RouteHealth, channel: ChannelHealth, meaning: Meaning, seconds: int
) -> None:
    now = time.monotonic()
    failed = begin(health).refuse(Refusal(meaning), 401)

    assert isinstance(failed, AttemptFailed)
    assert now + seconds <= channel.resting_until <= time.monotonic() + seconds
    assert (state.failures_in_a_row, state.resting_until) == (0, 0.0)


# --- remarks ---------------------------------------------------------------------------------------------------------


def test_first_remark_stays_with_the_attempt(health: Health) -> None:
    attempt = begin(health)
    attempt.remark("z" * 600)
    attempt.remark("another")
    attempt.end()
    assert (attempt.record.outcome, attempt.record.detail) == (Ending.CANCELLED, "z" * 500)


def test_failure_goes_before_a_remark(health: Health) -> None:
    attempt = begin(health)
    attempt.remark("odd")
    attempt.fail(OF_FAULT["broken_stream"], "broke off")
    assert attempt.record.detail == "broke off"


def test_remark_is_logged_once_for_each_channel(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    begin(health).remark("odd")
    begin(health).remark("odd")
    begin(health).remark("odder")
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == ["odd", "odder"]


@pytest.mark.parametrize(("said", "logged"), [(99, 1), (100, 0)])
def test_remarks_of_a_channel_are_bounded(
    health: Health, channel: ChannelHealth, caplog: pytest.LogCaptureFixture, said: int, logged: int
) -> None:
    channel.remarks.update(map(str, range(said)))
    attempt = begin(health)
    attempt.remark("one more")
    assert (len(caplog.records), len(channel.remarks)) == (logged, 100)
    assert attempt.record.detail == "one more"
