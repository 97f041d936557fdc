"""Computing past requests again: what each used, at the price version that it was admitted at. Read-only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from billing.models import Price, UsageRecord
from billing.portions import in_portions
from billing.prices import Tariff, cost, fee

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Repriced:
    """A record and what its usage costs; ledger units."""

    record: UsageRecord
    expected: int

    @property
    def is_same(self) -> bool:
        return self.record.claimed_cost == self.expected


def reprice(start: dt.datetime | None, end: dt.datetime | None) -> Iterator[Repriced]:
    """Every record settled from `start` on and before `end`, in the order their requests began; memory is constant."""
    rows = UsageRecord.objects.defer("attempts", "decision")
    if start is not None:
        rows = rows.filter(settled_at__gte=start)
    if end is not None:
        rows = rows.filter(settled_at__lt=end)
    tariffs: dict[int, Tariff] = {}
    for record in in_portions(rows, _AT_ONCE):  # ids grow with time
        tariff = tariffs.get(record.price_id)
        if tariff is None:
            tariff = tariffs[record.price_id] = Price.objects.get(pk=record.price_id).tariff
        yield Repriced(record, _expected(record, tariff.at(record.started_at.timestamp())))


def _expected(record: UsageRecord, tariff: Tariff) -> int:
    """By the outcome's rule: what brought nothing is free, but for the prompt of a client that left."""
    usage = record.usage
    if record.claimed_cost == 0 and not usage.output:
        return 0
    if record.outcome == UsageRecord.Outcome.CLIENT_GONE and not usage.output:
        return cost(usage, tariff) - fee(usage, tariff)
    return cost(usage, tariff)
