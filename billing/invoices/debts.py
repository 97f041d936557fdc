"""What an invoice asks for beside its usage: money that left the wallet by other ways and nobody has brought back.

A payment that its bank took back, a refund of what was spent, an adjustment: such entries leave a wallet below zero as
usage does. They are no sales, so they bear no taxes and are no lines of usage; each is named in a row of its own. What
was used and counted late is a sale, and stands among the lines (`corrected`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db.models import Count, Q, QuerySet, Sum

from billing.invoices import rounding
from billing.models import BillingPeriod, LedgerEntry

DISPUTE: Final = "dispute"
REFUND: Final = "refund"
ENDED: Final = "ended"
ADJUSTMENT: Final = "adjustment"
BEFORE: Final = "before"
KINDS: Final = (DISPUTE, REFUND, ENDED, ADJUSTMENT, BEFORE)
"""The kinds of rows; `before` is what no entry of the period explains, such as a debt from the time before invoices."""

_OWN: Final = Q(reference__startswith=LedgerEntry.OF_INVOICES) | Q(reference__startswith=LedgerEntry.OF_CORRECTIONS)
"""Entries that settle an invoice, and those that are usage."""


def corrected(period: BillingPeriod) -> tuple[int, int]:
    """How many requests of the wallet were corrected in the period, and by how many ledger units they cost more."""
    entries = _entries(period).filter(reference__startswith=LedgerEntry.OF_CORRECTIONS)
    found = entries.aggregate(number=Count("pk"), total=Sum("amount"))
    return int(found["number"]), -int(found["total"] or 0)


def rows(period: BillingPeriod, amount: int) -> list[dict[str, Any]]:
    """The entries that left `amount` ledger units to be asked for, as rows in their order; they add up to it.

    `exact` is in ledger units, `amount` in minor ones.

    What was paid in covers the oldest first, so the newest are what is left. What is finer than a minor unit belongs to
    the first of them.
    """
    found: list[dict[str, Any]] = []
    for entry in _taken(period):
        part = min(-entry.amount, amount)
        found.append(_row(entry, part, period.time_zone))
        amount -= part
        if not amount:
            break
    if found and amount < rounding.minor_unit(period.wallet.currency):
        found[-1]["exact"] += amount
    elif amount:
        found.append({"kind": BEFORE, "exact": amount})
    found.reverse()
    currency = period.wallet.currency
    total = rounding.to_minor(sum(row["exact"] for row in found), currency)
    shown = rounding.apportion([row["exact"] for row in found], total, currency)
    return [row | {"amount": minor} for row, minor in zip(found, shown, strict=True)]


def _taken(period: BillingPeriod) -> Iterable[LedgerEntry]:
    entries = _entries(period).filter(amount__lt=0).exclude(_OWN).select_related("of").order_by("-pk")
    return entries.iterator(chunk_size=200)


def _entries(period: BillingPeriod) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(period__period=period).order_by()


def _row(entry: LedgerEntry, amount: int, zone: str) -> dict[str, Any]:
    """With the day of the payment that went back, where it is known."""
    row = {"kind": _kind(entry), "exact": amount, "day": _day(entry.created_at, zone), "note": entry.note}
    if entry.kind == LedgerEntry.Kind.REFUND and entry.of is not None:
        row["paid_on"] = _day(entry.of.created_at, zone)
    return row


def _kind(entry: LedgerEntry) -> str:
    if entry.reference.startswith("dispute:"):
        return DISPUTE
    kinds = {LedgerEntry.Kind.REFUND: REFUND, LedgerEntry.Kind.EXPIRY: ENDED, LedgerEntry.Kind.GRANT: ENDED}
    return kinds.get(LedgerEntry.Kind(entry.kind), ADJUSTMENT)


def _day(moment: dt.datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).date().isoformat()
