"""Closing the reservations whose requests nobody serves any more.

A dead process's reservations are settled by anyone, from the last progress written down; a live process releases its
own that none of its requests knows. Both are safe to run twice and at the same time: whoever deletes a reservation
wins.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Iterable

from django.conf import settings
from django.db import Error
from django.db.models.functions import Now

from billing import processes
from billing.books import Settlement, open_books
from billing.kinds import NOTHING
from billing.models import Price, Reservation, UsageRecord
from billing.prices import cost
from billing.reservations import MOST_LEDGER_UNITS

log = logging.getLogger(__name__)

AUDIT_AGE = dt.timedelta(seconds=5)
_LONGEST_MS = 2**31 - 1
"""What the column of a duration holds: 24 days."""


class Contact:
    """How long the database has been within reach without a break.

    After an outage every heartbeat is old. Nobody is declared dead before the living have had the time to beat again.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def note_loss(self) -> None:
        self._since = None

    def seconds(self) -> float:
        """How long by now; begins to count with the first call after a loss."""
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since


def settle_dead_owners(contact: Contact) -> int:
    """Settles what dead processes held; returns how many reservations were closed."""
    try:
        if contact.seconds() < settings.OWNER_DEAD_SECONDS + 1:
            return 0
        rows = Reservation.objects.exclude(owner__in=processes.live().values("id"))
        return _close(rows[:1000], UsageRecord.Outcome.RECOVERED)
    except Error:
        contact.note_loss()
        raise


def release_orphans(owner: str, in_flight: Collection[str]) -> int:
    """Closes this process's own reservations that no request of it knows; returns how many.

    `in_flight` is the writer's own set, not a copy: it is asked after the reservations are read, so that one which is
    held meanwhile (a slow body makes a request old before it holds) is known.
    """
    rows = Reservation.objects.filter(owner=owner, created_at__lt=Now() - AUDIT_AGE)
    return _close([row for row in rows[:1000] if row.id.hex not in in_flight], UsageRecord.Outcome.INTERNAL_ERROR)


def _close(reservations: Iterable[Reservation], outcome: UsageRecord.Outcome) -> int:
    rows = list(reservations)
    if not rows:
        return 0
    prices = Price.objects.in_bulk({row.price_id for row in rows})
    for row in rows:
        if row.price_id not in prices:
            log.error("reservation %s stays open: there is no price %d to settle it at", row.id.hex, row.price_id)
    books = open_books()
    try:
        settlements = [_settlement(row, prices[row.price_id], outcome) for row in rows if row.price_id in prices]
        _outcomes, closed = books.post([], settlements, owner="")
    finally:
        books.close()
    log.warning("closed %d reservations as %s", len(closed), outcome)
    return len(closed)


def _settlement(row: Reservation, price: Price, outcome: UsageRecord.Outcome) -> Settlement:
    """What is known of a request that ended without a word: nothing seen of its answer, nothing to pay.

    Usage is only written down once the answer had brought something, so what stands there is to be paid.
    """
    usage = row.noted_usage
    return Settlement(
        id=row.id.hex,
        legs=tuple(row.legs),
        held=row.amount,
        tenant_id=row.tenant_id,
        requested_model=row.model,
        model=price.model,
        price_id=row.price_id,
        currency=price.currency,
        outcome=outcome,
        status=500,
        error_code="interrupted",
        usage_source=UsageRecord.Source.NONE if usage == NOTHING else UsageRecord.Source.ESTIMATED,
        usage=usage,
        claimed_cost=0 if usage == NOTHING else min(cost(usage, price.tariff), MOST_LEDGER_UNITS),
        channel=row.channel,
        attempts=[],
        decision={},
        duration_ms=min(max(0, int((time.time() - row.created_at.timestamp()) * 1000)), _LONGEST_MS),
    )
