"""What an app is told of its money: its key's spending, its tenant's credits, one request afterwards.

Read off the event loop (accounts/database.py). Amounts are ledger units of the tenant's currency.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import ApiKey
from billing import balances, corrections, quotas, spending
from billing.models import Balance, LedgerEntry, Quota, Reservation, UsageRecord
from billing.spending import EARLIEST, LATEST

_PATIENCE: Final = 0.25
_PAUSE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Spending:
    """What a key has spent, in all and since the day, week (from Monday) and month began (UTC)."""

    total: int
    today: int
    this_week: int
    this_month: int


@dataclass(frozen=True, slots=True)
class KeyStatement:
    """A key, what it has spent, and what it can spend now: the least of its balances, with that balance's kind."""

    api_key: ApiKey
    spending: Spending
    spendable: int
    limited_by: str
    """`wallet`, or a quota by its name (`Quota.name`)."""
    quotas: Sequence[quotas.Standing]
    has_bought: bool
    """Whether its tenant has ever paid money in."""


@dataclass(frozen=True, slots=True)
class RequestStatement:
    """A settled request, and what it cost later beyond its record, because its outcome came late."""

    record: UsageRecord
    corrected: int

    @property
    def cost(self) -> int:
        return self.record.cost + self.corrected


@dataclass(frozen=True, slots=True)
class Credits:
    """A wallet: what was put in, what requests took out, and what is there now."""

    total: int
    used: int
    held: int
    available: int


def of_key(key_id: int, legs: Sequence[int], session_quotas: Sequence[int] = ()) -> KeyStatement:
    """Raises ApiKey.DoesNotExist for a key that is gone. A quota per session stands as a session that begins."""
    api_key = ApiKey.objects.select_related("tenant").get(pk=key_id)
    rows = list(Balance.objects.filter(pk__in=legs).select_related("quota__tenant").order_by("available", "pk"))
    least = rows[0] if rows else None
    standings = [quotas.standing(row.quota, row) for row in sorted(rows, key=lambda row: row.pk) if row.quota]
    per_session = Quota.objects.filter(pk__in=session_quotas, ended_at=None).select_related("tenant").order_by("pk")
    return KeyStatement(
        api_key=api_key,
        spending=_spending(api_key, timezone.now()),
        spendable=max(0, least.available) if least else 0,
        limited_by=least.quota.name if least and least.quota else Balance.Kind.WALLET,
        quotas=[*standings, *(quotas.Standing(quota, 0, None) for quota in per_session)],
        has_bought=LedgerEntry.objects.filter(
            balance__tenant=api_key.tenant, kind=LedgerEntry.Kind.TOP_UP
        ).exists(),
    )  # fmt: skip


def _spending(api_key: ApiKey, now: dt.datetime) -> Spending:
    today = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday, first = today - dt.timedelta(days=today.weekday()), today.replace(day=1)
    chosen = {"tenant": api_key.tenant_id, "api_key": api_key.pk}
    rows = list(spending.added_up(chosen, min(monday, first), LATEST, ("starts_at",)))
    earlier = spending.added_up(chosen, EARLIEST, min(monday, first), ("currency",))

    def since(moment: dt.datetime) -> int:
        return sum(row["cost"] for row in rows if row["starts_at"] >= moment)

    total = sum(row["cost"] for row in (*earlier, *rows))
    return Spending(total, since(today), since(monday), since(first))


def of_wallet(tenant_id: int) -> Credits:
    """In one statement, so that it adds up: what was used is what is missing (billing/README.md, invariant 1)."""
    entries = LedgerEntry.objects.filter(balance=OuterRef("pk")).order_by().values("balance")
    holds = Reservation.objects.filter(tenant=OuterRef("tenant")).order_by().values("tenant")
    row = (
        balances.wallets()
        .filter(tenant=tenant_id)
        .annotate(
            total=Coalesce(Subquery(entries.annotate(sum=Sum("amount")).values("sum")), 0),
            held=Coalesce(Subquery(holds.annotate(sum=Sum("amount")).values("sum")), 0),
        )
        .annotate(used=F("credit_line") + F("total") - F("available") - F("held"))
        .values("total", "used", "held", "available")
        .first()
    )
    return Credits(**row) if row else Credits(0, 0, 0, 0)


def of_request(tenant_id: int, request_id: uuid.UUID) -> RequestStatement | None:
    """A settled request of the tenant; waits a moment for one whose money is still held."""
    record = _settled(tenant_id, request_id)
    return None if record is None else RequestStatement(record, corrections.of(record))


def _settled(tenant_id: int, request_id: uuid.UUID) -> UsageRecord | None:
    deadline = time.monotonic() + _PATIENCE
    records = UsageRecord.objects.filter(tenant=tenant_id, pk=request_id)
    while True:
        record = records.first()
        if record is not None or time.monotonic() > deadline:
            return record
        if not Reservation.objects.filter(tenant=tenant_id, pk=request_id).exists():
            return records.first()  # it may have been settled between the two looks
        time.sleep(_PAUSE)
