"""Calls that were refused before any upstream was asked, with what to do about each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext

from accounts import refusals
from accounts.models import ApiKey, RefusedCall, Tenant
from accounts.refusals import Narrowing
from billing import reports
from billing.reports import Filter
from routing.api.remedies import REMEDIES, WITH_RECORD

MOST_KINDS = 50
CODES = tuple(code for code in REMEDIES if code not in WITH_RECORD)
_TRY_AGAIN = frozenset((408, 409, 429, 503))


@dataclass(frozen=True, slots=True)
class Kind:
    """All refused calls of one key with one code; `last` is the last of them. `tone` is a class of the stylesheet."""

    last: RefusedCall
    count: int
    api_key: ApiKey | None
    tone: str
    remedy: str


def kinds(tenant: Tenant, chosen: Filter, code: str, api_keys: Mapping[int, ApiKey]) -> tuple[list[Kind], bool]:
    """The latest kinds within the filter's key and days, and whether there are more of them."""
    found = refusals.kinds(tenant, _narrowing(tenant, chosen, code), limit=MOST_KINDS + 1)
    return [_kind(row, api_keys) for row in found[:MOST_KINDS]], len(found) > MOST_KINDS


def today(tenant: Tenant) -> int:
    """How many calls were refused on the tenant's day so far."""
    return refusals.count(tenant, Narrowing(since=reports.start_of_today(tenant, timezone.now())))


def last_hour(tenant: Tenant) -> refusals.LastHour:
    return refusals.last_hour(tenant, timezone.now().replace(second=0, microsecond=0))


def _narrowing(tenant: Tenant, chosen: Filter, code: str) -> Narrowing:
    first, last = chosen.first_day, chosen.last_day
    return Narrowing(
        api_key_id=chosen.api_key_id,
        code=code,
        since=reports.start_of_day(tenant, first) if first else None,
        until=reports.start_of_day(tenant, last + dt.timedelta(days=1)) if last else None,
    )


def _kind(row: RefusedCall, api_keys: Mapping[int, ApiKey]) -> Kind:
    remedy = REMEDIES.get(row.code)
    return Kind(
        last=row,
        count=row.count,
        api_key=api_keys.get(row.api_key_id or 0),
        tone="warn" if row.status in _TRY_AGAIN else "bad",
        remedy=gettext(remedy) if remedy else "",
    )
