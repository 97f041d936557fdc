"""Closing the reservations whose requests nobody serves any more.

A dead process's reservations are settled by anyone, from the last progress written down: in its spool where that is on
this machine, else in the database. A live process releases its own that none of its requests knows. All of it is safe
to run twice and at the same time: whoever deletes a reservation wins.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from django.conf import settings
from django.db import Error
from django.db.models.functions import Now

from billing import corrections, processes, spool
from billing.books import Progress, Settlement, open_books
from billing.kinds import NOTHING
from billing.models import Price, Process, Reservation, UsageRecord
from billing.prices import cost
from billing.reservations import MOST_LEDGER_UNITS

log = logging.getLogger(__name__)

AUDIT_AGE = dt.timedelta(seconds=5)
_AT_ONCE = 1000
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


def settle_abandoned_spools(folder: Path) -> int:
    """Settles what processes of this machine held that have ended without a word; returns how many were closed.

    Their spools (billing/spool.py) have no owner any more, whatever their last heartbeat says. What somebody else has
    closed already, without the spool, is corrected.
    """
    closed = 0
    for path in spool.abandoned(folder):
        owner, notes = spool.owner_of(path), spool.read(path)
        rows = Reservation.objects.filter(owner=owner).order_by("pk")
        if not (rows.exists() or Process.objects.filter(pk=owner).exists()):
            corrections.correct(notes.values())  # closed long ago, by somebody who had no spool
            spool.forget_old(path)  # or of another installation
            continue
        while ids := _close(rows[:_AT_ONCE], UsageRecord.Outcome.RECOVERED, notes):
            closed += len(ids)
            for id_ in ids:
                notes.pop(id_, None)
        corrections.correct(notes.values())
        if not rows.exists():
            spool.remove(path)
    return closed


def settle_dead_owners(contact: Contact, folder: Path | None = None) -> int:
    """Settles what dead processes held; returns how many reservations were closed.

    Their spools are read where they are at hand: a process that only stands still has one that is locked.
    """
    try:
        if contact.seconds() < settings.OWNER_DEAD_SECONDS + 1:
            return 0
        rows = list(Reservation.objects.exclude(owner__in=processes.live().values("id")).order_by("pk")[:_AT_ONCE])
        notes: dict[str, Progress] = {}
        if folder is not None:
            for owner in {row.owner.hex for row in rows}:
                notes |= spool.read(spool.path_of(folder, owner))
        return len(_close(rows, UsageRecord.Outcome.RECOVERED, notes))
    except Error:
        contact.note_loss()
        raise


def release_orphans(owner: str, in_flight: Collection[str]) -> int:
    """Closes this process's own reservations that no request of it knows; returns how many.

    `in_flight` is the writer's own set, not a copy: it is asked after the reservations are read, so that one which is
    held meanwhile (a slow body makes a request old before it holds) is known.
    """
    rows = Reservation.objects.filter(owner=owner, created_at__lt=Now() - AUDIT_AGE)
    orphans = [id_ for id_ in rows.values_list("pk", flat=True) if id_.hex not in in_flight]
    chosen = Reservation.objects.filter(pk__in=orphans[:_AT_ONCE]).order_by("pk")
    return len(_close(chosen, UsageRecord.Outcome.INTERNAL_ERROR, {}))


def _close(
    reservations: Iterable[Reservation], outcome: UsageRecord.Outcome, notes: Mapping[str, Progress]
) -> set[str]:
    """Closes them by what is known of each; the ids of those that were still open. `notes` are from spools.

    In the order of the reservations: where a wallet cannot pay all, it pays those that began first.
    """
    rows = list(reservations)
    if not rows:
        return set()
    known = {row.id.hex: _best(row, notes.get(row.id.hex)) for row in rows}
    prices = Price.objects.in_bulk({note.price_id for note in known.values()})
    settlements = []
    for row in rows:
        note = known[row.id.hex]
        if note.price_id in prices:
            settlements.append(_settlement(row, note, prices[note.price_id], outcome))
        else:
            log.error("reservation %s stays open: there is no price %d to settle it at", row.id.hex, note.price_id)
    books = open_books()
    try:
        _outcomes, closed = books.post([], settlements, owner="")
    finally:
        books.close()
    log.warning("closed %d reservations as %s", len(closed), outcome)
    return closed


def _best(row: Reservation, note: Progress | None) -> Progress:
    """The spool's note, unless the database knows more: the disk may have been full since."""
    noted = Progress(row.id.hex, row.channel, row.price_id, row.noted_usage)
    if note is None:
        return noted
    return note if note.is_exact else max(note, noted, key=lambda each: (each.usage.output, each.usage.input))


def _settlement(row: Reservation, note: Progress, price: Price, outcome: UsageRecord.Outcome) -> Settlement:
    """What is known of a request that ended without a word: nothing seen of its answer, nothing to pay.

    Usage is only written down once the answer had brought something, so what stands there is to be paid.
    """
    usage = note.usage
    return Settlement(
        id=row.id.hex,
        legs=tuple(row.legs),
        held=row.amount,
        tenant_id=row.tenant_id,
        requested_model=row.model,
        model=price.model,
        price_id=note.price_id,
        currency=price.currency,
        outcome=outcome,
        status=500,
        error_code="interrupted",
        usage_source=_source(note),
        usage=usage,
        claimed_cost=0 if usage == NOTHING else min(cost(usage, price.tariff_at(row.created_at)), MOST_LEDGER_UNITS),
        channel=note.channel,
        attempts=[],
        decision={},
        duration_ms=min(max(0, int((time.time() - row.created_at.timestamp()) * 1000)), _LONGEST_MS),
    )


def _source(note: Progress) -> UsageRecord.Source:
    if note.usage == NOTHING:
        return UsageRecord.Source.NONE
    return UsageRecord.Source.UPSTREAM if note.is_exact else UsageRecord.Source.ESTIMATED
