"""Adding usage records up by the hour, so that pages need not read them one by one.

Roll-ups are complete up to a moment (`RollupState`); pages read the records of what settled later. They hold nothing of
their own: `rebuild` makes any stretch of them again, and `differences` says where they do not agree with the records.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import Tenant
from billing import months
from billing.kinds import KINDS
from billing.models import RollupRefinement, RollupState, UsageRecord, UsageRollup

HOUR: Final = dt.timedelta(hours=1)
QUARTER: Final = dt.timedelta(minutes=15)
GRACE: Final = dt.timedelta(minutes=2)
"""A record is committed some milliseconds after the moment that it says."""
_STRETCH: Final = dt.timedelta(days=1)
"""Rolled up in one transaction at most."""
_REFINED: Final = 31
"""Days of tenants that one call of `refine` makes again at most."""

_GROUPED: Final = "tenant_id, api_key_id, model, channel, upstream_model, currency, provider_currency"
SUMMED: Final = ("cost", "claimed_cost", "provider_cost", *(kind.column for kind in KINDS))
_FIGURES: Final = ("requests", *SUMMED)


def complete_until() -> dt.datetime | None:
    """Until when everything is rolled up; None before the first time."""
    return RollupState.objects.values_list("complete_until", flat=True).first()


def advance(now: dt.datetime | None = None) -> int:
    """Rolls up the next hours that are over, a day of them at most; returns the number of rows written.

    Safe to run anywhere at the same time: one goes ahead, the others do nothing.
    """
    end = _hour((now or timezone.now()) - GRACE)
    since = complete_until() or _begin()
    if since is None or since >= end:
        return 0
    end = min(end, since + _STRETCH)
    with transaction.atomic():
        if not RollupState.objects.filter(complete_until=since).update(complete_until=end):
            return 0  # somebody else did
        return _replace(since, end)


def _begin() -> dt.datetime | None:
    """The hour of the first record, written down as the beginning; None while there is no record."""
    first = UsageRecord.objects.order_by("settled_at").values_list("settled_at", flat=True).first()
    if first is None:
        return None
    state, _is_new = RollupState.objects.get_or_create(pk=1, defaults={"complete_until": _hour(first)})
    return state.complete_until


def rebuild(start: dt.datetime, end: dt.datetime) -> Iterator[tuple[dt.datetime, int]]:
    """Makes the hours of [start, end) again as far as they were complete; after each day, its begin and its rows.

    Broken off, it has done whole days. What is archived cannot be added up again, and stays as it is.
    """
    start = _hour(max(start, months.kept_since() or start))
    until = complete_until()
    end = _hour(end)
    while until is not None and start < min(end, until):
        stop = min(_next_midnight(start), until, end)
        with transaction.atomic():
            RollupState.objects.select_for_update().get(pk=1)
            written = _replace(start, stop)
        yield start, written
        start = stop


def refine() -> int:
    """Makes roll-ups again of tenants whose zone has come to need quarters of an hour; returns how many days it did.

    A month of days at most: the next call goes on, whoever makes it. Safe to run anywhere at the same time.
    """
    days = 0
    while days < _REFINED and _is_refinement_due() and _refine_a_day():
        days += 1
    return days


def refined_until(tenant: Tenant) -> dt.datetime | None:
    """How far the tenant's roll-ups have been made again for its zone; None where nothing is to be made again."""
    return RollupRefinement.objects.filter(tenant=tenant).values_list("goes_on_at", flat=True).first()


def _is_refinement_due() -> bool:
    """Three looks without a lock, so that the usual answer, no, costs nothing."""
    odd, noted = _odd_tenants(), RollupRefinement.objects.all()
    return (
        noted.exclude(goes_on_at=None).exists()
        or noted.exclude(tenant__in=odd).exists()
        or odd.exclude(pk__in=noted.values("tenant")).exists()
    )


def _refine_a_day() -> bool:
    """Makes the next day of one tenant again; whether there was one. Nobody rolls up meanwhile."""
    with transaction.atomic():
        state = RollupState.objects.select_for_update().first()
        if state is None:
            return False
        _note_refinements()
        due = RollupRefinement.objects.exclude(goes_on_at=None).order_by("pk").first()
        if due is None or due.goes_on_at is None:
            return False
        stop = min(_next_midnight(due.goes_on_at), state.complete_until)
        _replace(due.goes_on_at, stop, Tenant.objects.filter(pk=due.tenant_id))
        due.goes_on_at = _coarse_from(due.tenant_id, stop)
        due.save()
    return True


def _note_refinements() -> None:
    """One for each tenant that needs quarters now, and none of others: their zone may come to need them once more."""
    odd = _odd_tenants()
    RollupRefinement.objects.exclude(tenant__in=odd).delete()
    for pk in odd.exclude(pk__in=RollupRefinement.objects.values("tenant")).values_list("pk", flat=True):
        RollupRefinement.objects.create(tenant_id=pk, goes_on_at=_coarse_from(pk, months.kept_since()))


