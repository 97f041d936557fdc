"""What pages show of money and requests. Read-only; every query is bound to one tenant."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet, Sum

from accounts.models import Tenant
from billing import balances, spending
from billing.models import Price, Reservation, UsageRecord
from billing.spending import LATEST

_JSON = ("decision", "attempts")
_LOOKED_THROUGH: Final = 10_000
"""Requests at once, for a filter that no index serves."""
_POLLED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Figures:
    """A tenant's money now; amounts in ledger units. Days and months are those of the tenant's time zone."""

    currency: str
    spendable: int
    held: int
    spent_today: int
    spent_this_month: int
    requests_today: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests to list; None and "" let everything pass. Days are the tenant's, both included."""

    api_key_id: int | None = None
    model: str = ""
    outcome: str = ""
    first_day: dt.date | None = None
    last_day: dt.date | None = None

    @property
    def is_looked_for(self) -> bool:
        """Whether no index says which requests pass: they are looked for among all of the tenant's."""
        return self.api_key_id is not None or bool(self.model or self.outcome)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of the list ends: the next one begins after this request."""

    started_at: dt.datetime
    id: uuid.UUID

    def __str__(self) -> str:
        return f"{self.started_at.astimezone(dt.UTC).strftime('%Y%m%d%H%M%S%f')}-{self.id.hex}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """The position that `str` wrote; None for anything else."""
        moment, _dash, request_id = text.partition("-")
        try:
            started_at = dt.datetime.strptime(moment, "%Y%m%d%H%M%S%f").replace(tzinfo=dt.UTC)
            return cls(started_at, uuid.UUID(hex=request_id))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Some requests, newest first, and the position of the next page if there is one."""

    records: list[UsageRecord]
    following: Position | None
    looked_through: int | None = None
    """Of how many requests those are, where there are more to look through."""


def figures(tenant: Tenant, now: dt.datetime) -> Figures:
    """What the tenant can spend and has spent; money is spent when its request is settled, as on invoices."""
    wallet = balances.wallet_of(tenant)
    if wallet is None:
        return Figures(tenant.currency, 0, 0, 0, 0, 0)
    today, first = start_of_today(tenant, now), start_of_day(tenant, _local_day(tenant, now).replace(day=1))
    month = list(spending.added_up({"tenant": tenant}, first, LATEST, ("starts_at",)))
    of_today = [row for row in month if row["starts_at"] >= today]
    held = Reservation.objects.filter(tenant=tenant).aggregate(sum=Sum("amount"))["sum"]
    return Figures(
        currency=wallet.currency,
        spendable=wallet.available,
        held=held or 0,
        spent_today=sum(row["cost"] for row in of_today),
        spent_this_month=sum(row["cost"] for row in month),
        requests_today=sum(row["requests"] for row in of_today),
    )


def requests(
    tenant: Tenant,
    chosen: Filter,
    *,
    after: Position | None = None,
    limit: int,
    looked_through: int = _LOOKED_THROUGH,
) -> RequestPage:
    """At most `limit` requests of the tenant that pass the filter, newest first, from a position on.

    What no index finds is looked for among the next `looked_through` requests; the next page goes on from there. The
    requests' routing decision and attempts are not loaded.
    """
    within = _after(_within(tenant, chosen), after)
    end = _position(within, looked_through) if chosen.is_looked_for else None
    rows = _filtered(_until(within, end), chosen)
    records = list(rows.defer(*_JSON)[: limit + 1])
    if len(records) > limit:
        last = records[limit - 1]
        return RequestPage(records[:limit], Position(last.started_at, last.pk))
    return RequestPage(records, end, looked_through if end else None)


def fingerprint(tenant: Tenant, chosen: Filter, *, limit: int) -> str:
    """A short text that changes when the newest requests or the wallet do; two or three indexed reads.

    Pages ask for it every second, and for their figures only when it has changed.
    """
    within = _within(tenant, chosen)
    end = _position(within, _POLLED) if chosen.is_looked_for else None
    rows = _filtered(_until(within, end), chosen)
    wallet = balances.wallet_of(tenant)
    seen = "".join(pk.hex for pk in rows.values_list("pk", flat=True)[:limit])
    return f"{uuid.uuid5(uuid.NAMESPACE_OID, seen).hex[:12]}-{wallet.available if wallet else 0}"


def priced_models(tenant: Tenant) -> list[str]:
    """Every model that ever had a price for this tenant, by name; another plan's own offers are nobody else's."""
    plan = Q(plan=None) | Q(plan__tenants__tenant=tenant)
    rows = Price.objects.filter(plan, currency=tenant.currency).order_by("model")
    return list(rows.values_list("model", flat=True).distinct())


def start_of_day(tenant: Tenant, day: dt.date) -> dt.datetime:
    """The instant at which this day begins for the tenant."""
    return dt.datetime.combine(day, dt.time(), ZoneInfo(tenant.time_zone))


def start_of_today(tenant: Tenant, now: dt.datetime) -> dt.datetime:
    """The instant at which the tenant's present day began."""
    return start_of_day(tenant, _local_day(tenant, now))


def _local_day(tenant: Tenant, now: dt.datetime) -> dt.date:
    return now.astimezone(ZoneInfo(tenant.time_zone)).date()


def _within(tenant: Tenant, chosen: Filter) -> QuerySet[UsageRecord]:
    """The tenant's requests of the chosen days, newest first: what an index serves."""
    rows = UsageRecord.objects.filter(tenant=tenant).order_by("-started_at", "-id")
    if chosen.first_day is not None:
        rows = rows.filter(started_at__gte=start_of_day(tenant, chosen.first_day))
    if chosen.last_day is not None:
        rows = rows.filter(started_at__lt=start_of_day(tenant, chosen.last_day + dt.timedelta(days=1)))
    return rows


def _after(rows: QuerySet[UsageRecord], position: Position | None) -> QuerySet[UsageRecord]:
    if position is None:
        return rows
    # The first condition lets the index find the place; the second one settles ties of the same microsecond.
    return rows.filter(started_at__lte=position.started_at).exclude(started_at=position.started_at, id__gte=position.id)


def _until(rows: QuerySet[UsageRecord], position: Position | None) -> QuerySet[UsageRecord]:
    if position is None:
        return rows
    return rows.filter(started_at__gte=position.started_at).exclude(started_at=position.started_at, id__lt=position.id)


def _position(rows: QuerySet[UsageRecord], number: int) -> Position | None:
    """The last of so many rows; None if there are no more than that."""
    found = list(rows.values_list("started_at", "pk")[number - 1 : number + 1])
    return Position(*found[0]) if len(found) > 1 else None


def _filtered(rows: QuerySet[UsageRecord], chosen: Filter) -> QuerySet[UsageRecord]:
    if chosen.api_key_id is not None:
        rows = rows.filter(api_key_id=chosen.api_key_id)
    if chosen.model:
        rows = rows.filter(model=chosen.model)
    if chosen.outcome:
        rows = rows.filter(outcome=chosen.outcome)
    return rows
