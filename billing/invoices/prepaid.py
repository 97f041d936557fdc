"""What of an invoice the wallet has paid already, and what it asks for beside its usage.

Usage takes from the wallet when it arises, so what was paid in ahead, or granted, has paid before any invoice is made.
An invoice is due as far as the wallet is below zero, beyond what earlier invoices ask for: each unit once. What is less
than its lines the wallet had; what is more something else than usage took (`debts.py`, ADR 0028).
A wallet counts before taxes (of inclusive ones, with them): taxes that are added stay due. What is paid in after an
invoice pays the next one, or this one where somebody says that it is paid; never both.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Q, QuerySet, Sum

from billing.invoices import rounding
from billing.models import Balance, BillingPeriod, CreditNote, Invoice, InvoicePayment, LedgerEntry, Reservation
from billing.portions import in_portions
from billing.snapshot import snapshot

_CASH = (LedgerEntry.Account.CASH, LedgerEntry.Account.CASH_STRIPE, LedgerEntry.Account.CASH_TRANSFER)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """Of an invoice, in minor units: what the wallet has paid of its lines, and what it asks for beside them."""

    from_wallet: int
    owed: int


def reckon(period: BillingPeriod, *, closing: int, exact: int, claims: Claims | None = None) -> Reckoning:
    """How an invoice over lines of `exact` ledger units stands to a wallet that had `closing` of them left.

    The same whenever it is asked: it reads the entries of periods that are closed. Less than a minor unit beyond the
    lines is what rounding left in the wallet: it stays there, and is counted with the next one.
    """
    currency = period.wallet.currency
    below_zero = max(0, -closing - (claims or Claims(period.wallet_id)).before(period))
    beyond = rounding.to_minor(below_zero, currency) - rounding.to_bill(exact, currency)
    is_owed = below_zero - exact >= rounding.minor_unit(currency)
    return Reckoning(from_wallet=max(0, -beyond), owed=max(0, beyond) if is_owed else 0)


def asked(invoice: Invoice) -> int:
    """What the invoice asks for beside the wallet and before taxes that are added, in minor units."""
    return billed(invoice) - invoice.from_wallet + invoice.owed


def billed(invoice: Invoice) -> int:
    """The sum of its lines, in minor units."""
    return rounding.to_bill(sum(line["exact"] for line in invoice.content["lines"]), invoice.currency)


def rest(invoice: Invoice) -> int:
    """What it asks for beside the wallet, less what was credited, in ledger units."""
    credited = sum(note.credited for note in invoice.credit_notes.all())
    return max(0, rounding.to_ledger(asked(invoice) - credited, invoice.currency))


def taxes(invoice: Invoice) -> int:
    """The taxes that are added to its lines, less what was taken off them before it was paid, in ledger units."""
    added = (invoice.total or 0) - billed(invoice)
    offsets = invoice.credit_notes.filter(effect=CreditNote.Effect.OFFSET)
    return max(0, rounding.to_ledger(added - sum(note.total - note.credited for note in offsets), invoice.currency))


def paid_in_since(invoice: Invoice) -> int:
    """Ledger units that were paid in since its period, and that no usage that is billed and no invoice has had.

    To the minor unit, as invoices ask: what usage is finer than that, the next one asks for. Granted credit is not
    among it: what it is there for comes after it. The caller has locked the wallet.
    """
    wallet_id = invoice.period.wallet_id
    last = _documents(wallet_id).order_by("-period").select_related("period")[0]
    balance = last.closing + _sum(_entries_after(last.period))
    came = (
        _entries_after(invoice.period).filter(contra__in=_CASH).exclude(reference__startswith=LedgerEntry.OF_INVOICES)
    )
    # Asked for is what lacks to the nearest minor unit, halves up; so what is left here is to the nearest, halves down.
    left = rounding.to_minor(balance + Claims(wallet_id).now() - 1, invoice.currency)
    return max(0, min(rounding.to_ledger(left, invoice.currency), _sum(came)))


def unbilled(wallet: Balance) -> int:
    """Ledger units by which the wallet is below zero, beyond what invoices ask for."""
    with snapshot():
        now = Balance.objects.get(pk=wallet.pk)
        held = Reservation.objects.filter(tenant=wallet.tenant_id).aggregate(total=Sum("amount"))["total"] or 0
        return max(0, now.credit_line - now.available - int(held) - Claims(wallet.pk).now())


def _documents(wallet_id: int) -> QuerySet[Invoice]:
    return Invoice.objects.filter(period__wallet=wallet_id).exclude(state=Invoice.State.VOID)


def _entries_after(period: BillingPeriod) -> QuerySet[LedgerEntry]:
    later = Q(period=None) | Q(period__period__gt=period.pk)
    return LedgerEntry.objects.filter(later, balance=period.wallet_id).order_by()


def _sum(entries: QuerySet[LedgerEntry]) -> int:
    return int(entries.aggregate(total=Sum("amount"))["total"] or 0)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one invoice asks for, and what has settled something of it; ledger units."""

    period: int
    asked: int
    posted: list[tuple[int | None, int]]
    """Entries, each with its period if that is closed."""
    had: tuple[int, int] | None
    """Money that was in the wallet, with the last period that was closed at that moment."""

    def open(self, until: int | None) -> int:
        """What is left of it at the end of that period, or now."""
        settled = sum(amount for period, amount in self.posted if _is_by(period, until))
        if self.had is not None and (until is None or self.had[0] < until):
            settled += self.had[1]
        return max(0, self.asked - settled)