def _coarse_from(tenant_id: int, since: dt.datetime | None) -> dt.datetime | None:
    """The tenant's first roll-up since then. What is archived cannot be added up again."""
    rows = UsageRollup.objects.filter(tenant=tenant_id)
    if since is not None:
        rows = rows.filter(starts_at__gte=since)
    return rows.order_by("starts_at").values_list("starts_at", flat=True).first()


def _next_midnight(moment: dt.datetime) -> dt.datetime:
    day = moment.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + dt.timedelta(days=1)


def _replace(start: dt.datetime, end: dt.datetime, tenants: QuerySet[Tenant] | None = None) -> int:
    """Adds [start, end) up anew, of these tenants or of all; returns the rows written."""
    old = UsageRollup.objects.filter(starts_at__gte=start, starts_at__lt=end)
    if tenants is None:
        tenants = Tenant.objects.all()
    else:
        old = old.filter(tenant__in=tenants.values("pk"))
    old.delete()
    odd = _odd_zones()
    rows = _insert(HOUR, tenants.exclude(time_zone__in=odd), start, end)
    return rows + _insert(QUARTER, tenants.filter(time_zone__in=odd), start, end) if odd else rows


def _insert(bucket: dt.timedelta, tenants: QuerySet[Tenant], start: dt.datetime, end: dt.datetime) -> int:
    """Adds up what these tenants' records of [start, end) say, inside the database; returns the rows written.

    By tenant, because that is what the index of times begins with.
    """
    records = UsageRecord.objects.filter(tenant__in=tenants.values("pk"), settled_at__gte=start, settled_at__lt=end)
    chosen, parameters = records.order_by().values("pk").query.sql_with_params()
    where = chosen.partition(" WHERE ")[2]
    sums = ", ".join(f"COALESCE(SUM({name}), 0)" for name in SUMMED)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO billing_usagerollup (starts_at, {_GROUPED}, requests, {', '.join(SUMMED)}) "  # noqa: S608
            f"SELECT {_bucket(bucket)} AS begun, {_GROUPED}, COUNT(*), {sums} FROM billing_usagerecord "
            f"WHERE {where} GROUP BY begun, {_GROUPED}",
            parameters,
        )
        return int(cursor.rowcount)


def _bucket(length: dt.timedelta) -> str:
    """The beginning of the stretch of this length that a record settled in, as the database stores times."""
    seconds = int(length.total_seconds())
    if connection.vendor == "postgresql":
        return f"to_timestamp(floor(extract(epoch FROM settled_at) / {seconds}) * {seconds})"
    return f"datetime(CAST(strftime('%%s', settled_at) AS INTEGER) / {seconds} * {seconds}, 'unixepoch')"


def _odd_tenants() -> QuerySet[Tenant]:
    return Tenant.objects.filter(time_zone__in=_odd_zones())


def _odd_zones() -> list[str]:
    """Those of tenants' zones whose days do not begin at a full hour of UTC."""
    zones = Tenant.objects.order_by("time_zone").values_list("time_zone", flat=True).distinct()
    return [zone for zone in zones if needs_quarters(zone)]


def needs_quarters(zone: str) -> bool:
    """Whether days of this zone begin within an hour of UTC."""
    now = timezone.now().replace(tzinfo=None)
    summer_and_winter = (now.replace(month=1, day=1), now.replace(month=7, day=1))  # half an hour apart, somewhere
    return any(_offset(zone, each) % HOUR for each in (now, *summer_and_winter))


def _offset(zone: str, moment: dt.datetime) -> dt.timedelta:
    return ZoneInfo(zone).utcoffset(moment) or dt.timedelta(0)


def _hour(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Difference:
    """A tenant's day on which roll-ups and records do not agree."""

    tenant_id: int
    rolled_up: tuple[int, ...]
    recorded: tuple[int, ...]

    @property
    def first(self) -> tuple[str, int, int]:
        """The first figure that differs: its name, what the records say, what is rolled up."""
        nothing = (0,) * len(_FIGURES)
        for name, recorded, rolled_up in zip(
            _FIGURES, self.recorded or nothing, self.rolled_up or nothing, strict=True
        ):
            if recorded != rolled_up:
                return name, recorded, rolled_up
        return _FIGURES[0], 0, 0


def differences(start: dt.datetime, end: dt.datetime) -> list[Difference]:
    """Per tenant, what is rolled up of [start, end) and what the records say, where it is not the same."""
    sums = {f"sum_{name}": Coalesce(Sum(name), 0) for name in SUMMED}
    rolled = UsageRollup.objects.filter(starts_at__gte=start, starts_at__lt=end).values("tenant").order_by()
    records = UsageRecord.objects.filter(settled_at__gte=start, settled_at__lt=end).values("tenant").order_by()
    one = _by_tenant(rolled.annotate(count=Sum("requests"), **sums))
    other = _by_tenant(records.annotate(count=Count("pk"), **sums))
    return [
        Difference(tenant, one.get(tenant, ()), other.get(tenant, ()))
        for tenant in sorted(one.keys() | other.keys())
        if one.get(tenant) != other.get(tenant)
    ]


def _by_tenant(rows: Iterable[Any]) -> dict[int, tuple[int, ...]]:
    return {row["tenant"]: tuple(value for name, value in row.items() if name != "tenant") for row in rows}
