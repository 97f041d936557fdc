"""Lots as a machine: in any order of money and usage, every unit spent is drawn from one lot, once.

After every step the lots say what the ledger's identity says, and in the end every request is traced to the last unit.
A script of the same events leaves the same draws on PostgreSQL and on SQLite.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pytest_django.plugin import DjangoDbBlocker

from billing import grants
from billing.grants import Conflict
from billing.models import Draw, LedgerEntry, Lot, Reservation, UsageRecord
from tests.bookkeeping import default_database
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.purse import Purse

Kind = LedgerEntry.Kind
AMOUNT = st.integers(1, 100)
PICK = st.integers(0, 10**6)


@dataclass(slots=True)
class InFlight:
    held: Reservation
    since: dt.datetime


class LotsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.purse = Purse()
        self.in_flight: list[InFlight] = []
        self.records: list[UsageRecord] = []
        self.grants: list[LedgerEntry] = []

    # --- money ---

    @rule(amount=AMOUNT)
    def top_up(self, amount: int) -> None:
        self.purse.post(Kind.TOP_UP, amount)

    @rule(amount=AMOUNT, priority=st.integers(-1, 1), minutes=st.one_of(st.none(), st.integers(1, 90)))
    def grant(self, amount: int, priority: int, minutes: int | None) -> None:
        ends = None if minutes is None else self.purse.now + dt.timedelta(minutes=minutes)
        self.grants.append(self.purse.post(Kind.GRANT, amount, priority=priority, expires_at=ends))

    @rule(amount=AMOUNT)
    def refund(self, amount: int) -> None:
        """Even of money that was spent: then it is owed."""
        self.purse.post(Kind.REFUND, -amount)

    @rule(amount=AMOUNT)
    def correct_up(self, amount: int) -> None:
        self.purse.post(Kind.ADJUSTMENT, amount)

    @precondition(lambda self: self.purse.available > 0)
    @rule(percent=st.integers(1, 100))
    def correct_down(self, percent: int) -> None:
        amount = self.purse.available * percent // 100
        if amount:
            self.purse.post(Kind.ADJUSTMENT, -amount)

    @precondition(lambda self: self.grants)
    @rule(pick=PICK)
    def void(self, pick: int) -> None:
        grant = self.grants[pick % len(self.grants)]
        before = self.purse.entries()
        try:
            entry = self.purse.void(grant)
        except Conflict:
            assert self.purse.entries() == before
        else:
            assert entry.amount < 0
            assert self.purse.rest(grant) == 0
            self.grants.remove(grant)

    # --- usage ---

    @precondition(lambda self: self.purse.available > 0)
    @rule(percent=st.integers(1, 100))
    def use(self, percent: int) -> None:
        if cost := self.purse.available * percent // 100:
            self.records.append(self.purse.use(cost, after=0.5))

    @precondition(lambda self: self.purse.available > 0)
    @rule(percent=st.integers(1, 100))
    def hold(self, percent: int) -> None:
        if amount := self.purse.available * percent // 100:
            self.purse.wait(0.5)
            self.in_flight.append(InFlight(self.purse.hold(amount), self.purse.now))

    @precondition(lambda self: self.in_flight)
    @rule(pick=PICK, percent=st.integers(0, 100))
    def settle(self, pick: int, percent: int) -> None:
        one = self.in_flight.pop(pick % len(self.in_flight))
        self.purse.wait(0.5)
        self.records.append(self.purse.settle(one.held, one.held.amount * percent // 100))

    @precondition(lambda self: self.in_flight)
    @rule(pick=PICK, percent=st.integers(0, 100))
    def settle_and_be_seen_late(self, pick: int, percent: int) -> None:
        """It says that it settled when it was held, whatever has been drawn since."""
        one = self.in_flight.pop(pick % len(self.in_flight))
        self.records.append(self.purse.settle(one.held, one.held.amount * percent // 100, settled_at=one.since))

    # --- time and jobs ---

    @rule(minutes=st.sampled_from([1, 3, 20, 61]))
    def time_goes_by(self, minutes: int) -> None:
        self.purse.wait(60 * minutes)

    @rule()
    def draw(self) -> None:
        self.purse.draw()

    @rule()
    def job_runs(self) -> None:
        self.purse.run()

    @rule()
    def expire(self) -> None:
        self.purse.expire()
        assert self.purse.expire() == 0

    # --- what holds after every step ---

    @invariant()
    def lots_and_books_agree(self) -> None:
        found = self.purse.standing()
        assert found.paid + found.granted - found.owed == found.available + found.held
        assert 0 in (found.owed, found.paid + found.granted)
        assert grants.differences(of=self.purse.wallet) == []

    @invariant()
    def every_draw_is_of_what_there_was(self) -> None:
        for lot in Lot.objects.filter(balance=self.purse.wallet):
            draws = list(lot.draws.all())
            assert lot.amount - sum(draw.amount for draw in draws) == lot.rest
            assert all(draw.at >= lot.starts_at for draw in draws if draw.of_id is None and draw.record is None)

    def teardown(self) -> None:
        """Everything settles and is drawn; every request is traced, to the last unit."""
        for one in self.in_flight:
            self.records.append(self.purse.settle(one.held, one.held.amount))
        self.purse.wait(1)
        self.purse.draw()
        self.purse.draw()
        self.purse.assert_adds_up(alone=True)
        for record in self.records:
            assert sum(amount for _lot, amount in grants.paid_by(record)) == record.cost
        drawn = Draw.objects.filter(balance=self.purse.wallet, entry=None, of=None)
        assert sum(drawn.values_list("amount", flat=True)) == sum(record.cost for record in self.records)


def _run(steps: int, examples: int, *phases: Phase) -> None:
    run_state_machine_as_test(
        LotsMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.reuse, Phase.generate, *phases),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_any_order_of_money_and_usage_is_drawn_once(database: str) -> None:
    _run(20, 6)


@pytest.mark.chaos
def test_any_order_of_money_and_usage_is_drawn_once_for_long(database: str) -> None:
    _run(50, 150, Phase.shrink)


# --- the same script on both -----------------------------------------------------------------------------------------

EVENTS = ("top_up", "grant", "short", "refund", "up", "use", "hold", "settle", "late", "draw", "expire", "void", "wait")


def _cause(draw: Draw) -> tuple[Any, ...]:
    """Entries that the gateway posts by itself are dated by the clock on the wall."""
    when = (draw.since, draw.at) if draw.entry is None else draw.entry.kind
    return when, draw.record is None, draw.of_id is None


class Player:
    """Plays a script: each event is a method, and a number says how much of it."""

    def __init__(self) -> None:
        self.purse = Purse()
        self.held: list[tuple[Reservation, dt.datetime]] = []

    def play(self, script: list[tuple[str, int]]) -> list[tuple[Any, ...]]:
        """What draws and entries are after the script, without the ids that a database gives."""
        for name, number in script:
            self.purse.wait(1)
            getattr(self, name)(number)
        self.purse.draw().assert_adds_up(alone=True)
        numbers = {pk: place for place, pk in enumerate(self.purse.ledger.values_list("pk", flat=True))}
        draws = Draw.objects.filter(balance=self.purse.wallet).order_by("pk")
        return [
            *((numbers.get(draw.lot_id or 0), draw.amount, *_cause(draw)) for draw in draws),
            *self.purse.entries(),
        ]

    def top_up(self, number: int) -> None:
        self.purse.post(Kind.TOP_UP, number)

    def grant(self, number: int) -> None:
        self.purse.post(Kind.GRANT, number, priority=number % 3)

    def short(self, number: int) -> None:
        self.purse.post(Kind.GRANT, number, expires_at=self.purse.now + dt.timedelta(minutes=number))

    def refund(self, number: int) -> None:
        self.purse.post(Kind.REFUND, -number)

    def up(self, number: int) -> None:
        self.purse.post(Kind.ADJUSTMENT, number)

    def use(self, number: int) -> None:
        if self.purse.available > 0:
            self.purse.use(min(number, self.purse.available))

    def hold(self, number: int) -> None:
        if self.purse.available > 0:
            self.held.append((self.purse.hold(min(number, self.purse.available)), self.purse.now))

    def settle(self, _number: int) -> None:
        if self.held:
            one, _since = self.held.pop(0)
            self.purse.settle(one, one.amount // 2)

    def late(self, _number: int) -> None:
        if self.held:
            one, since = self.held.pop(0)
            self.purse.settle(one, one.amount // 2, settled_at=since)

    def draw(self, _number: int) -> None:
        self.purse.draw()

    def expire(self, _number: int) -> None:
        self.purse.expire()

    def wait(self, number: int) -> None:
        self.purse.wait(60 * number)

    def void(self, _number: int) -> None:
        entry = self.purse.ledger.filter(kind=Kind.GRANT, amount__gt=0).first()
        if entry is not None:
            with suppress(Conflict):
                self.purse.void(entry)


def test_same_script_leaves_the_same_draws_on_both_databases(
    postgres_databases: PostgresDatabases, sqlite_databases: SqliteDatabases, django_db_blocker: DjangoDbBlocker
) -> None:
    scripts: list[list[tuple[str, int]]] = []

    @settings(max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(1, 60)), min_size=10, max_size=40))
    def collect(script: list[tuple[str, int]]) -> None:
        scripts.append(script)

    collect()
    found = []
    for databases in (postgres_databases, sqlite_databases):
        with default_database(databases.migrated(), django_db_blocker):
            found.append([Player().play(script) for script in scripts])

    assert found[0] == found[1]
    assert sum(map(len, found[0])) > 100