def _is_by(period: int | None, until: int | None) -> bool:
    return until is None or (period is not None and period <= until)


class Claims:
    """What a wallet's invoices ask for, read once in small portions."""

    def __init__(self, wallet_id: int) -> None:
        offsets: dict[int, list[str]] = defaultdict(list)
        notes = CreditNote.objects.filter(effect=CreditNote.Effect.OFFSET, invoice__period__wallet=wallet_id)
        for invoice_id, note_id in notes.order_by().values_list("invoice", "pk"):
            offsets[invoice_id].append(f"credit-note:{note_id}")
        payments = InvoicePayment.objects.filter(invoice__period__wallet=wallet_id).order_by()
        had = {row[0]: (row[1], row[2]) for row in payments.values_list("invoice", "after", "from_wallet")}
        posted = _settling(wallet_id)
        # Neither is joined: rows that know each other are freed late, and there may be many.
        rows = _documents(wallet_id).filter(kind=Invoice.Kind.INVOICE).defer("snapshot")
        self._claims = []
        for row in in_portions(rows, 20):
            names = [f"{LedgerEntry.OF_INVOICES}{row.pk}", *offsets[row.pk]]
            settled = [posted[name] for name in names if name in posted]
            amount = rounding.to_ledger(asked(row), row.currency)
            self._claims.append(_Claim(row.period_id, amount, settled, had.get(row.pk)))

    def before(self, period: BillingPeriod) -> int:
        """What those of earlier periods ask for and was neither paid nor credited until this one closed."""
        return sum(claim.open(period.pk) for claim in self._claims if claim.period < period.pk)

    def through(self, period: BillingPeriod) -> int:
        """The same with the period's own."""
        return sum(claim.open(period.pk) for claim in self._claims if claim.period <= period.pk)

    def now(self) -> int:
        """What all of them still ask for."""
        return sum(claim.open(None) for claim in self._claims)


def _settling(wallet_id: int) -> dict[str, tuple[int | None, int]]:
    """The entries that settle invoices, by their references: period, if that is closed, and amount."""
    of_invoices = Q(reference__startswith=LedgerEntry.OF_INVOICES) | Q(reference__startswith="credit-note:")
    entries = LedgerEntry.objects.filter(of_invoices, balance=wallet_id).order_by()
    return {
        name: (period, amount) for name, period, amount in entries.values_list("reference", "period__period", "amount")
    }
