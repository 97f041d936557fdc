"""Money in flight, at rest and on paper as one machine: whatever happens in whatever order, every sum stays one.

To the requests, limits and deaths of the books' machine come payments, refunds, disputes, grants, codes, months and
documents. A model of plain sums says where the wallet has to be; after every step the lots, the documents and the
reconciliation say the same. What was played on SQLite is then played on PostgreSQL and leaves the same ledger.

The wallet's clock is ahead of the wall's: nothing settles before `closed_through`, and each step moves that on.
"""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, cast

import pytest
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, run_state_machine_as_test
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import Tenant, User
from billing import codes, grants, ledger, reconciliation, rollups
from billing.drawing import Course
from billing.grants import Conflict
from billing.invoices import closing, crediting, drafts, finalising, jobs, paying, rounding
from billing.invoices.finalising import InvoiceConflict
from billing.ledger import InsufficientFunds
from billing.models import (
    Balance,
    BillingPeriod,
    BillingProfile,
    CodeBatch,
    CreditNote,
    Draw,
    Drawing,
    Gateway,
    Invoice,
    LedgerEntry,
    Lot,
    PaymentOrder,
    PaymentRefund,
    Reservation,
    TaxRate,
    UsageRecord,
)
from billing.payments import checkout, events, orders, refunds
from billing.payments.errors import PaymentRefused
from billing.payments.events import Outcome
from tests import payers
from tests.billing.invoices.customers import CENT, seller
from tests.billing.test_machine import PICK, BooksMachine, rule
from tests.bookkeeping import default_database
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.payers import StandIn

Kind = LedgerEntry.Kind
Posted = list[tuple[str, int]]
_Kept = tuple[dt.datetime, Any, list[object]]
"""When a machine began, what it did, and its story."""
PERCENT = st.integers(1, 100)
MOMENT = dt.timedelta(milliseconds=1)
_TRIES = 10
"""Codes that may be wrong within an hour."""
_CHECKS = (
    "balances_are_where_arithmetic_puts_them", "identity_holds", "every_request_is_in_one_place",
    "lots_are_what_the_wallet_has", "nobody_gets_back_more_than_was_paid", "documents_follow_each_other",
    "papers_add_up_and_stay", "numbers_have_no_gap", "reconciliation_finds_nothing",
)  # fmt: skip
"""The invariants, as a machine that plays a script has to be told of them."""
_numbers = itertools.count(1)


@dataclass(slots=True)
class Paid:
    """An order that was paid, as the model knows it; coins."""

    id: Any
    payment: str
    told: bytes
    left: int
    refunds: list[Any] = field(default_factory=list)
    disputes: list[tuple[str, int]] = field(default_factory=list)
    lost: list[tuple[str, int]] = field(default_factory=list)
    """Those that are open, and what each has taken."""


