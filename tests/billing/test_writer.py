"""The writer of money on real databases, and on databases that go away under it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from django.db import connection, connections
from pytest_django.plugin import DjangoDbBlocker

from accounts.errors import ServiceUnavailable
from billing.books import (
    HELD,
    Books,
    Held,
    Hold,
    HoldOutcome,
    Idempotency,
    PostgresBooks,
    Progress,
    Refused,
    Repeated,
    Settlement,
    open_books,
)
from billing.kinds import Usage
from billing.models import Reservation
from billing.reservations import KeyStands, Reservations
from billing.writer import MOST_WAITING, Writer
from tests.bookkeeping import Account, account, assert_books_add_up, default_database
from tests.databases import PostgresDatabases
from tests.wires import Wire

OWNER = secrets.token_hex(16)


class Desk:
    """A writer on an event loop of its own thread, so that a test may look at the database meanwhile."""

    def __init__(self, connect: Callable[[], Books] = open_books) -> None:
        self.writer = Writer(connect)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._call(self._start)

    def hold(self, hold: Hold) -> concurrent.futures.Future[HoldOutcome]:
        return asyncio.run_coroutine_threadsafe(self._hold(hold), self.loop)

    def settle(self, *settlements: Settlement) -> None:
        for settlement in settlements:
            self.loop.call_soon_threadsafe(self.writer.settle, settlement)

    def note(self, *notes: Progress) -> None:
        for note in notes:
            self.loop.call_soon_threadsafe(self.writer.note, note)

    def catch_up(self) -> None:
        """Returns when the loop has taken what was handed over before."""
        self._call(lambda: None)

    def close(self) -> None:
        self.catch_up()
        self.writer.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _start(self) -> None:
        self.writer.start(OWNER)

    async def _hold(self, hold: Hold) -> HoldOutcome:
        return await self.writer.hold(hold)

    def _call(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        asyncio.run_coroutine_threadsafe(call(), self.loop).result(5)


class Watched:
    """Real books that remember the sizes of their batches, and may be made to wait or to fail."""

    def __init__(self) -> None:
        self._books = open_books()
        self.batches: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.faults: list[Exception | None] = []
        """What the next posts raise instead of posting; None posts."""

    def post(
        self, holds: Sequence[Hold], settlements: Sequence[Settlement], owner: str
    ) -> tuple[list[HoldOutcome], set[str]]:
        self.batches.append((len(holds), len(settlements)))
        self.gate.wait()
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        return self._books.post(holds, settlements, owner)

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        return self._books.held_ids(ids)

    def release(self, id_: str) -> None:
        self._books.release(id_)

    def note_progress(self, notes: Sequence[Progress]) -> None:
        self._books.note_progress(notes)

    def close(self) -> None:
        """Stays open: the writer connects to the same books again."""

    def end(self) -> None:
        self._books.close()


@pytest.fixture
def desk(database: str) -> Iterator[Desk]:
    opened = Desk()
    yield opened
    opened.close()


@pytest.fixture
def watched(database: str) -> Iterator[tuple[Desk, Watched]]:
    made: list[Watched] = []

    def connect() -> Books:
        if not made:
            made.append(Watched())
        return made[0]

    opened = Desk(connect)
    warm = account(0)
    opened.hold(warm.hold(0)).result(5)
    made[0].batches.clear()
    yield opened, made[0]
    made[0].gate.set()
    opened.close()
    made[0].end()


@pytest.fixture
def far(postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Desk, Wire]]:
    """A writer that reaches PostgreSQL over a wire; the test itself reaches it directly."""
    url = postgres_databases.migrated()
    wire = Wire(url)

    def connect() -> Books:
        return PostgresBooks("far")

    with default_database(url, django_db_blocker):
        connections.settings["far"] = connections.settings["default"] | {
            "PORT": wire.url.rpartition(":")[2].split("/")[0]
        }
        opened = Desk(connect)
        yield opened, wire
        wire.mend()
        opened.close()
        wire.cut()
        del connections.settings["far"]


def wait_until(condition: Callable[[], Any], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# --- when all is well ------------------------------------------------------------------------------------------------


def test_hold_is_committed_before_it_is_answered_and_a_settlement_soon_after(desk: Desk, rich: Account) -> None:
    wanted = rich.hold(300)

    assert desk.hold(wanted).result(5) is HELD
    assert (rich.available, rich.reservations) == (700, {wanted.id})
    assert desk.writer.in_flight == {wanted.id}
    desk.settle(rich.settlement(wanted.id, 120))

    wait_until(lambda: not desk.writer.in_flight)
    assert (rich.available, rich.reservations, len(rich.records)) == (880, set(), 1)
    assert_books_add_up()


def test_refused_hold_is_not_in_flight(desk: Desk, rich: Account) -> None:
    assert desk.hold(rich.hold(1001)).result(5) == Refused(rich.wallet.pk, 1000)
    assert desk.writer.in_flight == set()
    assert (rich.available, rich.reservations) == (1000, set())


@pytest.mark.parametrize(
    ("count", "batches"),
    [(2, [(2, 1)]), (50, [(50, 0), (0, 1)])],
    ids=["a few take settlements along", "many go first"],
)
def test_holds_that_arrive_during_a_commit_share_the_next(
    watched: tuple[Desk, Watched], rich: Account, count: int, batches: list[tuple[int, int]]
) -> None:
    desk, books = watched
    books.gate.clear()
    first = desk.hold(rich.hold(1))
    wait_until(lambda: books.batches)

    others = [desk.hold(rich.hold(1)) for _hold in range(count)]
    desk.settle(rich.settlement("0" * 32, 1))
    desk.catch_up()
    assert len(desk.writer.in_flight) == count + 2
    books.gate.set()

    assert {hold.result(5) for hold in [first, *others]} == {HELD}
    wait_until(lambda: books.batches == [(1, 0), *batches])
    assert rich.available == 999 - count


def test_more_holds_than_one_batch_takes_are_all_answered(watched: tuple[Desk, Watched]) -> None:
    desk, books = watched
    crowd = account(10_000)
    books.gate.clear()
    first = desk.hold(crowd.hold(1))
    wait_until(lambda: books.batches)

    others = [desk.hold(crowd.hold(1)) for _hold in range(1200)]
    wait_until(lambda: len(desk.writer.in_flight) == 1202)
    books.gate.set()

    assert {hold.result(10) for hold in [first, *others]} == {HELD}
    assert crowd.available == 10_000 - 1201


def test_latest_progress_is_the_one_that_stays(watched: tuple[Desk, Watched], rich: Account) -> None:
    desk, books = watched
    streamed = rich.hold(1, is_stream=True)
    desk.hold(streamed).result(5)
    books.batches.clear()
    books.gate.clear()
    blocker = desk.hold(rich.hold(1))
    wait_until(lambda: books.batches)

    desk.note(*(Progress(streamed.id, "first", rich.price.pk, Usage(input=10, output=count)) for count in range(1, 40)))
    desk.hold(rich.hold(1))
    wait_until(lambda: len(desk.writer.in_flight) == 4)
    books.gate.set()
    blocker.result(5)

    wait_until(lambda: Reservation.objects.get(pk=streamed.id).usage)
    assert Reservation.objects.get(pk=streamed.id).noted_usage == Usage(input=10, output=39)


def test_stopping_writes_what_was_handed_over(database: str, rich: Account) -> None:
    desk = Desk()
    holds = [rich.hold(10) for _hold in range(40)]
    for hold in [desk.hold(hold) for hold in holds]:
        hold.result(5)

    desk.settle(*(rich.settlement(hold.id, 4) for hold in holds))
    desk.close()

    assert (rich.available, len(rich.records), rich.reservations) == (1000 - 160, 40, set())


def test_request_that_left_while_its_hold_was_written_gets_its_money_back(
    watched: tuple[Desk, Watched], rich: Account
) -> None:
    desk, books = watched
    books.gate.clear()
    wanted = rich.hold(10)
    waiting = desk.hold(wanted)
    wait_until(lambda: books.batches)

    waiting.cancel()
    books.gate.set()

    wait_until(lambda: wanted.id not in desk.writer.in_flight)
    wait_until(lambda: rich.available == 1000)
    assert (rich.reservations, rich.records) == (set(), [])


def test_request_that_left_before_its_hold_was_written_is_not_held(
    watched: tuple[Desk, Watched], rich: Account
) -> None:
    desk, books = watched
    books.gate.clear()
    blocker = desk.hold(rich.hold(1))
    wait_until(lambda: books.batches)
    wanted = rich.hold(10)
    waiting = desk.hold(wanted)
    wait_until(lambda: wanted.id in desk.writer.in_flight)

    waiting.cancel()
    time.sleep(0.1)
    books.gate.set()
    blocker.result(5)

    wait_until(lambda: wanted.id not in desk.writer.in_flight)
    assert books.batches[1:] == []
    assert rich.available == 999


def test_request_that_leaves_just_as_its_hold_is_answered_gets_its_money_back(database: str, rich: Account) -> None:
    wanted, writer = rich.hold(10), Writer()

    async def leave_at_the_last_moment() -> bool:
        loop = asyncio.get_running_loop()
        writer.start(OWNER)
        asking = asyncio.ensure_future(Reservations(writer).hold(wanted))
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is busy while the writer commits and answers
        loop.call_soon(asking.cancel)  # after the answer, before the request hears of it
        await asyncio.wait([asking])
        await loop.run_in_executor(None, writer.stop)
        return asking.cancelled()

    assert asyncio.run(leave_at_the_last_moment())
    assert (rich.available, rich.reservations, rich.records) == (1000, set(), [])
    assert wanted.id not in writer.in_flight


# --- idempotency keys ------------------------------------------------------------------------------------------------


def keyed() -> Idempotency:
    return Idempotency(secrets.token_hex(32), "0" * 64)


def test_repetition_is_answered_with_the_first_and_holds_nothing(desk: Desk, rich: Account) -> None:
    same = keyed()
    first, second = rich.hold(100, idempotency=same), rich.hold(100, idempotency=same)

    outcomes = [desk.hold(hold).result(5) for hold in (first, second)]

    assert outcomes == [HELD, Repeated(first.id)]
    assert desk.writer.in_flight == {first.id}
    assert (rich.available, rich.reservations) == (900, {first.id})


def test_repetition_whose_request_has_left_gives_nothing_back(watched: tuple[Desk, Watched], rich: Account) -> None:
    desk, books = watched
    same = keyed()
    first, second = rich.hold(100, idempotency=same), rich.hold(100, idempotency=same)
    desk.hold(first).result(5)
    books.gate.clear()
    desk.hold(second).cancel()
    books.gate.set()

    desk.settle(rich.settlement(first.id, 10))

    wait_until(lambda: len(rich.records) == 1)
    assert (rich.available, rich.reservations) == (990, set())


def test_keyed_hold_whose_commit_got_no_answer_is_its_own(watched: tuple[Desk, Watched], rich: Account) -> None:
    desk, books = watched
    wanted = rich.hold(100, idempotency=keyed())
    books.post([wanted], [], OWNER)
    books.faults = [psycopg.OperationalError("the answer is lost")]

    assert desk.hold(wanted).result(5) == Repeated(wanted.id)
    assert (rich.available, desk.writer.in_flight >= {wanted.id}) == (900, True)


def test_reservation_of_a_repetition_says_what_its_key_stands_for(database: str, rich: Account) -> None:
    writer, same = Writer(), keyed()
    first, second = rich.hold(100, idempotency=same), rich.hold(100, idempotency=same)

    async def story() -> Repeated:
        writer.start(OWNER)
        await Reservations(writer).hold(first)
        with pytest.raises(KeyStands) as stands:
            await Reservations(writer).hold(second)
        await asyncio.get_running_loop().run_in_executor(None, writer.stop)
        return stands.value.first

    assert asyncio.run(story()) == Repeated(first.id)
    assert (rich.available, rich.reservations) == (900, {first.id})


# --- poison ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", [{"duration_ms": None}, {"duration_ms": -1}], ids=["not null", "check"])
def test_poisonous_settlement_does_not_keep_the_others_from_being_written(
    watched: tuple[Desk, Watched], rich: Account, poison: dict[str, Any]
) -> None:
    desk, books = watched
    good, bad, late = rich.hold(100), rich.hold(100), rich.hold(50)
    desk.hold(good).result(5)
    desk.hold(bad).result(5)
    books.batches.clear()
    books.gate.clear()
    blocker = desk.hold(rich.hold(0))
    wait_until(lambda: books.batches)

    desk.settle(rich.settlement(bad.id, 30, **poison), rich.settlement(good.id, 20))
    answer = desk.hold(late)
    wait_until(lambda: late.id in desk.writer.in_flight)
    books.gate.set()
    blocker.result(5)

    assert answer.result(10) is HELD
    wait_until(lambda: len(rich.records) == 1)
    wait_until(lambda: bad.id not in desk.writer.in_flight)
    assert {bad.id, late.id} <= rich.reservations
    assert good.id not in rich.reservations
    assert_books_add_up()


def test_story_that_the_database_refuses_does_not_make_an_answer_free(desk: Desk, rich: Account) -> None:
    held = rich.hold(100)
    desk.hold(held).result(5)

    desk.settle(rich.settlement(held.id, 30, attempts=[{"detail": "\x00 from an upstream"}]))

    wait_until(lambda: len(rich.records) == 1)
    assert (rich.records[0].cost, rich.available) == (30, 970)
    assert rich.records[0].attempts in ([], [{"detail": "\x00 from an upstream"}])


def test_claim_that_no_column_can_hold_is_paid_as_far_as_the_wallet_goes(database: str, rich: Account) -> None:
    wanted, writer = rich.hold(100), Writer()

    async def story() -> None:
        writer.start(OWNER)
        await Reservations(writer).hold(wanted)
        Reservations(writer).settle(rich.settlement(wanted.id, 2**70, held=100, provider_cost=2**80))
        await asyncio.get_running_loop().run_in_executor(None, writer.stop)

    asyncio.run(story())

    (record,) = rich.records
    assert (record.cost, record.claimed_cost, record.provider_cost, rich.available) == (1000, 2**62, 2**62, 0)


def test_database_that_goes_away_beside_a_poisonous_row_loses_no_settlement(
    watched: tuple[Desk, Watched], rich: Account
) -> None:
    desk, books = watched
    holds = [rich.hold(100) for _hold in range(3)]
    for hold in holds:
        desk.hold(hold).result(5)
    books.faults = [psycopg.errors.CheckViolation("a poisonous row"), psycopg.OperationalError("the database is away")]

    desk.settle(*(rich.settlement(hold.id, 10) for hold in holds))

    wait_until(lambda: len(rich.records) == 3)
    assert (rich.available, rich.reservations) == (970, set())


# --- a database that goes away ---------------------------------------------------------------------------------------


def test_holds_wait_for_an_absent_database_and_are_then_refused(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    desk.hold(rich.hold(1)).result(5)

    wire.cut()
    began = time.monotonic()
    waiting = desk.hold(rich.hold(10))

    with pytest.raises(ServiceUnavailable):
        waiting.result(10)
    assert 2.5 < time.monotonic() - began < 4.5
    assert rich.available == 999


def test_hold_outlives_a_short_outage(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    desk.hold(rich.hold(1)).result(5)

    wire.cut()
    waiting = desk.hold(rich.hold(10))
    time.sleep(1)
    wire.mend()

    assert waiting.result(5) is HELD
    assert rich.available == 989


def test_hold_at_a_database_that_hangs_is_refused_too(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    desk.hold(rich.hold(1)).result(5)

    wire.hold_still()
    began = time.monotonic()
    waiting = [desk.hold(rich.hold(10))]
    time.sleep(0.5)
    waiting.append(desk.hold(rich.hold(20)))

    with pytest.raises(ServiceUnavailable):
        waiting[0].result(10)
    assert 2.5 < time.monotonic() - began < 4.5
    with pytest.raises(ServiceUnavailable):
        waiting[1].result(10)
    wire.mend()
    desk.hold(rich.hold(5)).result(5)
    wait_until(lambda: rich.available == 994)
    assert (len(rich.reservations), rich.records) == (2, [])


def test_settlements_outlive_an_outage(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    holds = [rich.hold(10) for _hold in range(20)]
    for hold in [desk.hold(hold) for hold in holds]:
        hold.result(5)

    wire.cut()
    desk.settle(*(rich.settlement(hold.id, 3) for hold in holds))
    time.sleep(4)
    assert rich.records == []
    wire.mend()

    wait_until(lambda: not desk.writer.in_flight)
    assert (rich.available, len(rich.records), rich.reservations) == (940, 20, set())
    assert_books_add_up()


def test_crowd_before_an_absent_database_is_bounded(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    desk.hold(rich.hold(1)).result(5)
    wire.cut()
    waiting = [desk.hold(rich.hold(1)) for _hold in range(MOST_WAITING)]
    time.sleep(1)

    began = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        desk.hold(rich.hold(1)).result(5)

    assert time.monotonic() - began < 0.5
    wire.mend()
    assert {hold.result(5) for hold in waiting} == {HELD}
    assert rich.available == 999 - MOST_WAITING


def test_hold_whose_answer_got_lost_is_answered_as_a_repetition(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    desk.hold(rich.hold(0)).result(5)
    wanted = rich.hold(10)

    wire.lose_next_answer()

    assert desk.hold(wanted).result(5) == Repeated(wanted.id)
    assert wanted.id in desk.writer.in_flight
    assert (rich.available, len(rich.reservations)) == (990, 2)
    assert_books_add_up()


def test_holds_that_do_not_fit_together_and_whose_answer_got_lost_are_not_taken_twice(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    desk.hold(rich.hold(0)).result(5)

    wire.lose_next_answer()
    first, second = (desk.hold(rich.hold(600)) for _hold in range(2))

    assert isinstance(first.result(5), Held | Repeated)
    assert second.result(5) == Refused(rich.wallet.pk, 400, 600)
    assert (rich.available, len(rich.reservations)) == (400, 2)
    assert_books_add_up()


def test_settlement_whose_answer_got_lost_is_written_once(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    held = rich.hold(100)
    desk.hold(held).result(5)

    wire.lose_next_answer()
    desk.settle(rich.settlement(held.id, 30))

    wait_until(lambda: not desk.writer.in_flight)
    assert (rich.available, [record.cost for record in rich.records]) == (970, [30])


def test_connection_that_the_server_ends_is_opened_anew(far: tuple[Desk, Wire]) -> None:
    desk, _wire = far
    rich = account(1000)
    desk.hold(rich.hold(1)).result(5)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'costrouter-writer' AND datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert desk.hold(rich.hold(10)).result(5) is HELD
    assert rich.available == 989


def test_stopping_waits_for_a_database_that_comes_back_in_time(far: tuple[Desk, Wire]) -> None:
    desk, wire = far
    rich = account(1000)
    held = rich.hold(100)
    desk.hold(held).result(5)
    wire.cut()
    desk.settle(rich.settlement(held.id, 30))
    threading.Timer(1, wire.mend).start()

    time.sleep(0.2)
    desk.writer.stop()

    assert (rich.available, [record.cost for record in rich.records]) == (970, [30])
