"""Closing a wallet's months: from then on nothing is added to them.

`closed_through` is stamped under the wallet's row lock, under which every settlement is made too (billing/books/): one
that commits later reads the stamp and is of that moment at the earliest, whatever its clock says. So a closed period
cannot change, late usage is in the next one by itself, and nobody waits for stragglers. Of ledger entries those belong
to the period that can be seen under the lock and were made before its end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Tenant
from billing.invoices import calendar, prepaid
from billing.models import (
    ArchivedUse,
    Balance,
    BillingPeriod,
    BillingProfile,
    LedgerEntry,
    PeriodEntry,
    UsageRecord,
)

_INSTANT = dt.timedelta(microseconds=1)


def close_months(wallet: Balance, now: dt.datetime | None = None) -> Iterator[BillingPeriod]:
    """Closes each month of the wallet that is over, oldest first; yields the periods, each committed.

    Safe to run anywhere at the same time, and again: a month is closed once.
    """
    now = now or timezone.now()
    last = last_period(wallet)
    while (ends_at := next_end(last, wallet.tenant)) <= now:
        period = _cut(wallet, last, ends_at, BillingPeriod.Cut.MONTH)
        if period is None:
            return  # somebody else is about it
        yield period
        last = period


def close_at_threshold(wallet: Balance, threshold: int, now: dt.datetime | None = None) -> BillingPeriod | None:
    """Ends a post-paid wallet's period now if more than `threshold` ledger units of it are to be billed; None if not.

    That is what was used in it and the wallet did not pay. What it ends is billed once: the next one counts from here.
    The periods before have to be drafted.
    """
    now = now or timezone.now()
    last = last_period(wallet)
    if not last.ends_at < now < next_end(last, wallet.tenant):
        return None
    if prepaid.unbilled(wallet) <= threshold:
        return None
    rows = UsageRecord.objects.filter(tenant=wallet.tenant_id, settled_at__gte=last.ends_at)
    if (rows.aggregate(total=Sum("cost"))["total"] or 0) <= threshold:
        return None
    return _cut(wallet, last, now, BillingPeriod.Cut.THRESHOLD)


def next_end(last: BillingPeriod, tenant: Tenant) -> dt.datetime:
    """When the month ends that the wallet is in, in the zone that the tenant has now."""
    return calendar.end_of(_month_after(last, tenant), tenant.time_zone)


def last_period(wallet: Balance) -> BillingPeriod:
    """The wallet's latest period; one that stands for what was before its first month is made if there is none."""
    return BillingPeriod.objects.filter(wallet=wallet).order_by("-id").first() or _begin(wallet)


def _month_after(last: BillingPeriod, tenant: Tenant) -> int:
    """Its month goes on after a threshold, unless that is over already in a zone to which the tenant has gone since."""
    goes_on = last.cut == BillingPeriod.Cut.THRESHOLD and last.ends_at < calendar.end_of(last.month, tenant.time_zone)
    return last.month if goes_on else calendar.following(last.month)


def _cut(wallet: Balance, last: BillingPeriod, ends_at: dt.datetime, cut: BillingPeriod.Cut) -> BillingPeriod | None:
    profile = BillingProfile.of(wallet.tenant)
    with transaction.atomic():
        Balance.objects.select_for_update().get(pk=wallet.pk)
        if BillingPeriod.objects.filter(wallet=wallet, pk__gt=last.pk).exists():
            return None
        Balance.objects.filter(pk=wallet.pk).update(closed_through=ends_at)
        period = BillingPeriod.objects.create(
            wallet=wallet,
            tenant=wallet.tenant,
            month=_month_after(last, wallet.tenant),
            cut=cut,
            starts_at=last.ends_at,
            ends_at=ends_at,
            time_zone=wallet.tenant.time_zone,
            is_postpaid=profile.billed == BillingProfile.Billed.POSTPAID,
        )
        _take_entries(period)
    return period


def _begin(wallet: Balance) -> BillingPeriod:
    """What was before the wallet's first month, as a period without length that holds its balance."""
    zone = wallet.tenant.time_zone
    start = wallet.closed_through or calendar.begin_of(calendar.month_of(wallet.created_at, zone), zone)
    # From here on nothing settles before it, so the sum may be added up without a lock, however long it takes.
    Balance.objects.filter(pk=wallet.pk, closed_through=None).update(closed_through=start)
    used = _used_before(wallet, start)
    with transaction.atomic():
        Balance.objects.select_for_update().get(pk=wallet.pk)
        existing = BillingPeriod.objects.filter(wallet=wallet).order_by("-id").first()
        if existing is not None:
            return existing
        entries = LedgerEntry.objects.filter(balance=wallet, created_at__lt=start)
        period = BillingPeriod.objects.create(
            wallet=wallet,
            tenant=wallet.tenant,
            month=calendar.month_of(start - _INSTANT, zone),
            cut=BillingPeriod.Cut.OPENING,
            starts_at=start,
            ends_at=start,
            time_zone=zone,
            opening=(entries.aggregate(total=Sum("amount"))["total"] or 0) - used,
        )
        _take_entries(period)
    return period


def _used_before(wallet: Balance, start: dt.datetime) -> int:
    records = UsageRecord.objects.filter(tenant=wallet.tenant_id, settled_at__lt=start)
    archived = ArchivedUse.objects.filter(balance=wallet)
    return sum(rows.aggregate(total=Sum("cost"))["total"] or 0 for rows in (records, archived))


def _take_entries(period: BillingPeriod) -> None:
    """Names the wallet's entries that are in no period yet and were made before the end of this one."""
    entries = LedgerEntry.objects.filter(balance=period.wallet_id, period=None, created_at__lt=period.ends_at)
    PeriodEntry.objects.bulk_create(
        [PeriodEntry(period=period, entry_id=pk) for pk in entries.order_by("pk").values_list("pk", flat=True)]
    )
