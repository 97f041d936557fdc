"""Quotas in their periods: which balances they are at this moment, and how they are set and changed.

A period is a row: the balance of a quota and of the moment at which the period began, with the quota's amount as its
credit line. A new day, week or month is a new row, so nothing is reset and no job can miss it. Days, weeks (from
Monday) and months are those of the tenant's time zone; a session is whatever its client names so (billing/sessions.py).
A soft quota is a leg as well, with a line that nobody reaches, so that its use is counted the same way.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, cast
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from accounts.callers import SpendingLimit
from accounts.models import ApiKey, Tenant, User
from billing import spending
from billing.models import Balance, Quota, QuotaDefault

SOFT_LINE: Final = 2**60
"""The credit line of a soft quota's periods: more than any amount may be (amounts.LARGEST)."""


SESSION_LASTS: Final = dt.timedelta(days=30)
"""How long a session is looked at by those who change a quota or tell of it; its balance goes on holding after it."""
_EVER: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """Half-open; without an end for a quota in total."""

    starts_at: dt.datetime
    ends_at: dt.datetime | None


class Drawing(Protocol):
    """A key whose requests draw on quotas, be it a model's row or what the API plane reads."""

    @property
    def pk(self) -> int: ...
    @property
    def tenant_id(self) -> int: ...
    @property
    def created_by_id(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """A quota in its present period, in ledger units. `used` contains what requests in flight hold."""

    quota: Quota
    used: int
    ends_at: dt.datetime | None

    @property
    def left(self) -> int:
        return max(0, self.quota.amount - self.used)

    @property
    def percent(self) -> int:
        """Of the amount, at most 999."""
        return min(999, self.used * 100 // self.quota.amount) if self.quota.amount else 100


def period_at(kind: str, zone: ZoneInfo, now: dt.datetime) -> Period:
    """The period of this kind that `now` lies in."""
    if kind in {Quota.Period.TOTAL, Quota.Period.SESSION}:
        return Period(_EVER, None)
    day = now.astimezone(zone).date()
    if kind == Quota.Period.WEEK:
        day -= dt.timedelta(days=day.weekday())
    elif kind == Quota.Period.MONTH:
        day = day.replace(day=1)
    return Period(_midnight(day, zone), _midnight(_next(kind, day), zone))


def _next(kind: str, day: dt.date) -> dt.date:
    if kind == Quota.Period.MONTH:
        return (day + dt.timedelta(days=31)).replace(day=1)
    return day + dt.timedelta(days=7 if kind == Quota.Period.WEEK else 1)


def _midnight(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)


def open_quotas(tenant: Tenant) -> QuerySet[Quota]:
    return Quota.objects.filter(tenant=tenant, ended_at=None).select_related("tenant", "user", "api_key")


def of_key(api_key: ApiKey) -> list[Quota]:
    """The quotas that a key's requests draw on: its tenant's, its maker's, its own."""
    about = Q(user=None, api_key=None) | Q(api_key=api_key)
    if api_key.created_by_id is not None:
        about |= Q(user=api_key.created_by_id)
    return list(open_quotas(api_key.tenant).filter(about))


Subject = tuple[int, int | None, int | None]
"""Whom a quota is about: a tenant, and of it a member or a key."""


def by_subject(quota_ids: Sequence[int]) -> dict[Subject, list[Quota]]:
    """These quotas by whom they are about."""
    found: dict[Subject, list[Quota]] = {}
    for quota in Quota.objects.filter(pk__in=quota_ids).select_related("tenant"):
        found.setdefault((quota.tenant_id, quota.user_id, quota.api_key_id), []).append(quota)
    return found


def about(api_key: Drawing, subjects: Mapping[Subject, Sequence[Quota]]) -> list[Quota]:
    """Those among them that a key's requests draw on, as `of_key`."""
    tenant = api_key.tenant_id
    found = [*subjects.get((tenant, None, None), ()), *subjects.get((tenant, None, api_key.pk), ())]
    if api_key.created_by_id is not None:
        found += subjects.get((tenant, api_key.created_by_id, None), ())
    return sorted(found, key=lambda quota: quota.pk)


def present_limits(quotas: Sequence[Quota], now: dt.datetime) -> dict[int, tuple[int, SpendingLimit]]:
    """Of each but those per session, by the quota's id: the balance of the present period by its id, and what a refusal
    tells of it. One query for all that have begun.
    """
    lasting = [quota for quota in quotas if quota.period != Quota.Period.SESSION]
    if not lasting:
        return {}
    lasts = Q(ends_at=None) | Q(ends_at__gt=now)
    periods = Balance.objects.filter(
        lasts, kind=Balance.Kind.QUOTA, quota__in=[quota.pk for quota in lasting], session="", starts_at__lte=now
    )
    rows = {row.quota_id: row for row in periods.order_by("starts_at")}
    return {quota.pk: _limit(quota, rows.get(quota.pk) or _begin(quota, now)) for quota in lasting}


def balance_of(quota: Quota, now: dt.datetime) -> Balance:
    """The row of the present period, made if this is its first request."""
    return _present(quota, now) or _begin(quota, now)


def _present(quota: Quota, now: dt.datetime) -> Balance | None:
    """A period that has begun goes on to its end, also if the tenant's time zone has changed meanwhile.

    Of a quota per session there is none: each session is a row. (The kind makes the index of periods fit.)
    """
    if quota.period == Quota.Period.SESSION:
        return None
    lasts = Q(ends_at=None) | Q(ends_at__gt=now)
    periods = Balance.objects.filter(lasts, kind=Balance.Kind.QUOTA, quota=quota, session="", starts_at__lte=now)
    return periods.order_by("-starts_at").first()


@transaction.atomic
def _begin(quota: Quota, now: dt.datetime) -> Balance:
    """Under the quota's lock: one that is changed at this moment begins with its new amount."""
    fresh = Quota.objects.select_for_update().get(pk=quota.pk)
    period = period_at(quota.period, ZoneInfo(quota.tenant.time_zone), now)
    line = fresh.amount if fresh.is_hard else SOFT_LINE
    row, _is_new = Balance.objects.get_or_create(
        quota=quota,
        session="",
        starts_at=period.starts_at,
        defaults={
            "tenant": quota.tenant,
            "kind": Balance.Kind.QUOTA,
            "currency": quota.tenant.currency,
            "available": line,
            "credit_line": line,
            "ends_at": period.ends_at,
        },
    )
    return row


def session_limit(quota: Quota, digest: str) -> tuple[int, SpendingLimit]:
    """The balance of a quota per session for the session of this digest, by its id, and what a refusal tells of it."""
    row = Balance.objects.filter(quota=quota, session=digest).first()
    return _limit(quota, row or _begin_session(quota, digest))


def _limit(quota: Quota, row: Balance) -> tuple[int, SpendingLimit]:
    period = cast("Literal['day', 'week', 'month', 'total', 'session']", quota.period)
    ends_at = None if row.ends_at is None or row.session else row.ends_at.timestamp()
    return row.pk, SpendingLimit(quota.about, period, quota.amount, ends_at)


@transaction.atomic
def _begin_session(quota: Quota, digest: str) -> Balance:
    """Under the quota's lock, as a period begins."""
    fresh = Quota.objects.select_for_update().get(pk=quota.pk)
    line = fresh.amount if fresh.is_hard else SOFT_LINE
    now = timezone.now()
    fields = {"tenant": quota.tenant, "kind": Balance.Kind.QUOTA, "currency": quota.tenant.currency, "available": line,
              "credit_line": line, "starts_at": now, "ends_at": now + SESSION_LASTS}  # fmt: skip
    row, _is_new = Balance.objects.get_or_create(quota=quota, session=digest, defaults=fields)
    return row


def standings(quotas: Iterable[Quota], now: dt.datetime) -> list[Standing]:
    """Where each stands; reads only."""
    found = []
    for quota in quotas:
        row = _present(quota, now)
        ends_at = period_at(quota.period, ZoneInfo(quota.tenant.time_zone), now).ends_at
        found.append(Standing(quota, 0, ends_at) if row is None else standing(quota, row))
    return found


def standing(quota: Quota, row: Balance) -> Standing:
    """Where a quota stands in the period of this row."""
    return Standing(quota, row.credit_line - row.available, row.ends_at)


def grant(
    tenant: Tenant, *, amount: int, period: str, user: User | None = None, api_key: ApiKey | None = None,
    is_hard: bool = True,
) -> Quota:  # fmt: skip
    """A new quota; raises ValidationError where there is one of the kind, or the subject is not the tenant's."""
    quota = Quota(tenant=tenant, user=user, api_key=api_key, period=period, amount=amount, is_hard=is_hard)
    quota.full_clean()
    quota.save()
    return quota


def give_defaults(tenant: Tenant, *, user: User | None = None, api_key: ApiKey | None = None) -> None:
    """Grants what every new member, or every new key, of the tenant gets; one of the two is named."""
    about = QuotaDefault.About.KEY if api_key is not None else QuotaDefault.About.MEMBER
    held = set(open_quotas(tenant).filter(user=user, api_key=api_key).values_list("period", flat=True))
    for row in QuotaDefault.objects.filter(tenant=tenant, about=about).exclude(period__in=held):
        grant(tenant, user=user, api_key=api_key, amount=row.amount, period=row.period, is_hard=row.is_hard)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a quota would have met over the last days: its dearest period, and how many it would have ended early."""

    highest: int
    periods: int
    passed: int


PREVIEWED: Final = dt.timedelta(days=31)


def preview(quota: Quota, now: dt.datetime) -> Preview | None:
    """Over the last 31 days as if it had been in force; None of a quota per session. It need not be saved."""
    if quota.period == Quota.Period.SESSION:
        return None
    zone = ZoneInfo(quota.tenant.time_zone)
    start = _midnight((now - PREVIEWED).astimezone(zone).date(), zone)
    sums: dict[dt.datetime, int] = {}
    for line in spending.spent(quota.tenant, start, spending.LATEST, "day", api_keys=_key_ids(quota)):
        begins = period_at(quota.period, zone, _midnight(line.subject, zone)).starts_at
        sums[begins] = sums.get(begins, 0) + line.cost
    return Preview(
        max(sums.values(), default=0), len(sums), sum(amount > quota.amount for amount in sums.values())
    )  # fmt: skip


def _key_ids(quota: Quota) -> list[int] | None:
    """Of the keys whose spending it limits; None for all of the tenant's."""
    if quota.api_key_id is not None:
        return [quota.api_key_id]
    if quota.user_id is not None:
        return list(quota.tenant.api_keys.filter(created_by=quota.user_id).values_list("pk", flat=True))
    return None


def change(quota: Quota, *, amount: int, is_hard: bool) -> None:
    """Holds from now on, for the present period too; below what is used already, nothing more is held in it."""
    with transaction.atomic():
        Quota.objects.select_for_update().get(pk=quota.pk)
        line = amount if is_hard else SOFT_LINE
        lasts = Q(ends_at=None) | Q(ends_at__gt=timezone.now())
        rows = Balance.objects.filter(lasts, kind=Balance.Kind.QUOTA, quota=quota)
        ids = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))  # as holds lock them
        moved = F("available") + line - F("credit_line")
        Balance.objects.filter(pk__in=ids).update(available=moved, credit_line=line)
        Quota.objects.filter(pk=quota.pk).update(amount=amount, is_hard=is_hard)
    quota.amount, quota.is_hard = amount, is_hard


def end(quota: Quota) -> bool:
    """No request draws on it from now on; what it has counted stays. False if it had ended before."""
    return Quota.objects.filter(pk=quota.pk, ended_at=None).update(ended_at=timezone.now()) == 1
