"""The books as a machine: any order of events leaves every balance where plain arithmetic puts it.

The model is a few sums in memory; PostgreSQL and SQLite both have to agree with it after every step, so with each
other too.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings, stateful
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, run_state_machine_as_test

from billing import corrections, ledger, processes, quotas, recovery
from billing.books import HELD, Progress, Settlement, open_books
from billing.kinds import Usage
from billing.models import Balance, LedgerEntry, Price, Process, Reservation, UsageRecord
from billing.prices import cost
from billing.recovery import Contact
from billing.spool import Spool
from tests.bookkeeping import account, dead_seconds

SMALL = st.integers(0, 200)
PICK = st.integers(0, 10**6)
TOKENS = st.builds(Usage, input=st.integers(0, 60), output=st.integers(1, 60))


def rule(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Hypothesis's; the machine is told before, and its script then has what was done: it can be played elsewhere."""

    def decorate(step: Callable[..., None]) -> Any:
        @wraps(step)
        def noted(self: BooksMachine, **drawn: Any) -> None:
            self.before_step()
            self.script.append((step.__name__, drawn))
            step(self, **drawn)

        made: Any = stateful.rule
        return made(**strategies)(noted)

    return decorate


@dataclass(slots=True)
class Request:
    """A request that was admitted, as the model knows it."""

    id: str
    owner: str
    legs: tuple[int, ...]
    held: int
    price: Price
    state: str = "open"
    """Then `settled`, `released` or `recovered`."""
    in_database: Usage | None = None
    in_spool: Progress | None = None
    claimed: int = 0
    cost: int = 0
    is_corrected: bool = False


@dataclass(slots=True)
class Owner:
    """A process: it lives, stands still (its heart is silent, its spool locked), or was killed."""

    id: str
    spool: Spool
    state: str = "lives"
    requests: list[Request] = field(default_factory=list)


