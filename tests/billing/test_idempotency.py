"""Idempotency keys in the books, the same cases on PostgreSQL and on SQLite: one key, one hold."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import secrets
import threading
from typing import Any

import pytest
from django.utils import timezone

from billing import idempotency
from billing.books import HELD, Books, Hold, HoldOutcome, Idempotency, Refused, Repeated
from billing.models import IdempotencyKey
from tests.bookkeeping import Account, account, assert_books_add_up, race

OWNER = secrets.token_hex(16)
FREE = ["upstream_error", "timeout", "refused", "client_gone", "internal_error"]
"""Outcomes that free the key where they cost nothing."""
_keys = itertools.count(1)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def key(body: str = "body") -> Idempotency:
    """A new key, used with this body."""
    return Idempotency(digest(f"key {next(_keys)}"), digest(body))


def one(books: Books, hold: Hold) -> HoldOutcome:
    """Posts one hold alone."""
    (outcome,), _settled = books.post([hold], [], OWNER)
    return outcome


def rows(of: Idempotency) -> list[IdempotencyKey]:
    return list(IdempotencyKey.objects.filter(value=of.value))


def test_key_is_written_down_with_its_hold(books: Books, rich: Account) -> None:
    wanted = rich.hold(300, idempotency=key("hello"), api_key_id=7)

    assert one(books, wanted) == HELD

    assert wanted.idempotency is not None
    (row,) = rows(wanted.idempotency)
    assert (row.api_key_id, row.body, row.request_id.hex) == (7, digest("hello"), wanted.id)
    assert abs(row.created_at - timezone.now()) < dt.timedelta(minutes=1)
    assert (rich.available, rich.reservations) == (700, {wanted.id})
    assert_books_add_up()


def test_hold_without_a_key_writes_none_down(books: Books, rich: Account) -> None:
    before = IdempotencyKey.objects.count()
    one(books, rich.hold(300))
    assert IdempotencyKey.objects.count() == before


def test_repetition_of_a_request_in_flight_takes_nothing(books: Books, rich: Account) -> None:
    same = key()
    first = rich.hold(300, idempotency=same)
    one(books, first)

    assert one(books, rich.hold(300, idempotency=same)) == Repeated(first.id, is_in_flight=True)
    assert (rich.available, rich.reservations) == (700, {first.id})


def test_repetition_of_a_settled_request_takes_nothing(books: Books, rich: Account) -> None:
    same = key()
    first = rich.hold(300, idempotency=same)
    one(books, first)
    books.post([], [rich.settlement(first.id, 120)], OWNER)

    assert one(books, rich.hold(300, idempotency=same)) == Repeated(first.id, is_in_flight=False)
    assert (rich.available, len(rich.records)) == (880, 1)
    assert_books_add_up()


@pytest.mark.parametrize("is_settled", [False, True], ids=["in flight", "settled"])
def test_other_body_is_told_apart(books: Books, rich: Account, is_settled: bool) -> None:
    same = key("one")
    first = rich.hold(300, idempotency=same)
    books.post([first], [], OWNER)
    books.post([], [rich.settlement(first.id, 1)] if is_settled else [], OWNER)

    outcome = one(books, rich.hold(300, idempotency=Idempotency(same.value, digest("another"))))

    assert outcome == Repeated(first.id, is_in_flight=not is_settled, is_same=False)


def test_key_comes_before_money_that_the_first_request_has_spent(books: Books, rich: Account) -> None:
    same = key()
    first = rich.hold(1000, idempotency=same)
    one(books, first)
    in_flight = one(books, rich.hold(1000, idempotency=same))
    books.post([], [rich.settlement(first.id, 1000)], OWNER)

    assert in_flight == Repeated(first.id)
    assert one(books, rich.hold(1000, idempotency=same)) == Repeated(first.id, is_in_flight=False)


def test_refused_hold_leaves_its_key_free(books: Books, rich: Account) -> None:
    same = key()

    refused = one(books, rich.hold(1001, idempotency=same))

    assert (refused, rows(same)) == (Refused(rich.wallet.pk, 1000), [])
    assert one(books, rich.hold(1000, idempotency=same)) == HELD


def test_released_hold_leaves_its_key_free(books: Books, rich: Account) -> None:
    same = key()
    first = rich.hold(300, idempotency=same)
    one(books, first)
    books.release(first.id)

    again = rich.hold(300, idempotency=Idempotency(same.value, digest("another body")))

    assert one(books, again) == HELD
    assert [row.request_id.hex for row in rows(same)] == [again.id]
    assert_books_add_up()


@pytest.mark.parametrize("outcome", FREE)
def test_request_that_failed_for_nothing_leaves_its_key_free(books: Books, rich: Account, outcome: str) -> None:
    same = key()
    first, again = rich.hold(300, idempotency=same), rich.hold(300, idempotency=same)
    one(books, first)
    books.post([], [rich.settlement(first.id, 0, outcome=outcome)], OWNER)

    assert one(books, again) == HELD
    assert [row.request_id.hex for row in rows(same)] == [again.id]


@pytest.mark.parametrize(
    ("outcome", "cost"),
    [("success", 0), ("recovered", 0), *((outcome, 1) for outcome in ["success", "recovered", *FREE])],
)
def test_request_that_was_answered_paid_or_recovered_keeps_its_key(
    books: Books, rich: Account, outcome: str, cost: int
) -> None:
    same = key()
    first = rich.hold(300, idempotency=same)
    one(books, first)
    books.post([], [rich.settlement(first.id, cost, outcome=outcome)], OWNER)

    assert one(books, rich.hold(300, idempotency=same)) == Repeated(first.id, is_in_flight=False)


def test_settlement_of_the_same_commit_frees_the_key(books: Books, rich: Account) -> None:
    same = key()
    first, again = rich.hold(1000, idempotency=same), rich.hold(1000, idempotency=same)
    one(books, first)

    outcomes, settled = books.post([again], [rich.settlement(first.id, 0, outcome="timeout")], OWNER)

    assert (outcomes, settled) == ([HELD], {first.id})


def test_keys_of_two_api_keys_are_two(books: Books, rich: Account) -> None:
    same = key()
    holds = [rich.hold(300, idempotency=same, api_key_id=number) for number in (1, 2)]

    assert books.post(holds, [], OWNER)[0] == [HELD, HELD]


def age(of: Idempotency, **by: Any) -> None:
    IdempotencyKey.objects.filter(value=of.value).update(created_at=timezone.now() - dt.timedelta(**by))


def test_key_is_free_again_after_a_day(books: Books, rich: Account) -> None:
    same = key()
    first = rich.hold(300, idempotency=same)
    one(books, first)
    books.post([], [rich.settlement(first.id, 100)], OWNER)

    age(same, hours=23, minutes=59)
    within = one(books, rich.hold(300, idempotency=same))
    age(same, hours=24, minutes=1)

    assert within == Repeated(first.id, is_in_flight=False)
    assert one(books, rich.hold(300, idempotency=same)) == HELD


def test_request_in_flight_keeps_its_key_however_old(books: Books, rich: Account) -> None:
    same = key()
    first = rich.hold(300, idempotency=same)
    one(books, first)
    age(same, days=3)

    assert one(books, rich.hold(300, idempotency=same)) == Repeated(first.id)


# --- batches ---------------------------------------------------------------------------------------------------------


def test_of_one_key_twice_in_a_batch_the_first_is_held(books: Books, rich: Account) -> None:
    same = key("one")
    holds = [
        rich.hold(100, idempotency=same),
        rich.hold(100),
        rich.hold(100, idempotency=same),
        rich.hold(100, idempotency=Idempotency(same.value, digest("another"))),
        rich.hold(100, idempotency=key()),
    ]

    outcomes, _settled = books.post(holds, [], OWNER)

    first = holds[0].id
    assert outcomes == [HELD, HELD, Repeated(first), Repeated(first, is_same=False), HELD]
    assert rich.available == 700
    assert_books_add_up()


def test_keys_in_a_batch_whose_sum_does_not_fit(books: Books, rich: Account) -> None:
    same, large, used = key(), key(), key()
    earlier = rich.hold(100, idempotency=used)
    one(books, earlier)
    holds = [
        rich.hold(600, idempotency=same),
        rich.hold(600, idempotency=large),
        rich.hold(1, idempotency=same),
        rich.hold(1, idempotency=used),
        rich.hold(300),
    ]

    outcomes, _settled = books.post(holds, [], OWNER)

    refused = Refused(rich.wallet.pk, 300, 700)
    assert outcomes == [HELD, refused, Repeated(holds[0].id), Repeated(earlier.id), HELD]
    assert (rich.available, rows(large)) == (0, [])
    assert [row.request_id.hex for row in rows(same)] == [holds[0].id]
    assert_books_add_up()


def test_repetition_beside_a_settlement_beyond_its_hold(books: Books, rich: Account) -> None:
    same = key()
    first, other = rich.hold(100, idempotency=same), rich.hold(100)
    books.post([first, other], [], OWNER)

    outcomes, settled = books.post(
        [rich.hold(50, idempotency=same), rich.hold(50)], [rich.settlement(other.id, 150, held=100)], OWNER
    )

    assert (outcomes, settled) == ([Repeated(first.id), HELD], {other.id})
    assert rich.available == 1000 - 100 - 150 - 50
    assert_books_add_up()


# --- races -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("funds", [10**6, 100], ids=["money for all", "money for one"])
def test_fifty_at_once_with_one_key_are_held_once(database: str, funds: int) -> None:
    racing, same = account(funds), key()
    outcomes: list[HoldOutcome] = []
    start = threading.Barrier(50)

    def hold(mine: Books) -> None:
        start.wait()
        outcomes.extend(mine.post([racing.hold(100, idempotency=same)], [], OWNER)[0])

    race(hold, 50)

    (held,) = racing.reservations
    assert outcomes.count(HELD) == 1
    assert outcomes.count(Repeated(held)) == 49
    assert racing.available == funds - 100
    assert_books_add_up()


def test_key_that_is_freed_while_many_wait_for_it_is_taken_once_at_a_time(database: str) -> None:
    racing, same = account(10**6), key()
    held: list[str] = []
    in_flight: list[str] = []
    most_in_flight: list[int] = []

    def hold_and_free(mine: Books) -> None:
        for _round in range(10):
            hold = racing.hold(100, idempotency=same)
            if mine.post([hold], [], OWNER)[0] == [HELD]:
                held.append(hold.id)
                in_flight.append(hold.id)
                most_in_flight.append(len(in_flight))
                in_flight.remove(hold.id)
                mine.post([], [racing.settlement(hold.id, 0, outcome="upstream_error")], OWNER)

    race(hold_and_free, 4)

    assert len(held) > 1
    assert set(most_in_flight) == {1}
    assert {record.id.hex for record in racing.records} == set(held)
    assert racing.available == 10**6
    assert_books_add_up()


# --- forgetting ------------------------------------------------------------------------------------------------------


def test_keys_are_forgotten_in_batches_after_a_day(books: Books, rich: Account) -> None:
    while idempotency.forget_expired():
        pass
    old, fresh = [key() for _key in range(5)], key()
    for each in (*old, fresh):
        one(books, rich.hold(1, idempotency=each))
    for number, each in enumerate(old):
        age(each, hours=25, minutes=number)

    deleted = [idempotency.forget_expired(batch=2) for _run in range(4)]

    assert deleted == [2, 2, 1, 0]
    assert [len(rows(each)) for each in (*old, fresh)] == [0] * 5 + [1]