class MoneyMachine(BooksMachine):
    UNIT = 3_333_333
    """A third of a cent: most sums end between two of them."""
    gateway: ClassVar[StandIn]

    def __init__(self, began: dt.datetime | None = None) -> None:
        super().__init__()
        self.began = self.clock = began or timezone.now() + dt.timedelta(days=1)
        self.wallet_id = self.account.wallet.pk
        Balance.objects.filter(pk=self.wallet_id).update(created_at=self.clock)
        closing.last_period(self.wallet)
        self.entity = seller()
        self.user = User.objects.create_user(f"payer{next(_numbers)}@example.com")
        self.paid: list[Paid] = []
        self.given: list[LedgerEntry] = []
        self.final: dict[int, str] = {}
        self.tries = 0

    def before_step(self) -> None:
        self._wait(dt.timedelta(seconds=1))

    def _wait(self, duration: dt.timedelta) -> None:
        self.clock += duration
        Balance.objects.filter(pk=self.wallet_id).update(closed_through=self.clock)

    @property
    def wallet(self) -> Balance:
        return Balance.objects.select_related("tenant").get(pk=self.wallet_id)

    @property
    def has(self) -> int:
        """Of the model."""
        return self.available[self.wallet_id]

    @contextmanager
    def _posting(self) -> Iterator[Posted]:
        """What the wallet's ledger got inside the block is in the list after it, and in the model."""
        posted: Posted = []
        entries = LedgerEntry.objects.filter(balance=self.wallet_id).order_by("pk")
        last = entries.values_list("pk", flat=True).last() or 0
        yield posted
        posted += entries.filter(pk__gt=last).values_list("kind", "amount")
        self.available[self.wallet_id] += sum(amount for _kind, amount in posted)

    # --- payments ---

    @rule(cents=st.integers(1, 400))
    def order_is_paid(self, cents: int) -> None:
        order = orders.place(
            tenant=self.account.tenant, gateway=Gateway.STRIPE, amount=cents * CENT, created_by=self.user
        )
        checkout.begin(order, back="http://testserver/", payer=self.user)
        order.refresh_from_db()
        intent = self.gateway.pay(str(order.session_id))
        told = self.gateway.event("payment_intent.succeeded", intent)
        with self._posting() as posted:
            assert self._tell(told) == Outcome.BOOKED
        bonus = [("grant", cents * CENT * 7 // 100)]
        assert posted == [("top_up", cents * CENT), *bonus]
        self.paid.append(Paid(order.pk, str(intent["id"]), told, cents))

    def _tell(self, body: bytes) -> Outcome:
        return events.receive(body, payers.signed(body))

    def has_paid(self) -> bool:
        return bool(self.paid)

    @precondition(has_paid)
    @rule(pick=PICK, is_same=st.booleans())
    def payment_is_told_again(self, pick: int, is_same: bool) -> None:
        """By the same event, or by another one about the same payment."""
        one = self.paid[pick % len(self.paid)]
        again = self.gateway.event("payment_intent.succeeded", self.gateway.objects[one.payment])
        with self._posting() as posted:
            assert self._tell(one.told if is_same else again) == (Outcome.SEEN if is_same else Outcome.BOOKED)
        assert posted == []

    @precondition(has_paid)
    @rule(pick=PICK, percent=st.integers(1, 130), may_overdraw=st.booleans())
    def refund_is_asked_for(self, pick: int, percent: int, may_overdraw: bool) -> None:
        one = self.paid[pick % len(self.paid)]
        order = PaymentOrder.objects.get(pk=one.id)
        amount = max(1, order.received * percent // 100)
        with self._posting() as posted:
            try:
                made = refunds.request(order, amount=amount, reason="test", by=self.user, may_overdraw=may_overdraw)
            except PaymentRefused:
                assert amount > one.left
            else:
                assert amount <= one.left
                one.left -= amount
                one.refunds.append(made.pk)
        assert posted == []

    def _refund(self, pick: int, *states: str) -> tuple[Paid, PaymentRefund] | None:
        found = [
            (one, row)
            for one in self.paid
            for row in [PaymentRefund.objects.select_related("order__tenant").get(pk=pk) for pk in one.refunds]
            if row.state in states
        ]
        return found[pick % len(found)] if found else None

    @precondition(has_paid)
    @rule(pick=PICK)
    def refund_is_approved(self, pick: int) -> None:
        if (found := self._refund(pick, "requested")) is None:
            return
        _one, refund = found
        taken = refund.amount * CENT
        fits = refund.may_overdraw or self.has >= taken
        with self._posting() as posted:
            try:
                refunds.approve(refund, by=self.user)
            except InsufficientFunds:
                assert not fits
            else:
                assert fits
        refund.refresh_from_db()
        bonus = [("adjustment", -refund.taken_bonus)] if refund.taken_bonus else []
        assert posted == ([("refund", -taken), *bonus] if fits else [])

    @precondition(has_paid)
    @rule(pick=PICK)
    def refund_is_rejected(self, pick: int) -> None:
        if (found := self._refund(pick, "requested")) is None:
            return
        one, refund = found
        with self._posting() as posted:
            refunds.reject(refund, by=self.user, reason="test")
        one.left += refund.amount
        assert posted == []

    @precondition(has_paid)
    @rule(pick=PICK)
    def refund_is_sent(self, pick: int) -> None:
        if (found := self._refund(pick, "approved")) is None:
            return
        _one, refund = found
        with self._posting() as posted:
            refunds.send(refund)
        assert posted == []
        refund.refresh_from_db()
        assert refund.state == "done"

    @precondition(has_paid)
    @rule(pick=PICK)
    def refund_does_not_arrive(self, pick: int) -> None:
        if (found := self._refund(pick, "done")) is None:
            return
        one, refund = found
        sent = self.gateway.objects[str(refund.external_id)]
        sent["status"] = "failed"
        with self._posting() as posted:
            self._tell(self.gateway.event("refund.failed", sent))
        back = [amount for amount in (refund.taken, refund.taken_bonus) if amount]
        assert posted == [("adjustment", amount) for amount in back]
        one.left += refund.amount

    @precondition(has_paid)
    @rule(pick=PICK, percent=PERCENT)
    def gateway_gives_back_by_itself(self, pick: int, percent: int) -> None:
        """Somebody does it in the dashboard, of what is not on its way back already; the wallet may be overdrawn."""
        one = self.paid[pick % len(self.paid)]
        if not one.left:
            return
        amount = max(1, one.left * percent // 100)
        sent = self.gateway.give_back(one.payment, amount)
        with self._posting() as posted:
            assert self._tell(self.gateway.event("charge.refunded", sent | {"payment_intent": one.payment})) == (
                Outcome.BOOKED
            )
        assert posted[0] == ("refund", -amount * CENT)
        one.left -= amount
        one.refunds.append(PaymentRefund.objects.get(external_id=sent["id"]).pk)

    @precondition(has_paid)
    @rule(pick=PICK, percent=PERCENT)
    def payment_is_disputed(self, pick: int, percent: int) -> None:
        one = self.paid[pick % len(self.paid)]
        amount = min(one.left, max(1, PaymentOrder.objects.get(pk=one.id).received * percent // 100))
        if not amount:
            return
        dispute = self.gateway.take_back(one.payment, amount)
        with self._posting() as posted:
            self._tell(self.gateway.event("charge.dispute.created", dispute))
            self._tell(self.gateway.event("charge.dispute.funds_withdrawn", dispute))
        assert posted == [("refund", -amount * CENT)]
        one.left -= amount
        one.disputes.append((str(dispute["id"]), amount))

    @precondition(lambda self: any(one.disputes for one in self.paid))
    @rule(pick=PICK, is_won=st.booleans())
    def dispute_ends(self, pick: int, is_won: bool) -> None:
        disputed = [one for one in self.paid if one.disputes]
        one = disputed[pick % len(disputed)]
        name, amount = one.disputes.pop(0)
        self.gateway.objects[name]["status"] = "won" if is_won else "lost"
        told = self.gateway.event("charge.dispute.closed", self.gateway.objects[name])
        with self._posting() as posted:
            self._tell(told)
            self._tell(told)
        assert posted == ([("adjustment", amount * CENT)] if is_won else [])
        one.left += amount if is_won else 0
        if not is_won:
            one.lost.append((name, amount))

    @precondition(lambda self: any(one.lost for one in self.paid))
    @rule(pick=PICK, is_told_so=st.booleans())
    def lost_dispute_is_given_back_after_all(self, pick: int, is_told_so: bool) -> None:
        lost = [one for one in self.paid if one.lost]
        one = lost[pick % len(lost)]
        name, amount = one.lost.pop(0)
        dispute = self.gateway.objects[name]
        if is_told_so:
            dispute["status"] = "won"
        else:
            self.gateway.reinstate(dispute, amount)
        with self._posting() as posted:
            for type_ in ("charge.dispute.funds_reinstated", "charge.dispute.closed"):
                self._tell(self.gateway.event(type_, dispute))
        assert posted == [("adjustment", amount * CENT)]
        one.left += amount

    # --- what the house gives, corrects and takes back ---

    @rule(amount=st.integers(1, 300), priority=st.integers(-1, 1), days=st.one_of(st.none(), st.integers(1, 40)))
    def credit_is_granted(self, amount: int, priority: int, days: int | None) -> None:
        ends = None if days is None else self.clock + dt.timedelta(days=days)
        with self._posting() as posted:
            entry = grants.give(
                balance=self.wallet, amount=amount * self.UNIT, reference=secrets.token_hex(8), priority=priority,
                expires_at=ends,
            )  # fmt: skip
        assert posted == [("grant", amount * self.UNIT)]
        self.given.append(entry)

    @rule(amount=st.integers(1, 300), days=st.one_of(st.none(), st.integers(1, 40)), is_known=st.booleans())
    def code_is_redeemed(self, amount: int, days: int | None, is_known: bool) -> None:
        """Once: the second time counts as a wrong one, as does a code that nobody made."""
        batch = CodeBatch(label="test", amount=amount * self.UNIT, currency="USD", number=1, grant_days=days)
        (code,) = codes.make(batch)
        may, is_good = self.tries < _TRIES, self.tries < _TRIES and is_known
        with self._posting() as posted:
            assert self._redeems(code if is_known else codes.grouped(codes.generate())) is is_good
            assert not self._redeems(code if is_known else "")
        assert posted == ([("grant", amount * self.UNIT)] if is_good else [])
        self.tries += (1 if is_known else 2) if may else 0

    def _redeems(self, code: str) -> bool:
        try:
            self.given.append(codes.redeem(code, balance=self.wallet, user=self.user))
        except codes.CannotRedeem:
            return False
        return True

    @precondition(lambda self: self.given)
    @rule(pick=PICK)
    def grant_is_voided(self, pick: int) -> None:
        grant = self.given[pick % len(self.given)]
        with self._posting() as posted:
            try:
                entry = grants.void(grant, note="test", created_by=None, now=self.clock + MOMENT)
            except Conflict:
                return
            assert grants.void(grant, note="again", created_by=None, now=self.clock + MOMENT) == entry
        assert Lot.objects.get(pk=grant.pk).rest == 0
        assert posted in ([], [("grant", entry.amount)])
        assert -grant.amount <= entry.amount < 0

    @rule(amount=st.integers(1, 100), kind=st.sampled_from([Kind.ADJUSTMENT, Kind.WRITE_OFF]))
    def mistake_is_made_good(self, amount: int, kind: LedgerEntry.Kind) -> None:
        with self._posting() as posted:
            ledger.post(balance=self.wallet, kind=kind, amount=amount * self.UNIT, reference=secrets.token_hex(8))
        assert posted == [(kind, amount * self.UNIT)]

    @rule(amount=st.integers(0, 300))
    def credit_line_is_set(self, amount: int) -> None:
        more = amount * self.UNIT - self.wallet.credit_line
        try:
            ledger.set_credit_line(balance=self.wallet, credit_line=amount * self.UNIT)
        except InsufficientFunds:
            assert self.has + more < 0
        else:
            assert self.has + more >= 0 or more >= 0
            self.available[self.wallet_id] += more

    @rule()
    def grants_expire(self) -> None:
        with self._posting() as posted:
            grants.expire_due(self.clock + MOMENT)
        assert all(kind == "expiry" and amount < 0 for kind, amount in posted)

    @rule()
    def usage_is_drawn(self) -> None:
        grants.draw(self.wallet, self.clock + MOMENT)

    # --- months ---

    @rule(days=st.integers(1, 20))
    def time_goes_by(self, days: int) -> None:
        self._wait(dt.timedelta(days=days))

    @rule(hours=st.integers(1, 100))
    def month_ends(self, hours: int) -> None:
        wallet = self.wallet
        end = closing.next_end(closing.last_period(wallet), wallet.tenant)
        if end > self.clock:
            self._wait(end - self.clock)
        self._wait(dt.timedelta(hours=hours))
        self._end_months()
        while rollups.advance(self.clock):
            pass

    @rule(amount=st.integers(1, 200))
    def threshold_is_looked_at(self, amount: int) -> None:
        self._end_months(amount * self.UNIT if self._is_postpaid() else None)

    def _end_months(self, threshold: int | None = None) -> None:
        jobs.close(self.wallet, threshold, self.clock)
        assert jobs.close(self.wallet, None, self.clock) == []
        assert drafts.undrafted(self.wallet_id) == []

    def _is_postpaid(self) -> bool:
        return BillingProfile.of(self.account.tenant).billed == BillingProfile.Billed.POSTPAID

    @rule(billed=st.sampled_from(BillingProfile.Billed))
    def billing_changes(self, billed: str) -> None:
        BillingProfile.objects.update_or_create(
            tenant=self.account.tenant, defaults={"name": "buyer", "billed": billed}
        )

    @rule(zone=st.sampled_from(["UTC", "Asia/Ho_Chi_Minh", "America/St_Johns", "Australia/Lord_Howe"]))
    def zone_changes(self, zone: str) -> None:
        Tenant.objects.filter(pk=self.account.tenant.pk).update(time_zone=zone)

    # --- documents ---

    @property
    def _documents(self) -> list[Invoice]:
        rows = Invoice.objects.filter(tenant=self.account.tenant).select_related("period__wallet", "period__tenant")
        return list(rows.order_by("pk"))

    def _document(self, pick: int) -> Invoice | None:
        found = self._documents
        return found[pick % len(found)] if found else None

    @rule(pick=PICK)
    def draft_is_made_anew(self, pick: int) -> None:
        document = self._document(pick)
        if document is not None and document.state != "void":
            again = drafts.draft(document.period)
            assert again is not None
            assert (again.pk, again.content_hash) == (document.pk, document.content_hash)

    @rule(pick=PICK)
    def document_becomes_final(self, pick: int) -> None:
        document = self._document(pick)
        if document is not None:
            done = finalising.finalise(document.pk, self.clock)
            self.final.setdefault(done.pk, done.snapshot_hash)
            assert finalising.finalise(document.pk, self.clock).number == done.number

    @rule(pick=PICK)
    def invoice_is_paid(self, pick: int) -> None:
        document = self._document(pick)
        if document is None:
            return
        with self._posting() as posted:
            try:
                paid = paying.pay(document.pk, reason="test", now=self.clock)
            except InvoiceConflict:
                is_payable = (document.state, document.kind, document.is_settled) == ("final", "invoice", False)
                assert not is_payable or PaymentOrder.objects.filter(tenant=document.tenant, state="open").exists()
                return
        net = (
            paid.document["subtotal"]
            - paid.from_wallet
            + paid.owed
            - sum(note.credited for note in paid.credit_notes.all())
        )
        assert paid.payment.from_wallet + paid.payment.posted == max(0, net) * CENT
        assert posted == ([("top_up", paid.payment.posted)] if paid.payment.posted else [])

    @rule(pick=PICK)
    def document_is_voided_and_drafted_anew(self, pick: int) -> None:
        document = self._document(pick)
        if document is None:
            return
        with self._posting() as posted:
            try:
                finalising.void(document.pk, reason="test", now=self.clock)
            except InvoiceConflict:
                return
            (again,) = jobs.close(self.wallet, None, self.clock)
        assert posted == []
        assert (again.opening, again.closing, again.used) == (document.opening, document.closing, document.used)

    @rule(pick=PICK, line=PICK, percent=st.integers(1, 110))
    def credit_note_is_issued(self, pick: int, line: int, percent: int) -> None:
        document = self._document(pick)
        if document is None or document.state not in {"final", "paid"} or not document.document["lines"]:
            return
        rest = crediting.left(document)
        place = line % len(document.document["lines"])
        amount = rest.lines[place] * percent // 100
        effect = CreditNote.Effect.WALLET if document.is_settled else CreditNote.Effect.OFFSET
        with self._posting() as posted:
            try:
                note = crediting.credit(document.pk, lines={place: amount}, effect=effect, reason="test")
            except InvoiceConflict:
                assert rest.total <= 0 or not 0 < amount <= rest.lines[place] + 1
                return
        credited = note.total if document.is_settled else note.credited
        assert posted == ([("adjustment", credited * CENT)] if credited else [])
        assert 0 < note.total <= rest.total

    # --- what holds after every step ---

    @invariant()
    def requests_overdraw_nothing(self) -> None:
        """Refunds and disputes may; the books' own machine shows that requests do not."""

    @invariant()
    def lots_are_what_the_wallet_has(self) -> None:
        wallet = self.wallet
        course = Course(wallet, Drawing.objects.filter(balance=wallet).first())
        course.advance(self.clock + MOMENT)
        held = Reservation.objects.filter(tenant=wallet.tenant_id).aggregate(sum=Sum("amount"))["sum"] or 0
        rests = sum(lot.rest for lot in course.pool.lots.values())
        assert rests - course.pool.owed == wallet.available + held - wallet.credit_line
        assert 0 in (rests, course.pool.owed)
        assert all(0 <= lot.rest <= lot.amount for lot in course.pool.lots.values())

    @invariant()
    def nobody_gets_back_more_than_was_paid(self) -> None:
        for one in self.paid:
            order = PaymentOrder.objects.get(pk=one.id)
            assert order.refundable == one.left >= 0
            live = order.refunds.exclude(state__in=("failed", "rejected"))
            sums = live.aggregate(taken=Sum("taken"), bonus=Sum("taken_bonus"))
            assert (sums["taken"] or 0) <= order.credited
            assert (sums["bonus"] or 0) <= order.bonus

    @invariant()
    def documents_follow_each_other(self) -> None:
        """Opening + movements - used = closing = the next one's opening, and what came after is what the wallet has."""
        rows = {row.period_id: row for row in self._documents if row.state != "void"}
        periods = list(BillingPeriod.objects.filter(wallet=self.wallet_id).order_by("pk"))
        balance, before = periods[0].opening or 0, periods[0].ends_at
        for period in periods[1:]:
            assert period.starts_at == before
            posted = period.entries.aggregate(sum=Sum("entry__amount"))["sum"] or 0
            used = self._used(settled_at__gte=period.starts_at, settled_at__lt=period.ends_at)
            document = rows.get(period.pk)
            if document is not None:
                assert (document.opening, document.used) == (balance, used)
                assert document.closing == balance + posted - used
            balance, before = balance + posted - used, period.ends_at
        wallet = self.wallet
        open_ = LedgerEntry.objects.filter(balance=wallet).exclude(period__period__in=periods)
        balance += (open_.aggregate(sum=Sum("amount"))["sum"] or 0) - self._used(settled_at__gte=before)
        held = Reservation.objects.filter(tenant=wallet.tenant_id).aggregate(sum=Sum("amount"))["sum"] or 0
        assert balance == wallet.available + held - wallet.credit_line

    def _used(self, **when: Any) -> int:
        rows = UsageRecord.objects.filter(tenant=self.account.tenant, **when)
        return int(rows.aggregate(sum=Sum("cost"))["sum"] or 0)

    @invariant()
    def papers_add_up_and_stay(self) -> None:
        for row in self._documents:
            if row.is_draft:
                continue
            paper = row.document
            assert row.snapshot_hash == self.final.setdefault(row.pk, row.snapshot_hash)
            assert sum(line["amount"] for line in paper["lines"]) == paper["subtotal"]
            assert paper["net"] + sum(tax["amount"] for tax in paper["taxes"]) == paper["total"] == row.total
            assert sum(key["amount"] for key in paper["keys"]) <= paper["subtotal"] + 1
            if row.kind == "statement":
                shown = paper["balance"]
                moved = sum(each["amount"] for each in shown["movements"])
                assert shown["opening"] + moved - paper["subtotal"] == shown["closing"]
            else:
                lines = sum(line["exact"] for line in paper["lines"])
                assert rounding.to_ledger(paper["subtotal"], "USD") + row.carried == lines
            assert sum(row.credit_notes.values_list("total", flat=True)) <= max(0, paper["total"])

    @invariant()
    def numbers_have_no_gap(self) -> None:
        """Of each kind and year."""
        notes = CreditNote.objects.filter(invoice__tenant=self.account.tenant).values_list("number", flat=True)
        series: dict[str, list[int]] = {}
        for number in [*notes, *(row.number for row in self._documents if row.number)]:
            series.setdefault(number[:-5], []).append(int(number[-5:]))
        assert all(sorted(found) == list(range(1, len(found) + 1)) for found in series.values())

    @invariant()
    def reconciliation_finds_nothing(self) -> None:
        mine = {None, self.account.tenant.pk}
        found = [each for result in reconciliation.compared() for each in result.findings if each.tenant_id in mine]
        assert found == []

    # --- its end ---

    def teardown(self) -> None:
        self.before_step()
        super().teardown()
        self._wait(dt.timedelta(seconds=1))
        grants.draw(self.wallet, self.clock)
        grants.draw(self.wallet, self.clock + MOMENT)
        self.lots_are_what_the_wallet_has()
        assert grants.differences(of=self.wallet) == []
        for record in UsageRecord.objects.filter(tenant=self.account.tenant):
            assert sum(amount for _lot, amount in grants.paid_by(record)) == record.cost

    def story(self) -> list[object]:
        """Ledger, draws, records, periods and documents, without what a database or a process makes up."""
        entries = list(LedgerEntry.objects.filter(balance=self.wallet_id).order_by("pk"))
        place = {entry.pk: number for number, entry in enumerate(entries)}
        draws = Draw.objects.filter(balance=self.wallet_id).order_by("pk")
        periods = BillingPeriod.objects.filter(wallet=self.wallet_id).order_by("pk")
        return [
            [(row.kind, row.amount, row.contra, row.priority, place.get(row.of_id or 0)) for row in entries],
            # Without their moments: the first begin with an entry, which is dated by the wall's clock.
            [(place.get(row.lot_id or 0), row.amount, place.get(row.entry_id or 0)) for row in draws],
            [(request.state, request.claimed, request.cost) for request in self.all],
            [(row.month, row.cut, row.starts_at, row.ends_at, row.is_postpaid) for row in periods],
            [self._told(row) for row in self._documents],
        ]

    def _told(self, row: Invoice) -> tuple[object, ...]:
        number = (row.number or "").partition("-")[2]
        figures = (row.kind, row.state, number, row.opening, row.closing, row.used, row.carried, row.total)
        lines = [(line["kind"], line["quantity"], line["exact"]) for line in row.content["lines"]]
        notes = [(note.effect, note.net, note.total) for note in row.credit_notes.order_by("number")]
        return *figures, lines, notes


@pytest.fixture
def till(settings: Settings) -> Iterator[None]:
    """A card gateway that takes any amount, with a bonus."""
    settings.TOP_UP_MIN, settings.TOP_UP_BONUS_PERCENT = {"USD": "0.01", "VND": "1"}, 7
    with payers.configured(settings) as running:
        MoneyMachine.gateway = running
        yield


def _taxes() -> None:
    for name, percent, is_inclusive in (("VAT", "8.25", False), ("Levy", "2", True)):
        TaxRate.objects.create(
            jurisdiction="VN", name=name, percent=percent, is_inclusive=is_inclusive, starts_on=dt.date(2026, 1, 1)
        )


def _play(began: dt.datetime, script: list[tuple[str, dict[str, Any]]]) -> list[object]:
    """What a machine that does all of this leaves."""
    machine = MoneyMachine(began)
    checks: list[Callable[[], None]] = [getattr(machine, name) for name in _CHECKS]
    for name, drawn in script:
        getattr(machine, name)(**drawn)
        for check in checks:
            check()
    machine.teardown()
    return machine.story()


class _Recorded(MoneyMachine):
    """Has a database to itself, which the invariants read whole, and leaves its script and story behind."""

    def __init__(self, database: Callable[[], AbstractContextManager[None]], kept: list[_Kept]) -> None:
        self.entered = ExitStack()
        self.entered.enter_context(database())
        _taxes()
        super().__init__()
        self.kept = kept

    def teardown(self) -> None:
        with self.entered:
            super().teardown()
            self.kept.append((self.began, self.script, self.story()))


def _run_on_both(
    steps: int,
    examples: int,
    phases: tuple[Phase, ...],
    postgres: PostgresDatabases,
    sqlite: SqliteDatabases,
    blocker: DjangoDbBlocker,
) -> None:
    kept: list[_Kept] = []

    def database() -> AbstractContextManager[None]:
        return default_database(sqlite.migrated(), blocker)

    run_state_machine_as_test(
        cast("type[_Recorded]", partial(_Recorded, database, kept)),
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, phases=phases, print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    assert len(kept) >= examples
    for began, script, story in kept:
        with default_database(postgres.migrated(), blocker):
            _taxes()
            assert _play(began, script) == story


def test_any_order_of_money_usage_and_months_adds_up_alike_on_both_databases(
    till: None,
    postgres_databases: PostgresDatabases,
    sqlite_databases: SqliteDatabases,
    django_db_blocker: DjangoDbBlocker,
) -> None:
    phases = (Phase.reuse, Phase.generate)
    _run_on_both(30, 1, phases, postgres_databases, sqlite_databases, django_db_blocker)


@pytest.mark.chaos
def test_any_order_of_money_usage_and_months_adds_up_alike_on_both_databases_for_long(
    till: None,
    postgres_databases: PostgresDatabases,
    sqlite_databases: SqliteDatabases,
    django_db_blocker: DjangoDbBlocker,
) -> None:
    phases = (Phase.reuse, Phase.generate, Phase.shrink)
    _run_on_both(60, 60, phases, postgres_databases, sqlite_databases, django_db_blocker)
