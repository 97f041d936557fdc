"""Calendar months in a tenant's time zone, as half-open stretches of UTC. Pure.

A month ends at the first moment of the next one's first day in the zone of that time; where the zone has no such
midnight, at the moment that its clocks jump over it. The next period begins where the last one ended, whatever the zone
is by then: so periods follow each other without gap or overlap, and the month after a change is some hours longer or
shorter.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo


def month_of(moment: dt.datetime, zone: str) -> int:
    """The calendar month that this moment lies in, as yyyymm."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.year * 100 + local.month


def begin_of(month: int, zone: str) -> dt.datetime:
    """The first moment of a month (yyyymm) in the zone, in UTC."""
    return dt.datetime(month // 100, month % 100, 1, tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)


def end_of(month: int, zone: str) -> dt.datetime:
    """The first moment after it, in UTC."""
    return begin_of(following(month), zone)


def following(month: int) -> int:
    """The next month, as yyyymm."""
    return month + 1 if month % 100 < 12 else month + 89
