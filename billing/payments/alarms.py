"""What an operator has to look at, once for each thing: a row, and an error in the log."""

from __future__ import annotations

import logging

from django.utils import timezone

from accounts.models import User
from billing.models import Gateway, PaymentAlarm, PaymentOrder

log = logging.getLogger(__name__)


def ring(
    kind: PaymentAlarm.Kind, *, gateway: Gateway | str, reference: str, detail: str, order: PaymentOrder | None = None
) -> None:
    """Keeps the alarm; a repetition of the same reference adds nothing."""
    _alarm, is_new = PaymentAlarm.objects.get_or_create(
        kind=kind, reference=reference[:120], defaults={"gateway": gateway, "detail": detail[:300], "order": order}
    )
    if is_new:
        log.error("payments: %s, %s (%s): %s", kind.value, gateway, reference, detail)


def close(alarm: PaymentAlarm, *, by: User, note: str) -> bool:
    """Whether it was still open."""
    found = PaymentAlarm.objects.filter(pk=alarm.pk, closed_at=None)
    return bool(found.update(closed_at=timezone.now(), closed_by=by, note=note))


def open_count() -> int:
    return PaymentAlarm.objects.filter(closed_at=None).count()
