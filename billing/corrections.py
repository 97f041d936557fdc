"""Truth that comes late: what a request really used, after recovery has written its record.

A process that only stood still is taken for dead, its requests are closed by what is known of them, and then it goes
on and knows better. Records are never changed: the difference is a ledger entry of its own, once for each request.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from django.db import Error, connection, transaction
from django.db.models import F

from billing.books import Progress, Settlement
from billing.models import Balance, Correction, LedgerEntry, Price, UsageRecord
from billing.prices import cost
from billing.reservations import MOST_LEDGER_UNITS

log = logging.getLogger(__name__)

_BY_RECOVERY: Final = (UsageRecord.Outcome.RECOVERED, UsageRecord.Outcome.INTERNAL_ERROR)
"""How a record says that its request was closed by somebody else."""
_NOTE: Final = "late outcome of a recovered request"


def settle_late(settlement: Settlement) -> None:
    """The outcome of a request that was closed before; raises the driver's error, and may then be called again."""
    try:
        _correct(settlement.id, settlement.claimed_cost)
    except Error as error:
        raise (error.__cause__ or error) from error  # as the books' own connection says it


def correct(notes: Iterable[Progress]) -> None:
    """What a spool tells of requests that were closed without it; says nothing of those that need no correction.

    The oldest request comes first: it is paid where a wallet cannot pay all.
    """
    known = {note.id: note for note in notes}
    ids = sorted(known)
    prices: dict[int, Price] = {}
    for at in range(0, len(ids), 500):
        closed = UsageRecord.objects.filter(pk__in=ids[at : at + 500], outcome__in=_BY_RECOVERY)
        for record in closed.only("id", "claimed_cost", "started_at").order_by("pk"):
            note = known[record.id.hex]
            if note.price_id not in prices:
                prices |= Price.objects.in_bulk([note.price_id])
            if note.price_id not in prices:
                log.error("request %s is not corrected: there is no price %d to do it at", note.id, note.price_id)
                continue
            tariff = prices[note.price_id].tariff_at(record.started_at)
            claimed = min(cost(note.usage, tariff), MOST_LEDGER_UNITS)
            if note.is_exact or claimed > record.claimed_cost:
                _correct(note.id, claimed)


def reference(id_: str, balance_id: int) -> str:
    return f"{LedgerEntry.OF_CORRECTIONS}{id_}-{balance_id}"


def of(record: UsageRecord) -> int:
    """Ledger units that the tenant paid later for this request; negative if it got some back."""
    if record.outcome not in _BY_RECOVERY:
        return 0
    references = [reference(record.id.hex, leg) for leg in record.legs]
    entries = LedgerEntry.objects.filter(reference__in=references, balance__kind=Balance.Kind.WALLET)
    return -sum(entries.values_list("amount", flat=True))


def _correct(id_: str, claimed: int) -> None:
    """Takes from every leg what the request costs beyond its record, as far as the wallet has that, or gives back."""
    record = UsageRecord.objects.filter(pk=id_).only("id", "legs", "claimed_cost", "cost", "outcome").first()
    if record is None:
        log.error("request %s was closed without a record; its late outcome cannot be booked", id_)
        return
    if record.outcome not in _BY_RECOVERY:
        return  # written by an earlier commit of the same outcome, whose answer got lost
    due = claimed - record.claimed_cost if claimed > record.claimed_cost else min(claimed, record.cost) - record.cost
    taken = _post(record, due)
    if taken is None or not due:
        return
    log.warning("request %s was closed before it ended: corrected by %d ledger units", id_, taken)
    if taken < due:
        log.error("request %s: %d ledger units were written off, its wallet could not pay them", id_, due - taken)


def _post(record: UsageRecord, due: int) -> int | None:
    """What was taken, the same from every leg (a quota may fall below zero); None if it was corrected before.

    That it was is a row of its own, because a ledger has no entry of nothing: what an empty wallet could not pay is
    written off, not owed, and a second telling after a top-up takes nothing.
    """
    with transaction.atomic():
        _wait_briefly()
        legs = list(Balance.objects.filter(pk__in=record.legs).order_by("pk").select_for_update())
        names = {leg.pk: reference(record.id.hex, leg.pk) for leg in legs}
        if _is_corrected(record, names.values()):
            return None
        wallets = [leg.available for leg in legs if leg.kind == Balance.Kind.WALLET]
        taken = min(due, max(0, min(wallets, default=due)))
        Correction.objects.create(record=record.id, due=due, taken=taken)
        for leg in legs if taken else ():
            LedgerEntry.objects.create(
                balance=leg, kind=LedgerEntry.Kind.ADJUSTMENT, amount=-taken, reference=names[leg.pk], note=_NOTE
            )
            Balance.objects.filter(pk=leg.pk).update(available=F("available") - taken)
    return taken


def _is_corrected(record: UsageRecord, references: Iterable[str]) -> bool:
    """The ledger alone says so of what was corrected before there were rows of corrections."""
    if Correction.objects.filter(pk=record.id).exists():
        return True
    return LedgerEntry.objects.filter(reference__in=references).exists()


def _wait_briefly() -> None:
    """The writer waits here: a lock that is held for long is tried again later."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
