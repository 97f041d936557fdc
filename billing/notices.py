"""Mail about quotas: once a period, when half, four fifths and all of one is used."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any, Final, cast

from django.db.models import DecimalField, F, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.models import Member, User
from billing import letters, quotas
from billing.models import Balance, Quota

log = logging.getLogger(__name__)

THRESHOLDS: Final = (50, 80, 100)
"""Percent of a quota's amount."""
_AT_ONCE: Final = 100
_EXACT: Final[Any] = DecimalField(max_digits=30, decimal_places=0)
_RECENT: Final = dt.timedelta(hours=1)
"""How long after its end a period is still told of."""


def send() -> int:
    """Mails what has been reached since the last call; returns how many periods were told of.

    Safe to run anywhere at the same time: who marks a period's threshold first mails it. What cannot be mailed is
    unmarked, and so tried again.
    """
    told = 0
    for row in _due(timezone.now())[:_AT_ONCE]:
        quota = cast("Quota", row.quota)  # of its kind
        reached = max(percent for percent in THRESHOLDS if _used(row) * 100 >= percent * quota.amount)
        before = row.notified
        if not Balance.objects.filter(pk=row.pk, notified=before).update(notified=reached):
            continue
        if _mail(quota, row, reached):
            told += 1
        else:
            Balance.objects.filter(pk=row.pk, notified=reached).update(notified=before)
    return told


def _used(row: Balance) -> int:
    return row.credit_line - row.available


def _due(now: dt.datetime) -> QuerySet[Balance]:
    """Present periods with a threshold that nobody was told of."""
    lasts = Q(ends_at=None) | Q(ends_at__gt=now - _RECENT)
    rows = Balance.objects.filter(lasts, kind=Balance.Kind.QUOTA, quota__ended_at=None, quota__amount__gt=0)
    # As decimals: a hundred times the largest amount does not fit 64 bits.
    used, amount = (Cast(each, _EXACT) for each in (F("credit_line") - F("available"), F("quota__amount")))
    passed = Q()
    for number, percent in enumerate(THRESHOLDS):
        untold = Q(notified=None) | Q(notified__lt=percent) if number else Q(notified=None)
        passed |= Q(used__gte=F("whole") * percent) & untold
    rows = rows.annotate(used=used * 100, whole=amount).filter(passed).order_by("pk")
    return rows.select_related("quota__tenant", "quota__user", "quota__api_key")


def _mail(quota: Quota, row: Balance, percent: int) -> bool:
    """Whether anybody was told, or there is nobody."""
    standing = quotas.standing(quota, row)
    context = {"quota": quota, "standing": standing, "percent": percent, "currency": quota.tenant.currency}
    log.info("quota %d reached %d percent", quota.pk, percent)
    return letters.tell(_readers(quota), "quota", context, tenant=quota.tenant)


def _readers(quota: Quota) -> list[User]:
    """Owners and admins, and whose spending it is: the member, or who made the key."""
    roles = (Member.Role.OWNER, Member.Role.ADMIN)
    about = Q(memberships__tenant=quota.tenant, memberships__role__in=roles)
    own = quota.user_id or (quota.api_key and quota.api_key.created_by_id)
    if own:
        about |= Q(pk=own, memberships__tenant=quota.tenant)
    return list(letters.reachable(User.objects.filter(about, is_active=True)).distinct().order_by("pk"))
