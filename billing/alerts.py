"""Mail about a wallet that runs low: once when it falls below what its tenant chose, once when it is back."""

from __future__ import annotations

import logging
from typing import Final

from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.models import Member, Tenant
from billing import letters
from billing.models import Balance, BalanceAlert, Reservation

log = logging.getLogger(__name__)

_AT_ONCE: Final = 100
_ROLES: Final = (Member.Role.OWNER, Member.Role.ADMIN, Member.Role.BILLING)


def choose(wallet: Balance, threshold: int | None) -> None:
    """From now on the tenant is told below so many ledger units; None: never. A new threshold is told of anew."""
    if threshold is None:
        BalanceAlert.objects.filter(balance=wallet).delete()
    elif not BalanceAlert.objects.filter(balance=wallet, threshold=threshold).exists():
        BalanceAlert.objects.update_or_create(balance=wallet, defaults={"threshold": threshold, "is_below": False})


def send() -> int:
    """Mails what has been crossed since the last call, in either direction; returns of how many wallets.

    Safe to run anywhere at the same time: who notes the side first mails it. What cannot be mailed is noted back, and
    so tried again.
    """
    told = 0
    for alert in _crossed()[:_AT_ONCE]:
        rows = BalanceAlert.objects.filter(pk=alert.pk, threshold=alert.threshold)
        if not rows.filter(is_below=alert.is_below).update(is_below=not alert.is_below):
            continue
        if _mail(alert, is_below=not alert.is_below):
            told += 1
        else:
            rows.filter(is_below=not alert.is_below).update(is_below=alert.is_below)
    return told


def _crossed() -> QuerySet[BalanceAlert]:
    """Those on the other side than was told last. What requests in flight hold is not spent, and counts as there."""
    held = Reservation.objects.filter(tenant=OuterRef("balance__tenant")).order_by().values("tenant")
    sums = Subquery(held.annotate(sum=Sum("amount")).values("sum"))
    alerts = BalanceAlert.objects.annotate(left=F("balance__available") + Coalesce(sums, 0))
    fell = Q(is_below=False, left__lt=F("threshold"))
    rose = Q(is_below=True, left__gte=F("threshold"))
    return (
        alerts.filter(fell | rose, balance__tenant__status=Tenant.Status.ACTIVE)
        .select_related("balance__tenant")
        .order_by("pk")
    )


def _mail(alert: BalanceAlert, *, is_below: bool) -> bool:
    """Whether anybody was told, or there is nobody."""
    tenant = alert.balance.tenant
    left = alert.left  # type: ignore[attr-defined]  # annotated
    log.info("wallet %d is %s its alert", alert.pk, "below" if is_below else "above")
    context = {"is_below": is_below, "left": left, "threshold": alert.threshold}
    return letters.tell(letters.members(tenant, _ROLES), "balance", context, tenant=tenant)
