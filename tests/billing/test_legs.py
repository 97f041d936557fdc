"""A hold on several balances takes from all of them or from none, and what it settles for from each the same."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Tenant
from billing import ledger
from billing.books import HELD, Books, Hold, HoldOutcome, Refused, open_books
from billing.kinds import Usage
from billing.models import Balance, LedgerEntry, UsageRecord
from tests.bookkeeping import Account, account, assert_books_add_up

OWNER = secrets.token_hex(16)


@pytest.fixture
def quota(database: str) -> Callable[[int], Balance]:
    """Makes a balance with so much available. It stands in for a quota's period: any balance can be a leg."""

    def make(available: int) -> Balance:
        row = Balance.objects.create(tenant=Tenant.objects.create(name="stands in"), currency="USD")
        if available:
            ledger.post(balance=row, kind=LedgerEntry.Kind.GRANT, amount=available, reference=secrets.token_hex(8))
        return row

    return make


def left(*rows: Balance) -> list[int]:
    return [Balance.objects.get(pk=row.pk).available for row in rows]


def on(rich: Account, quota: Balance) -> dict[str, Any]:
    """The fields of a hold or settlement on both."""
    return {"legs": tuple(sorted((rich.wallet.pk, quota.pk)))}


def test_hold_takes_the_amount_from_every_leg(books: Books, rich: Account, quota: Callable[[int], Balance]) -> None:
    month = quota(400)
    wanted = rich.hold(300, **on(rich, month))

    assert books.post([wanted], [], OWNER)[0] == [HELD]

    assert left(rich.wallet, month) == [700, 100]
    assert rich.reservations == {wanted.id}
    assert_books_add_up()


def test_leg_that_refuses_leaves_every_leg_as_it_was(
    books: Books, rich: Account, quota: Callable[[int], Balance]
) -> None:
    month = quota(299)

    outcomes, _settled = books.post([rich.hold(300, **on(rich, month))], [], OWNER)

    assert outcomes == [Refused(month.pk, 299, 0)]
    assert left(rich.wallet, month) == [1000, 299]
    assert rich.reservations == set()
    assert_books_add_up()


def test_refusal_says_what_open_reservations_hold_there(
    books: Books, rich: Account, quota: Callable[[int], Balance]
) -> None:
    month = quota(500)
    early = [rich.hold(300, **on(rich, month)), rich.hold(50)]
    books.post(early, [], OWNER)

    assert books.post([rich.hold(201, **on(rich, month))], [], OWNER)[0] == [Refused(month.pk, 200, 300)]
    assert books.post([rich.hold(651)], [], OWNER)[0] == [Refused(rich.wallet.pk, 650, 350)]


def test_holds_that_share_a_leg_are_tried_one_by_one_where_their_sum_does_not_fit(
    books: Books, rich: Account, other: Account, quota: Callable[[int], Balance]
) -> None:
    month = quota(500)
    wanted = [
        rich.hold(400, **on(rich, month)),
        other.hold(100),
        rich.hold(200, **on(rich, month)),
        rich.hold(600),
        rich.hold(100, **on(rich, month)),
    ]

    outcomes, _settled = books.post(wanted, [], OWNER)

    assert outcomes == [HELD, HELD, Refused(month.pk, 100, 400), HELD, Refused(rich.wallet.pk, 0, 1000)]
    assert left(rich.wallet, month, other.wallet) == [0, 100, 400]
    assert rich.reservations == {wanted[0].id, wanted[3].id}
    assert_books_add_up()


def test_settling_gives_back_to_every_leg(books: Books, rich: Account, quota: Callable[[int], Balance]) -> None:
    month = quota(400)
    held, beside = rich.hold(300, **on(rich, month)), rich.hold(100)
    books.post([held, beside], [], OWNER)

    settlements = [rich.settlement(held.id, 120, **on(rich, month)), rich.settlement(beside.id, 10)]
    assert books.post([], settlements, OWNER)[1] == {held.id, beside.id}

    assert left(rich.wallet, month) == [870, 280]
    assert {tuple(record.legs) for record in rich.records} == {held.legs, beside.legs}
    assert_books_add_up()


