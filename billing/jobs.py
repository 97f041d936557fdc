"""Jobs by slot: of all schedulers that want to run one, the first to write its row does.

What a job does is safe to run twice all the same: a process may die in the midst of it, and the next slot goes on.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from billing.models import JobRun

log = logging.getLogger(__name__)

_KEPT: Final = dt.timedelta(days=30)
_LONGEST: Final = 300


def run_once(
    name: str, every: dt.timedelta, run: Callable[[], object], now: dt.datetime | None = None
) -> JobRun | None:
    """Runs the job if nobody has in this slot of time; returns its row, or None if somebody else had it.

    A failure is the row's outcome, and raised.
    """
    now = now or timezone.now()
    slot = dt.datetime.fromtimestamp(now.timestamp() // every.total_seconds() * every.total_seconds(), dt.UTC)
    row = _take(name, slot.isoformat(), now)
    if row is None:
        return None
    try:
        row.outcome = str(run())[:_LONGEST]
    except Exception as error:
        row.outcome = f"failed: {error}"[:_LONGEST]
        raise
    finally:
        row.finished_at = timezone.now()
        row.save(update_fields=("finished_at", "outcome"))
        JobRun.objects.filter(name=name, started_at__lt=now - _KEPT).delete()
    return row


def _take(name: str, slot: str, now: dt.datetime) -> JobRun | None:
    if JobRun.objects.filter(name=name, slot=slot).exists():
        return None
    try:
        with transaction.atomic():
            return JobRun.objects.create(name=name, slot=slot, started_at=now)
    except IntegrityError:
        return None