class BooksMachine(RuleBasedStateMachine):
    """Amounts are multiples of `UNIT` ledger units."""

    UNIT = 1

    def __init__(self) -> None:
        super().__init__()
        self.script: list[tuple[str, dict[str, Any]]] = []
        self.books = open_books()
        self.folder = Path(tempfile.mkdtemp())
        self.account = account(1500 * self.UNIT, input_rate=self.UNIT * 1_000_000, output_rate=self.UNIT * 2_000_000)
        self.now = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
        self.available: dict[int, int] = {self.account.wallet.pk: 1500 * self.UNIT}
        self.quota = quotas.grant(self.account.tenant, amount=900 * self.UNIT, period="day")
        self.total = quotas.grant(self.account.tenant, amount=2000 * self.UNIT, period="total", is_hard=False)
        self.contact = Contact()
        self.contact._since = time.monotonic() - dead_seconds() - 2
        self.price = self.account.price
        self.owners = [self._born(), self._born()]
        self.all: list[Request] = []

    def before_step(self) -> None:
        """Of each rule."""

    def teardown(self) -> None:
        for owner in self.owners:
            if owner.state != "killed":
                os.close(owner.spool._file)
        Process.objects.all().delete()
        recovery.settle_dead_owners(self.contact)
        self.books.close()
        shutil.rmtree(self.folder)

    def _born(self) -> Owner:
        id_ = processes.register()
        return Owner(id_, Spool(self.folder, id_))

    def _legs(self) -> tuple[int, ...]:
        legs = [self.account.wallet.pk]
        for quota in (self.quota, self.total):
            row = quotas.balance_of(quota, self.now)
            self.available.setdefault(row.pk, row.credit_line)
            legs.append(row.pk)
        return tuple(sorted(legs))

    def _move(self, legs: tuple[int, ...], amount: int) -> None:
        for leg in legs:
            self.available[leg] += amount

    # --- money in, limits ---

    @rule(amount=st.integers(1, 600), kind=st.sampled_from([LedgerEntry.Kind.TOP_UP, LedgerEntry.Kind.GRANT]))
    def money_comes(self, amount: int, kind: LedgerEntry.Kind) -> None:
        amount *= self.UNIT
        ledger.post(balance=self.account.wallet, kind=kind, amount=amount, reference=secrets.token_hex(8))
        self.available[self.account.wallet.pk] += amount

    @rule(percent=st.integers(50, 100))
    def money_goes(self, percent: int) -> None:
        """An operator takes back a part of what is there, sometimes all of it."""
        wallet = self.account.wallet
        amount = self.available[wallet.pk] * percent // 100
        if amount > 0:
            kind = LedgerEntry.Kind.ADJUSTMENT
            ledger.post(balance=wallet, kind=kind, amount=-amount, reference=secrets.token_hex(8))
            self.available[wallet.pk] -= amount

    @rule(amount=st.integers(0, 900), is_hard=st.booleans())
    def quota_is_edited(self, amount: int, is_hard: bool) -> None:
        self._legs()
        amount *= self.UNIT
        line = amount if is_hard else quotas.SOFT_LINE
        # The books' clock is the wall's: periods that have ended by the test's own clock alone move as well.
        for row in Balance.objects.filter(quota=self.quota, ends_at__gt=timezone.now()):
            self.available[row.pk] += line - row.credit_line
        quotas.change(self.quota, amount=amount, is_hard=is_hard)

    @rule()
    def day_ends(self) -> None:
        self.now += dt.timedelta(days=1)

    @rule(input_rate=st.integers(0, 5), output_rate=st.integers(0, 5))
    def price_changes(self, input_rate: int, output_rate: int) -> None:
        self.price = Price.objects.create(
            model=self.price.model,
            input=input_rate * self.UNIT * 1_000_000,
            output=output_rate * self.UNIT * 1_000_000,
        )

    # --- requests ---

    @rule(amount=SMALL, which=st.integers(0, 1))
    def hold(self, amount: int, which: int) -> None:
        amount *= self.UNIT
        owner = self.owners[which]
        legs = self._legs()
        held = self.account.hold(amount, legs=legs, price_id=self.price.pk)
        (outcome,), _settled = self.books.post([held], [], owner.id)
        fits = all(self.available[leg] >= amount for leg in legs)
        assert (outcome is HELD) is fits
        if not fits:
            return
        self._move(legs, -amount)
        request = Request(held.id, owner.id, legs, amount, self.price)
        owner.requests.append(request)
        self.all.append(request)

    def _of_the_living(self, *states: str) -> list[Request]:
        return [request for owner in self.owners for request in owner.requests if request.state in states]

    def _pick(self, pick: int, *states: str) -> tuple[Request, Owner]:
        """One of the requests of processes that live, and its process."""
        found = self._of_the_living(*states)
        request = found[pick % len(found)]
        return request, next(owner for owner in self.owners if owner.id == request.owner)

    def has_open(self) -> bool:
        return bool(self._of_the_living("open"))

    def has_swept(self) -> bool:
        return bool(self._of_the_living("recovered"))

    @precondition(has_open)
    @rule(pick=PICK, usage=TOKENS)
    def stream_goes_on(self, pick: int, usage: Usage) -> None:
        request, owner = self._pick(pick, "open")
        request.in_spool = Progress(request.id, "first", request.price.pk, usage)
        owner.spool.note(request.in_spool)

    @precondition(has_open)
    @rule(pick=PICK, usage=TOKENS)
    def database_is_told(self, pick: int, usage: Usage) -> None:
        request, _owner = self._pick(pick, "open")
        request.in_database = usage
        self.books.note_progress([Progress(request.id, "first", request.price.pk, usage)])

    @precondition(has_open)
    @rule(pick=PICK, usage=st.one_of(TOKENS, st.just(Usage())))
    def request_ends(self, pick: int, usage: Usage) -> None:
        request, owner = self._pick(pick, "open")
        assert self.books.post([], [self._settlement(request, usage)], owner.id) == ([], {request.id})
        self._close(request, cost(usage, request.price.tariff), "settled")
        owner.spool.forget([request.id])

    @precondition(has_swept)
    @rule(pick=PICK, usage=st.one_of(TOKENS, st.just(Usage())))
    def request_ends_after_others_have_closed_it(self, pick: int, usage: Usage) -> None:
        request, owner = self._pick(pick, "recovered")
        settlement = self._settlement(request, usage)
        assert self.books.post([], [settlement], owner.id) == ([], set())
        corrections.settle_late(settlement)
        self._correct(request, cost(usage, request.price.tariff))

    def _settlement(self, request: Request, usage: Usage) -> Settlement:
        claimed = cost(usage, request.price.tariff)
        return self.account.settlement(
            request.id, claimed, held=request.held, legs=request.legs, price_id=request.price.pk, usage=usage
        )

    @precondition(has_open)
    @rule(pick=PICK)
    def request_is_released(self, pick: int) -> None:
        request, _owner = self._pick(pick, "open")
        self.books.release(request.id)
        self._move(request.legs, request.held)
        request.state = "released"

    def _close(self, request: Request, claimed: int, state: str) -> None:
        beyond = max(0, claimed - request.held)
        left = min(self.available[leg] for leg in request.legs)
        request.claimed, request.cost = claimed, min(claimed, request.held + min(beyond, max(0, left)))
        request.state = state
        self._move(request.legs, request.held - request.cost)

    def _correct(self, request: Request, claimed: int) -> None:
        if request.is_corrected:
            return
        more = claimed > request.claimed
        due = claimed - request.claimed if more else min(claimed, request.cost) - request.cost
        self._move(request.legs, -min(due, max(0, self.available[self.account.wallet.pk])))
        request.is_corrected = True

    # --- processes ---

    @rule(which=st.integers(0, 1))
    def process_is_killed(self, which: int) -> None:
        owner = self.owners[which]
        os.close(owner.spool._file)  # as the kernel does
        owner.state = "killed"
        self._silence(owner)
        assert recovery.settle_abandoned_spools(self.folder) == self._recover(owner, from_spool=True)
        self.owners[which] = self._born()

    @rule(which=st.integers(0, 1))
    def process_stands_still_and_goes_on(self, which: int) -> None:
        """Others sweep it meanwhile."""
        owner = self.owners[which]
        self._silence(owner)
        assert recovery.settle_dead_owners(self.contact, self.folder) == self._recover(owner, from_spool=True)
        processes.beat(owner.id)

    @rule(which=st.integers(0, 1))
    def machine_dies_and_its_disk_comes_back(self, which: int) -> None:
        """Swept elsewhere by what the database knows; then its spool is found, and corrects."""
        owner = self.owners[which]
        self._silence(owner)
        assert recovery.settle_dead_owners(self.contact) == self._recover(owner, from_spool=False)
        os.close(owner.spool._file)
        assert recovery.settle_abandoned_spools(self.folder) == 0
        self._correct_earlier(owner, [])
        self.owners[which] = self._born()

    def _correct_earlier(self, owner: Owner, known: list[Request]) -> None:
        """What it had noted of requests that were swept without its spool, the oldest first."""
        for request in sorted(owner.requests, key=lambda row: row.id):
            note = request.in_spool
            if request in known or note is None or request.state != "recovered":
                continue
            claimed = cost(note.usage, request.price.tariff)
            if claimed > request.claimed:
                self._correct(request, claimed)

    def _silence(self, owner: Owner) -> None:
        Process.objects.filter(pk=owner.id).update(
            heartbeat_at=timezone.now() - dt.timedelta(seconds=dead_seconds() + 5)
        )

    def _recover(self, owner: Owner, *, from_spool: bool) -> int:
        """The model's side of a sweep: how many were closed. What needs more than it held comes last, oldest first."""
        found = [request for request in owner.requests if request.state == "open"]
        claims = {}
        for request in found:
            known = [request.in_spool.usage] if from_spool and request.in_spool else []
            known += [request.in_database] if request.in_database else []
            usage = max(known, key=lambda each: (each.output, each.input), default=Usage())
            claims[request.id] = cost(usage, request.price.tariff)
        for request in sorted(found, key=lambda row: (claims[row.id] > row.held, row.id)):
            self._close(request, claims[request.id], "recovered")
        if from_spool and owner.state == "killed":
            self._correct_earlier(owner, found)
        return len(found)

    # --- what holds after every step ---

    @invariant()
    def balances_are_where_arithmetic_puts_them(self) -> None:
        rows = Balance.objects.filter(tenant=self.account.tenant).values_list("pk", "available")
        assert {pk: self.available.get(pk, available) for pk, available in rows} == dict(rows)

    @invariant()
    def requests_overdraw_nothing(self) -> None:
        assert self.available[self.account.wallet.pk] >= 0

    @invariant()
    def identity_holds(self) -> None:
        mine = set(self.available)
        assert [row for row in ledger.accounts() if row.balance_id in mine and row.difference] == []

    @invariant()
    def every_request_is_in_one_place(self) -> None:
        tenant = self.account.tenant
        held = {row.id.hex for row in Reservation.objects.filter(tenant=tenant)}
        written = dict(UsageRecord.objects.filter(tenant=tenant).values_list("id", "cost"))
        costs = {id_.hex: amount for id_, amount in written.items()}
        assert held == {request.id for request in self.all if request.state == "open"}
        assert costs == {request.id: request.cost for request in self.all if request.state in {"settled", "recovered"}}


def _run(steps: int, examples: int, *phases: Phase) -> None:
    run_state_machine_as_test(
        BooksMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.reuse, Phase.generate, *phases),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_any_order_of_events_leaves_the_books_right(database: str) -> None:
    _run(40, 30)


@pytest.mark.chaos
def test_any_order_of_events_leaves_the_books_right_for_long(database: str) -> None:
    _run(60, 150, Phase.shrink)
