"""What the way of a request tells the books: names, moments, and amounts within the bounds of their columns."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from accounts.errors import GatewayError
from billing.books import HELD, Hold, HoldOutcome, Progress, Refused, Repeated, Settlement
from billing.reservations import (
    FundsInFlight,
    InsufficientQuota,
    KeyStands,
    PaymentRequired,
    QuotaExceeded,
    Reservations,
    new_id,
    timestamp,
)

MOST = 2**62


class Journal:
    """Answers every hold alike, and remembers what it was told."""

    def __init__(self, answer: HoldOutcome = HELD) -> None:
        self.answer = answer
        self.held: list[Hold] = []
        self.settled: list[Settlement] = []
        self.released: list[str] = []

    def hold(self, hold: Hold) -> asyncio.Future[HoldOutcome]:
        self.held.append(hold)
        answer: asyncio.Future[HoldOutcome] = asyncio.get_running_loop().create_future()
        answer.set_result(self.answer)
        return answer

    def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)

    def release(self, id_: str) -> None:
        self.released.append(id_)

    def keep(self, progress: Progress) -> None: ...
    def note(self, progress: Progress) -> None: ...


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (InsufficientQuota("", available=0), (429, "insufficient_quota", "insufficient_quota", False, None)),
        (PaymentRequired("", available=0), (402, "insufficient_quota", "insufficient_quota", False, None)),
        (QuotaExceeded("", available=0), (429, "insufficient_quota", "quota_exceeded", False, None)),
        (FundsInFlight(""), (429, "rate_limit_error", "funds_in_flight", True, 1)),
    ],
    ids=["balance", "wallet", "quota", "in flight"],
)
def test_refusals_of_money_say_whether_it_may_come_back(refusal: GatewayError, said: tuple[object, ...]) -> None:
    assert (refusal.status, refusal.type, refusal.code, refusal.retriable, refusal.retry_after) == said


def hold(amount: int) -> Hold:
    return Hold("0" * 32, (1,), 1, amount, 1, "chat.completions", "m", 1, False, timestamp(0))


def held(journal: Journal, amount: int = 5) -> None:
    asyncio.run(Reservations(journal).hold(hold(amount)))


def settled(claimed_cost: int, provider_cost: int | None) -> tuple[int, int | None]:
    """What the journal is told of these costs."""
    journal = Journal()
    Reservations(journal).settle(
        Settlement(
            id="0" * 32, legs=(1,), held=5, tenant_id=1, requested_model="m", model="m", price_id=1, currency="USD",
            claimed_cost=claimed_cost, provider_cost=provider_cost, attempts=[], decision={}, duration_ms=1,
        )
    )  # fmt: skip
    (told,) = journal.settled
    return told.claimed_cost, told.provider_cost


def test_ids_are_uuids_of_version_7_and_rise_with_time() -> None:
    before = time.time_ns() // 1_000_000
    ids = [uuid.UUID(new_id()) for _number in range(200)]
    after = time.time_ns() // 1_000_000
    assert {(each.version, each.variant) for each in ids} == {(7, uuid.RFC_4122)}
    assert before <= ids[0].int >> 80 <= ids[-1].int >> 80 <= after
    assert len({each.int & (1 << 62) - 1 for each in ids}) == 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01 00:00:00.000000"),
        (1_767_225_599.25, "2025-12-31 23:59:59.250000"),
        (1_767_225_599.999999, "2025-12-31 23:59:59.999999"),
        (1_767_225_600.000123, "2026-01-01 00:00:00.000123"),
    ],
)
def test_moment_is_written_to_the_microsecond(seconds: float, text: str) -> None:
    assert timestamp(seconds) == text


def test_most_that_a_column_adds_up_is_held_and_no_more() -> None:
    journal = Journal()
    held(journal, MOST)
    with pytest.raises(InsufficientQuota):
        held(journal, MOST + 1)
    assert [each.amount for each in journal.held] == [MOST]


def test_refusal_says_what_is_left_and_what_may_come_back() -> None:
    with pytest.raises(InsufficientQuota) as refusal:
        held(Journal(Refused(7, 3, 2)))
    assert (refusal.value.balance, refusal.value.available, refusal.value.tied_up) == (7, 3, 2)


def test_repetition_of_the_hold_itself_is_held_and_of_another_is_not() -> None:
    held(Journal(Repeated("0" * 32)))
    with pytest.raises(KeyStands):
        held(Journal(Repeated("1" * 32)))


@pytest.mark.parametrize(
    ("costs", "told"),
    [
        ((MOST, MOST), (MOST, MOST)),
        ((MOST + 1, 5), (MOST, 5)),
        ((5, MOST + 1), (5, MOST)),
        ((MOST + 1, None), (MOST, None)),
    ],
)
def test_costs_are_cut_to_what_their_columns_hold(costs: tuple[int, int | None], told: tuple[int, int | None]) -> None:
    assert settled(*costs) == told
