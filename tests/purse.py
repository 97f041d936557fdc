"""A wallet with a clock of its own, for what depends on the order of money and usage."""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from typing import Any

from django.db.models import F, QuerySet

from accounts.models import Tenant
from billing import balances, grants, ledger
from billing.grants import Standing
from billing.models import (
    ArchivedUse,
    Balance,
    Draw,
    Drawing,
    LedgerEntry,
    Lot,
    Price,
    Reservation,
    UsageArchive,
    UsageRecord,
)

EPOCH = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
"""Far enough in the past that nothing real interferes."""


class Purse:
    """Everything happens at `now`, which `wait` moves; usage takes its cost from the wallet as the books do."""

    def __init__(self, currency: str = "USD") -> None:
        self.now = EPOCH
        self.tenant = Tenant.objects.create(name=f"purse {secrets.token_hex(4)}", currency=currency)
        self.wallet = balances.open_wallet(self.tenant)
        self.price = Price.objects.create(model=secrets.token_hex(8), input=1, output=1)

    # --- what happens ---

    def wait(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)

    def post(self, kind: LedgerEntry.Kind, amount: int, **fields: Any) -> LedgerEntry:
        """As `ledger.post` does, at the purse's time; a second goes by."""
        self.wait(1)
        entry = LedgerEntry.objects.create(
            balance=self.wallet, kind=kind, amount=amount, reference=secrets.token_hex(8), created_at=self.now, **fields
        )
        self._move(amount)
        return entry

    def allow(self, credit_line: int) -> None:
        ledger.set_credit_line(balance=self.wallet, credit_line=credit_line)

    def use(self, cost: int, *, after: float = 0) -> UsageRecord:
        self.wait(after)
        self._move(-cost)
        return self._record(uuid.uuid4(), cost, self.now)

    def hold(self, amount: int) -> Reservation:
        self._move(-amount)
        return Reservation.objects.create(
            id=uuid.uuid4(), legs=[self.wallet.pk], amount=amount, owner=uuid.uuid4(), tenant=self.tenant,
            api_key_id=1, endpoint="chat.completions", model="m", price_id=self.price.pk, created_at=self.now,
        )  # fmt: skip

    def settle(self, held: Reservation, cost: int, settled_at: dt.datetime | None = None) -> UsageRecord:
        """Appears now, whenever it says that it settled."""
        id_ = held.pk
        Reservation.objects.filter(pk=id_).delete()
        self._move(held.amount - cost)
        return self._record(id_, cost, settled_at or self.now)

    def archive(self, cost: int) -> None:
        """Usage of which the books have a sum alone."""
        row = UsageArchive.objects.create(table=secrets.token_hex(8), ends=self.now, records=1)
        ArchivedUse.objects.create(archive=row, balance=self.wallet, cost=cost)
        self._move(-cost)

    def _move(self, amount: int) -> None:
        Balance.objects.filter(pk=self.wallet.pk).update(available=F("available") + amount)

    def _record(self, id_: uuid.UUID, cost: int, settled_at: dt.datetime) -> UsageRecord:
        return UsageRecord.objects.create(
            id=id_, tenant=self.tenant, legs=[self.wallet.pk], api_key_id=1, endpoint="chat.completions",
            requested_model="m", model="m", price=self.price, currency=self.tenant.currency, outcome="success",
            status=200, usage_source="upstream", cost=cost, held=cost, claimed_cost=cost, duration_ms=1,
            started_at=settled_at - dt.timedelta(milliseconds=1), settled_at=settled_at,
        )  # fmt: skip

    # --- what is made of it ---

    def draw(self) -> Purse:
        """Everything until now, the present instant too."""
        self.wait(0.001)
        grants.draw(self.wallet, self.now)
        return self

    def run(self) -> int:
        """The job, of which this wallet is the only one that counts."""
        before = Drawing.objects.filter(balance=self.wallet).values_list("until", flat=True).first()
        grants.draw_due(self.now)
        return int(Drawing.objects.filter(balance=self.wallet).values_list("until", flat=True).first() != before)

    def expire(self) -> int:
        count = self.ledger.filter(kind=LedgerEntry.Kind.EXPIRY).count()
        grants.expire_due(self.now)
        return self.ledger.filter(kind=LedgerEntry.Kind.EXPIRY).count() - count

    def void(self, grant: LedgerEntry) -> LedgerEntry:
        return grants.void(grant, note="test", created_by=None, now=self.now + dt.timedelta(milliseconds=1))

    def mend(self) -> None:
        """After a test that broke something on purpose: the rest is what the draws say."""
        for draw in Draw.objects.filter(balance=self.wallet, since=None, record=None, entry=None):
            Draw.objects.create(balance=self.wallet, lot=draw.lot, amount=-draw.amount, at=draw.at)
        for lot in Lot.objects.filter(balance=self.wallet):
            drawn = sum(lot.draws.values_list("amount", flat=True))
            Lot.objects.filter(pk=lot.pk).update(rest=lot.amount - drawn)

    # --- what came of it ---

    @property
    def ledger(self) -> QuerySet[LedgerEntry]:
        return LedgerEntry.objects.filter(balance=self.wallet).order_by("pk")

    @property
    def available(self) -> int:
        return Balance.objects.get(pk=self.wallet.pk).available

    def entries(self) -> list[tuple[str, int]]:
        return list(self.ledger.values_list("kind", "amount"))

    def draws(self) -> list[tuple[int | None, int]]:
        return list(Draw.objects.filter(balance=self.wallet).order_by("pk").values_list("lot", "amount"))

    def last_lot(self) -> int | None:
        return self.draws()[-1][0]

    def rest(self, entry: LedgerEntry) -> int:
        return Lot.objects.get(pk=entry.pk).rest

    def standing(self) -> Standing:
        return grants.standing(self.wallet)

    def assert_adds_up(self, *, alone: bool = False) -> None:
        """And so do all others, unless it is asked of this one `alone`."""
        found = self.standing()
        assert found.paid + found.granted - found.owed == found.available + found.held - found.credit_line
        assert grants.differences(of=self.wallet if alone else None) == []
        assert [
            row for row in ledger.accounts() if row.difference and (row.balance_id == self.wallet.pk or not alone)
        ] == []