def test_releasing_gives_back_to_every_leg(books: Books, rich: Account, quota: Callable[[int], Balance]) -> None:
    month = quota(400)
    held = rich.hold(300, **on(rich, month))
    books.post([held], [], OWNER)

    books.release(held.id)

    assert (left(rich.wallet, month), rich.reservations) == ([1000, 400], set())
    assert_books_add_up()


# --- what a usage costs beyond its hold ------------------------------------------------------------------------------


@pytest.mark.parametrize("hint", [300, 10**6], ids=["hint that is right", "hint that thought more was held"])
@pytest.mark.parametrize(
    ("claimed", "cost"),
    [(299, 299), (300, 300), (301, 301), (999, 999), (1000, 1000), (1001, 1000), (10**15, 1000)],
)
def test_what_a_usage_costs_beyond_its_hold_is_taken_as_far_as_the_wallet_goes(
    books: Books, rich: Account, hint: int, claimed: int, cost: int
) -> None:
    held = rich.hold(300)
    books.post([held], [], OWNER)

    _outcomes, settled = books.post([], [rich.settlement(held.id, claimed, held=hint)], OWNER)

    (record,) = rich.records
    assert settled == {held.id}
    assert (record.cost, record.held, record.claimed_cost) == (cost, 300, claimed)
    assert (record.written_off, record.taken_beyond) == (claimed - cost, max(0, cost - 300))
    assert (rich.available, rich.reservations) == (1000 - cost, set())
    assert record.usage == Usage(input=10, output=5)
    assert_books_add_up()


def test_leg_with_the_least_bounds_what_is_taken_from_each(
    books: Books, rich: Account, quota: Callable[[int], Balance]
) -> None:
    month = quota(350)
    held = rich.hold(300, **on(rich, month))
    books.post([held], [], OWNER)

    books.post([], [rich.settlement(held.id, 500, held=300, **on(rich, month))], OWNER)

    (record,) = rich.records
    assert (record.cost, record.written_off, left(rich.wallet, month)) == (350, 150, [650, 0])
    assert_books_add_up()


def test_nothing_is_taken_beyond_the_hold_from_an_empty_or_overdrawn_wallet(books: Books) -> None:
    empty, overdrawn = account(300), account(300)
    holds = [empty.hold(300), overdrawn.hold(300)]
    books.post(holds, [], OWNER)
    ledger.post(balance=overdrawn.wallet, kind=LedgerEntry.Kind.REFUND, amount=-5, reference=secrets.token_hex(8))

    settlements = [empty.settlement(holds[0].id, 400, held=300), overdrawn.settlement(holds[1].id, 400, held=300)]
    books.post([], settlements, OWNER)

    assert [(row.records[0].cost, row.records[0].written_off, row.available) for row in (empty, overdrawn)] == [
        (300, 100, 0),
        (300, 100, -5),
    ]
    assert_books_add_up()


def test_credit_line_pays_what_passes_the_hold_and_no_more(books: Books, rich: Account) -> None:
    ledger.set_credit_line(balance=rich.wallet, credit_line=50)
    held = rich.hold(1000)
    books.post([held], [], OWNER)

    books.post([], [rich.settlement(held.id, 2000, held=1000)], OWNER)

    assert (rich.records[0].cost, rich.available) == (1050, 0)
    assert_books_add_up()


def test_settlements_of_one_batch_share_what_the_others_give_back(books: Books, rich: Account) -> None:
    holds = [rich.hold(300), rich.hold(300), rich.hold(300)]
    books.post(holds, [], OWNER)

    settlements = [
        rich.settlement(holds[0].id, 500, held=300),
        rich.settlement(holds[1].id, 500, held=300),
        rich.settlement(holds[2].id, 200, held=300),
    ]
    outcomes, settled = books.post([rich.hold(1)], settlements, OWNER)

    costs = {record.id.hex: record.cost for record in rich.records}
    assert settled == {hold.id for hold in holds}
    assert sum(costs.values()) == 1000
    assert (costs[holds[0].id], costs[holds[2].id], rich.available) == (500, 200, 0)
    assert outcomes == [Refused(rich.wallet.pk, 0, 0)]
    assert_books_add_up()


