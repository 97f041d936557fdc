"""Mail about quotas: once a period, when half, four fifths and all of one is used."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Final, cast

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import F, Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone, translation

from accounts.models import Member, User
from billing import quotas
from billing.models import Balance, Quota

log = logging.getLogger(__name__)

THRESHOLDS: Final = (50, 80, 100)
"""Percent of a quota's amount."""
_AT_ONCE: Final = 100
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
        try:
            _mail(quota, row, reached)
        except Exception:
            Balance.objects.filter(pk=row.pk, notified=reached).update(notified=before)
            raise
        told += 1
    return told


def _used(row: Balance) -> int:
    return row.credit_line - row.available


def _due(now: dt.datetime) -> QuerySet[Balance]:
    """Present periods with a threshold that nobody was told of."""
    lasts = Q(ends_at=None) | Q(ends_at__gt=now - _RECENT)
    rows = Balance.objects.filter(lasts, kind=Balance.Kind.QUOTA, quota__ended_at=None, quota__amount__gt=0)
    used = (F("credit_line") - F("available")) * 100
    passed = Q()
    for number, percent in enumerate(THRESHOLDS):
        untold = Q(notified=None) | Q(notified__lt=percent) if number else Q(notified=None)
        passed |= Q(used__gte=F("quota__amount") * percent) & untold
    return rows.annotate(used=used).filter(passed).select_related("quota__tenant", "quota__user", "quota__api_key")


def _mail(quota: Quota, row: Balance, percent: int) -> None:
    for user in _readers(quota):
        with translation.override(user.language), timezone.override(quota.tenant.time_zone):
            context = {
                "quota": quota,
                "standing": quotas.standing(quota, row),
                "percent": percent,
                "currency": quota.tenant.currency,
                "site_url": settings.SITE_URL,
            }
            subject = render_to_string("mail/quota_subject.txt", context).strip()
            send_mail(subject, render_to_string("mail/quota.txt", context), None, [user.email])
    log.info("quota %d reached %d percent", quota.pk, percent)


def _readers(quota: Quota) -> list[User]:
    """Owners and admins, and whose spending it is: the member, or who made the key."""
    roles = (Member.Role.OWNER, Member.Role.ADMIN)
    about = Q(memberships__tenant=quota.tenant, memberships__role__in=roles)
    own = quota.user_id or (quota.api_key and quota.api_key.created_by_id)
    if own:
        about |= Q(pk=own, memberships__tenant=quota.tenant)
    return list(User.objects.filter(about, is_active=True).distinct().order_by("pk"))
