"""Forgetting idempotency keys that no longer stand for their request."""

from __future__ import annotations

from typing import Final

from django.db.models.functions import Now

from billing.books.keys import LIFE
from billing.models import IdempotencyKey

_BATCH: Final = 1000


def forget_expired(batch: int = _BATCH) -> int:
    """Deletes about a batch of keys older than a day, the oldest first; returns how many."""
    expired = IdempotencyKey.objects.filter(created_at__lt=Now() - LIFE).order_by("created_at")
    last = expired.values_list("created_at", flat=True)[batch - 1 : batch].first()
    if last is not None:
        expired = expired.filter(created_at__lte=last)
    deleted, _by_model = expired.delete()
    return deleted
