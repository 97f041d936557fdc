"""The statements that move money, the same cases on PostgreSQL and on SQLite."""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django.plugin import DjangoDbBlocker

from billing import ledger
from billing.books import AWAY, HELD, Books, Hold, Progress, Refused, choose, open_books
from billing.kinds import NOTHING, Usage
from billing.models import LedgerEntry, Reservation
from billing.reservations import new_id
from tests.bookkeeping import Account, account, assert_books_add_up, default_database, race
from tests.databases import PostgresDatabases

OWNER = secrets.token_hex(16)


def test_hold_lowers_available_and_is_written_down(books: Books, rich: Account) -> None:
    wanted = rich.hold(300, is_stream=True)

    outcomes, settled = books.post([wanted], [], OWNER)

    assert (outcomes, settled) == ([HELD], set())
    assert rich.available == 700
    row = Reservation.objects.get(pk=wanted.id)
    assert (row.amount, row.owner.hex, row.tenant_id, row.price_id, row.is_stream, row.usage) == (
        300, OWNER, rich.tenant.pk, rich.price.pk, True, {},
    )  # fmt: skip
    assert (row.channel, row.legs) == ("", [rich.wallet.pk])
    assert_books_add_up()


def test_hold_of_everything_fits_exactly(books: Books, rich: Account) -> None:
    assert books.post([rich.hold(1000)], [], OWNER)[0] == [HELD]
    assert rich.available == 0


def test_refused_hold_changes_nothing_and_says_what_is_left(books: Books, rich: Account) -> None:
    outcomes, _settled = books.post([rich.hold(1001)], [], OWNER)

    assert outcomes == [Refused(rich.wallet.pk, 1000)]
    assert (rich.available, rich.reservations) == (1000, set())


@pytest.mark.parametrize("beside", [(), (100,)], ids=["alone", "beside another hold"])
def test_hold_without_legs_is_refused_and_never_free(books: Books, rich: Account, beside: tuple[int, ...]) -> None:
    outcomes, _settled = books.post([rich.hold(0, legs=()), *map(rich.hold, beside)], [], OWNER)

    assert outcomes == [Refused(None), *([HELD] * len(beside))]
    assert (rich.available, len(rich.reservations)) == (1000 - sum(beside), len(beside))


@pytest.mark.parametrize("amount", [0, 1])
def test_hold_on_a_balance_that_does_not_exist_is_refused(books: Books, rich: Account, amount: int) -> None:
    outcomes, _settled = books.post([rich.hold(amount, legs=(rich.wallet.pk, 2**40))], [], OWNER)

    assert outcomes == [Refused(2**40)]
    assert (rich.available, rich.reservations) == (1000, set())


def test_free_hold_is_written_down(books: Books, rich: Account) -> None:
    assert books.post([rich.hold(0)], [], OWNER)[0] == [HELD]
    assert (rich.available, len(rich.reservations)) == (1000, 1)


def test_overdrawn_wallet_holds_nothing_not_even_for_free(books: Books, rich: Account) -> None:
    ledger.post(balance=rich.wallet, kind=LedgerEntry.Kind.REFUND, amount=-1500, reference=f"back-{rich.wallet.pk}")

    outcomes, _settled = books.post([rich.hold(0), rich.hold(1)], [], OWNER)

    assert outcomes == [Refused(rich.wallet.pk, -500), Refused(rich.wallet.pk, -500)]
    assert (rich.available, rich.reservations) == (-500, set())


def test_holds_whose_sum_does_not_fit_are_tried_one_by_one(books: Books, rich: Account) -> None:
    wanted = [rich.hold(600), rich.hold(600), rich.hold(400), rich.hold(1)]

    outcomes, _settled = books.post(wanted, [], OWNER)

    assert outcomes == [HELD, Refused(rich.wallet.pk, 400, 600), HELD, Refused(rich.wallet.pk, 0, 1000)]
    assert rich.available == 0
    assert rich.reservations == {wanted[0].id, wanted[2].id}
    assert_books_add_up()


def test_one_tenants_lack_does_not_touch_another(books: Books, rich: Account, other: Account) -> None:
    wanted = [rich.hold(900), other.hold(400), rich.hold(900), other.hold(100)]

    outcomes, _settled = books.post(wanted, [], OWNER)

    assert outcomes == [HELD, HELD, Refused(rich.wallet.pk, 100, 900), HELD]
    assert (rich.available, other.available) == (100, 0)
    assert_books_add_up()


def test_settling_gives_back_what_was_not_used(books: Books, rich: Account) -> None:
    held = rich.hold(300)
    books.post([held], [], OWNER)

    _outcomes, settled = books.post([], [rich.settlement(held.id, 120, attempts=[{"a": "é"}])], OWNER)

    assert settled == {held.id}
    assert (rich.available, rich.reservations) == (880, set())
    (record,) = rich.records
    assert (record.id.hex, record.cost, record.held, record.claimed_cost) == (held.id, 120, 300, 120)
    assert (record.attempts, record.decision) == ([{"a": "é"}], {"strategy": "cheapest"})
    assert (record.outcome, record.status, record.usage_source, record.provider_cost) == (
        "success", 200, "upstream", None,
    )  # fmt: skip
    assert record.settled_at - record.started_at > dt.timedelta(milliseconds=-1)
    assert_books_add_up()


