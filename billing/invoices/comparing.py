"""Final documents against the records and entries of their periods; the memory it takes does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db.models import Exists, OuterRef, QuerySet, Sum
from django.db.models.functions import Coalesce

from billing import balances, months
from billing.breaks import Finding
from billing.invoices import prepaid, rounding
from billing.invoices.prepaid import Claims
from billing.models import Balance, BillingPeriod, Invoice, PeriodEntry, UsageRecord
from billing.portions import in_portions

_AT_ONCE: Final = 10


def findings() -> Iterator[Finding]:
    """One for each figure that was compared, wallet by wallet.

    A final document says what its period's records and entries say, and begins where the one before it ends. Records
    that are archived cannot be added up again: of their periods only that is compared. What the last one leaves below
    zero is what invoices ask for.
    """
    documents = _live().filter(period__wallet=OuterRef("pk"))
    for wallet in in_portions(balances.wallets().filter(Exists(documents)), 200):
        yield from _of_wallet(wallet)


def _live() -> QuerySet[Invoice]:
    return Invoice.objects.exclude(state=Invoice.State.VOID)


def _of_wallet(wallet: Balance) -> Iterator[Finding]:
    kept, claims, before = months.kept_since(), Claims(wallet.pk), None
    for invoice in _documents(wallet):
        if not invoice.is_draft:
            if before is not None:
                yield _opening(before, invoice)
            if kept is None or invoice.period.starts_at >= kept:
                yield from _against_records(invoice, claims)
        before = invoice
    if before is not None and "owed" in before.content and not before.is_draft:
        yield _unasked(before, claims)


def _documents(wallet: Balance) -> Iterator[Invoice]:
    """Without their snapshots, in the order of their periods, of which each has one."""
    rows = _live().filter(period__wallet=wallet).defer("snapshot").select_related("period").order_by("period")
    portion = list(rows[:_AT_ONCE])
    while portion:
        for invoice in portion:
            invoice.period.wallet = wallet
            yield invoice
        portion = list(rows.filter(period__gt=portion[-1].period_id)[:_AT_ONCE])


def _opening(before: Invoice, invoice: Invoice) -> Finding:
    expected = before.closing + _posted_between(before.period, invoice.period)
    return Finding(f"document {invoice.number}: opening balance", expected, invoice.opening, invoice.tenant_id)


def _posted_between(first: BillingPeriod, last: BillingPeriod) -> int:
    """What the ledger moved in the periods between them, which have no documents because nothing was used."""
    entries = PeriodEntry.objects.filter(period__wallet=first.wallet_id, period__gt=first.pk, period__lt=last.pk)
    return int(entries.aggregate(total=Coalesce(Sum("entry__amount"), 0))["total"])


def _against_records(invoice: Invoice, claims: Claims) -> Iterator[Finding]:
    period, name, tenant = invoice.period, f"document {invoice.number}", invoice.tenant_id
    records = UsageRecord.objects.filter(tenant=tenant, settled_at__gte=period.starts_at, settled_at__lt=period.ends_at)
    used = records.aggregate(total=Coalesce(Sum("cost"), 0))["total"]
    posted = period.entries.aggregate(total=Coalesce(Sum("entry__amount"), 0))["total"]
    yield Finding(f"{name}: used", used, invoice.used, tenant)
    closing = invoice.opening + posted - used
    yield Finding(f"{name}: closing balance", closing, invoice.closing, tenant)
    is_told = "owed" in invoice.content  # what was made before there was such a thing asks for its lines alone
    if is_told or invoice.from_wallet:
        exact = sum(line["exact"] for line in invoice.content["lines"])
        reckoned = prepaid.reckon(period, closing=closing, exact=exact, claims=claims)
        yield Finding(f"{name}: paid from the wallet", reckoned.from_wallet, invoice.from_wallet, tenant)
        if is_told:
            yield Finding(f"{name}: owed beside its lines", reckoned.owed, invoice.owed, tenant)


def _unasked(last: Invoice, claims: Claims) -> Finding:
    """Of what its period left below zero everything is asked for, but for what is finer than a minor unit."""
    rest = max(0, -last.closing - claims.through(last.period))
    is_rounding = rest < 2 * rounding.minor_unit(last.currency)
    subject = f"document {last.number}: what the wallet owes and no invoice asks for"
    return Finding(subject, 0, 0 if is_rounding else rest, last.tenant_id)
