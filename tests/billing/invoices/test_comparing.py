"""Documents against their records: what it costs to look at many. (What it finds: test_prepaid, test_debts.)"""

from __future__ import annotations

import datetime as dt
import itertools
import tracemalloc

from billing.invoices import closing, comparing
from billing.models import BillingPeriod, Invoice, LegalEntity
from tests.billing.invoices.customers import Customer

_LARGE = 100_000
"""Bytes of each document's content, and of its snapshot."""


def long_history(of: Customer, documents: int, entity: LegalEntity) -> None:
    """So many large final statements, of days instead of months."""
    first = closing.last_period(of.wallet)
    days = [first.ends_at + dt.timedelta(days=number) for number in range(documents + 1)]
    periods = BillingPeriod.objects.bulk_create([
        BillingPeriod(wallet=of.wallet, tenant=of.tenant, month=202603, cut="threshold", starts_at=starts, ends_at=ends,
                      time_zone="UTC")
        for starts, ends in itertools.pairwise(days)
    ])  # fmt: skip
    Invoice.objects.bulk_create([
        Invoice(
            period=period, tenant=of.tenant, kind="statement", state="final", currency="USD", entity=entity,
            opening=0, closing=0, used=0, total=0, number=f"L{period.pk}", issued_on=period.first_day,
            content={"lines": [], "movements": [], "filler": "x" * _LARGE}, snapshot="x" * _LARGE,
            content_hash="x", snapshot_hash="x",
        )
        for period in periods
    ])  # fmt: skip


def peak_of_comparing() -> tuple[int, int]:
    """Bytes at the most, and how many figures were compared."""
    tracemalloc.start()
    try:
        figures = sum(1 for _finding in comparing.findings())
        return tracemalloc.get_traced_memory()[1], figures
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_documents(prepaid: Customer, entity: LegalEntity) -> None:
    long_history(prepaid, 60, entity)
    few, figures = peak_of_comparing()
    long_history(prepaid, 100, entity)

    many, more = peak_of_comparing()

    assert more >= figures + 3 * 100
    assert many < 1.2 * few + 1_000_000
    assert many < 100 * _LARGE  # less than the documents that are there