def test_settling_for_nothing_gives_everything_back(books: Books, rich: Account) -> None:
    held = rich.hold(300)
    books.post([held], [], OWNER)

    books.post([], [rich.settlement(held.id, 0)], OWNER)

    assert (rich.available, rich.records[0].cost) == (1000, 0)


def test_second_settling_does_nothing(books: Books, rich: Account) -> None:
    held = rich.hold(300)
    books.post([held], [], OWNER)
    books.post([], [rich.settlement(held.id, 100)], OWNER)

    _outcomes, settled = books.post([], [rich.settlement(held.id, 250)], OWNER)

    assert settled == set()
    assert (rich.available, [record.cost for record in rich.records]) == (900, [100])


def test_settling_what_was_never_held_does_nothing(books: Books, rich: Account) -> None:
    assert books.post([], [rich.settlement(new_id(), 100)], OWNER) == ([], set())
    assert (rich.available, rich.records) == (1000, [])


def test_what_a_settlement_gives_back_is_there_for_the_holds_beside_it(books: Books, rich: Account) -> None:
    first, second = rich.hold(1000), rich.hold(700)
    books.post([first], [], OWNER)

    outcomes, settled = books.post([second], [rich.settlement(first.id, 300)], OWNER)

    assert (outcomes, settled) == ([HELD], {first.id})
    assert (rich.available, rich.reservations) == (0, {second.id})
    assert_books_add_up()


def test_settlements_of_several_tenants_go_to_their_own_wallets(books: Books, rich: Account, other: Account) -> None:
    holds = [rich.hold(100), other.hold(100), rich.hold(200)]
    books.post(holds, [], OWNER)
    outcomes = [rich.settlement(holds[0].id, 1), other.settlement(holds[1].id, 10), rich.settlement(holds[2].id, 100)]

    books.post([], outcomes, OWNER)

    assert (rich.available, other.available) == (899, 490)
    assert_books_add_up()


@pytest.mark.parametrize(
    "poison",
    [{"duration_ms": None}, {"claimed_cost": -1}, {"duration_ms": -1}],
    ids=["not null", "check of the cost", "check of the duration"],
)
def test_batch_with_a_poisonous_row_fails_whole_and_the_connection_goes_on(
    books: Books, rich: Account, poison: dict[str, object]
) -> None:
    first, second = rich.hold(100), rich.hold(200)
    books.post([first, second], [], OWNER)
    late = rich.hold(50)
    rows = [rich.settlement(first.id, 10), rich.settlement(second.id, 20, **poison)]

    with pytest.raises(Exception, match=r"(?i)constraint") as failure:
        books.post([late], rows, OWNER)

    assert not isinstance(failure.value, AWAY)
    assert (rich.available, rich.reservations, rich.records) == (700, {first.id, second.id}, [])
    outcomes, settled = books.post([late], rows[:1], OWNER)
    assert (outcomes, settled) == ([HELD], {first.id})
    assert rich.available == 740
    assert_books_add_up()


def test_commit_that_the_database_refuses_is_told_from_a_database_that_is_away(
    postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker
) -> None:
    with default_database(postgres_databases.migrated(), django_db_blocker):
        with connection.cursor() as cursor:
            cursor.execute(_REFUSE_AT_THE_COMMIT)
        rich, books = account(1000), open_books()

        with pytest.raises(psycopg.IntegrityError):
            books.post([rich.hold(13), rich.hold(1)], [], OWNER)

        assert (rich.available, rich.reservations) == (1000, set())
        assert books.post([rich.hold(10)], [], OWNER)[0] == [HELD]
        assert rich.available == 990
        books.close()