def test_write_off_raises_an_alarm_with_the_requests_id(
    books: Books, rich: Account, caplog: pytest.LogCaptureFixture
) -> None:
    paid, unpaid = rich.hold(100), rich.hold(900)
    books.post([paid, unpaid], [], OWNER)

    with caplog.at_level(logging.ERROR, logger="billing"):
        books.post([], [rich.settlement(paid.id, 100), rich.settlement(unpaid.id, 925, held=900)], OWNER)

    assert [record.getMessage() for record in caplog.records] == [
        f"request {unpaid.id}: 25 ledger units were written off, its balances could not pay them"
    ]


def test_late_settlement_beyond_its_hold_takes_nothing(books: Books, rich: Account) -> None:
    held = rich.hold(300)
    books.post([held], [], OWNER)
    books.post([], [rich.settlement(held.id, 100)], OWNER)

    assert books.post([], [rich.settlement(held.id, 700, held=300)], OWNER)[1] == set()
    assert (rich.available, [record.cost for record in rich.records]) == (900, [100])


# --- races -----------------------------------------------------------------------------------------------------------


def _race(*racers: Callable[[Books], None]) -> list[BaseException]:
    """Runs each on a connection of its own, all at once; what went wrong."""
    errors: list[BaseException] = []
    gate = threading.Barrier(len(racers))

    def run(racer: Callable[[Books], None]) -> None:
        mine = open_books()
        try:
            gate.wait()
            racer(mine)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=run, args=(racer,)) for racer in racers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_two_usages_beyond_their_holds_race_for_the_same_rest(database: str, books: Books, rich: Account) -> None:
    holds = [rich.hold(300), rich.hold(300)]
    books.post(holds, [], OWNER)

    def settle(hold: Hold) -> Callable[[Books], None]:
        def run(mine: Books) -> None:
            mine.post([], [rich.settlement(hold.id, 600, held=300)], OWNER)

        return run

    assert _race(*map(settle, holds)) == []

    assert sorted(record.cost for record in rich.records) == [400, 600]
    assert (rich.available, sum(record.written_off for record in rich.records)) == (0, 200)
    assert_books_add_up()


def test_race_over_two_balances_in_differing_orders_neither_deadlocks_nor_overdraws(
    database: str, rich: Account, quota: Callable[[int], Balance]
) -> None:
    month = quota(700)
    pair = (rich.wallet.pk, month.pk)
    held: list[Hold] = []

    def race(legs: tuple[int, ...]) -> Callable[[Books], None]:
        def run(mine: Books) -> None:
            for _round in range(15):
                wanted = [rich.hold(40, legs=legs), rich.hold(30, legs=legs[:1])]
                outcomes: list[HoldOutcome] = mine.post(wanted, [], OWNER)[0]
                got = [hold for hold, outcome in zip(wanted, outcomes, strict=True) if outcome is HELD]
                held.extend(got)
                mine.post([], [rich.settlement(row.id, 60, held=row.amount, legs=row.legs) for row in got[1:]], OWNER)
                for row in got[:1]:
                    mine.release(row.id)

        return run

    assert _race(race(pair), race(pair[::-1]), race(pair), race(pair[::-1])) == []

    records = UsageRecord.objects.filter(tenant=rich.tenant)
    costs = {leg: sum(row.cost for row in records if leg in row.legs) for leg in pair}
    assert left(rich.wallet, month) == [1000 - costs[pair[0]], 700 - costs[pair[1]]]
    assert min(left(rich.wallet, month)) >= 0
    assert rich.reservations == set()
    assert_books_add_up()