_REFUSE_AT_THE_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'unlucky' USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE CONSTRAINT TRIGGER unlucky AFTER INSERT ON billing_reservation DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.amount = 13) EXECUTE FUNCTION refuse()
"""


def test_held_ids_names_the_reservations_that_exist(books: Books, rich: Account) -> None:
    held, never = rich.hold(1), new_id()
    books.post([held], [], OWNER)

    assert books.held_ids([held.id, never]) == {held.id}
    assert books.held_ids([]) == set()


def test_releasing_gives_everything_back_and_leaves_no_record(books: Books, rich: Account) -> None:
    held, open_ = rich.hold(300), rich.hold(1)
    books.post([held, open_], [], OWNER)

    books.release(held.id)
    books.release(held.id)
    books.release(new_id())

    assert (rich.available, rich.reservations, rich.records) == (999, {open_.id}, [])
    assert_books_add_up()


def test_progress_is_kept_on_the_reservation_and_on_no_other(books: Books, rich: Account) -> None:
    streamed, other = rich.hold(1), rich.hold(1)
    books.post([streamed, other], [], OWNER)

    books.note_progress(
        [
            Progress(streamed.id, "first", 9, Usage(input=12, cached_input=7, output=34)),
            Progress(new_id(), "first", 9, Usage(input=5, output=6)),
        ]
    )

    row = Reservation.objects.get(pk=streamed.id)
    assert (row.channel, row.price_id, row.noted_usage) == ("first", 9, Usage(input=12, cached_input=7, output=34))
    assert Reservation.objects.get(pk=other.id).noted_usage == NOTHING


def test_choosing_is_greedy_in_order() -> None:
    holds = [_plain(7, 1), _plain(4, 1), _plain(3, 1), _plain(1, 2)]

    outcomes, taken = choose(holds, {1: 10}, {1: 5, 2: 0}.__getitem__)

    assert outcomes == [HELD, Refused(1, 3, 12), HELD, Refused(2, 0, 0)]
    assert taken == {1: 10}


def test_choosing_takes_from_all_legs_or_from_none() -> None:
    holds = [_plain(6, 1, 2), _plain(2, 1), _plain(5, 1, 2, 3), _plain(4, 2, 3), _plain(0, 3)]

    outcomes, taken = choose(holds, {1: 10, 2: 10, 3: 4}, {1: 0, 2: 0, 3: 0}.__getitem__)

    assert outcomes == [HELD, HELD, Refused(1, 2, 8), HELD, HELD]
    assert taken == {1: 8, 2: 10, 3: 4}


def test_connections_racing_for_one_wallet_never_pass_its_end(database: str, rich: Account) -> None:
    held: list[str] = []

    def hold_and_settle(mine: Books) -> None:
        for _round in range(10):
            wanted = [rich.hold(30), rich.hold(30)]
            outcomes, _settled = mine.post(wanted, [], OWNER)
            got = [hold.id for hold, outcome in zip(wanted, outcomes, strict=True) if outcome is HELD]
            held.extend(got)
            mine.post([], [rich.settlement(id_, 10) for id_ in got], OWNER)

    race(hold_and_settle, 4)

    assert len(held) == len(rich.records)
    assert rich.available == 1000 - 10 * len(held)
    assert rich.available >= 0
    assert_books_add_up()


def test_two_connections_settling_the_same_requests_settle_each_once(database: str, rich: Account) -> None:
    first, second = open_books(), open_books()
    holds = [rich.hold(10) for _hold in range(50)]
    first.post(holds, [], OWNER)
    settled: list[str] = []

    def settle(books: Books, order: int) -> None:
        settled.extend(books.post([], [rich.settlement(hold.id, 4) for hold in holds[::order]], OWNER)[1])

    racers = [threading.Thread(target=settle, args=pair) for pair in ((first, 1), (second, -1))]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    first.close()
    second.close()

    assert sorted(settled) == sorted(hold.id for hold in holds)
    assert (rich.available, len(rich.records)) == (1000 - 200, 50)
    assert_books_add_up()


# --- whatever the order ----------------------------------------------------------------------------------------------

_HOLDS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 120)), max_size=6)
_SETTLINGS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 150)), max_size=5, unique_by=lambda pair: pair[0])
_STEPS = st.lists(st.tuples(_HOLDS, _SETTLINGS), min_size=1, max_size=8)


@pytest.fixture
def audited(books: Books) -> Iterator[Books]:
    """The books, which still add up after all the examples."""
    yield books
    assert_books_add_up()


@given(steps=_STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_interleaving_keeps_the_identity_and_the_model(
    audited: Books, steps: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]
) -> None:
    tenants = [account(250), account(100)]
    available = [250, 100]
    opened: list[tuple[int, Hold]] = []
    closed: set[str] = set()
    spent = [0, 0]

    for holds, settlings in steps:
        wanted = [(number, tenants[number].hold(amount)) for number, amount in holds]
        ending = [(opened[index], claimed) for index, claimed in settlings if index < len(opened)]
        rows = [tenants[number].settlement(hold.id, claimed, held=hold.amount) for (number, hold), claimed in ending]
        outcomes, settled = audited.post([hold for _number, hold in wanted], rows, OWNER)

        # What the others give back is there for those that cost more than they held.
        for (number, hold), claimed in sorted(ending, key=lambda row: row[1] > row[0][1].amount):
            assert (hold.id in settled) == (hold.id not in closed)
            if hold.id not in closed:
                closed.add(hold.id)
                cost = hold.amount + min(claimed - hold.amount, available[number])
                available[number] += hold.amount - cost
                spent[number] += cost
        for (number, hold), outcome in zip(wanted, outcomes, strict=True):
            assert (outcome is HELD) == (hold.amount <= available[number])
            if outcome is HELD:
                available[number] -= hold.amount
                opened.append((number, hold))

    assert [tenant.available for tenant in tenants] == available
    assert [sum(record.cost for record in tenant.records) for tenant in tenants] == spent
    assert Reservation.objects.filter(tenant__in=[account.tenant for account in tenants]).count() == (
        len(opened) - len(closed)
    )


def _plain(amount: int, *legs: int) -> Hold:
    """A hold of a tenant that stands in no database."""
    return Hold(new_id(), legs, 1, amount, 1, "chat.completions", "model", 1, False, "")
