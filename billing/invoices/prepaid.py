"""What of an invoice the wallet has paid already.

Usage takes from the wallet when it arises, so what was paid in ahead, or granted, has paid before any invoice is made.
An invoice is due as far as its usage left the wallet below zero, beyond what earlier invoices ask for: each unit once.
A wallet counts before taxes (of inclusive ones, with them): taxes that are added stay due. What is paid in after an
invoice pays the next one, or this one where somebody says that it is paid; never both.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet, Sum

from billing.invoices import rounding
from billing.models import Balance, BillingPeriod, CreditNote, Invoice, LedgerEntry, Reservation
from billing.snapshot import snapshot

_CASH = (LedgerEntry.Account.CASH, LedgerEntry.Account.CASH_STRIPE, LedgerEntry.Account.CASH_TRANSFER)


def from_wallet(period: BillingPeriod, *, closing: int, billed: int) -> int:
    """How many of the `billed` minor units the wallet has paid, of which `closing` ledger units were left.

    The same whenever it is asked: it reads the entries of periods that are closed.
    """
    currency = period.wallet.currency
    below_zero = max(0, -closing - _asked_for(period.wallet_id, period))
    return max(0, billed - rounding.to_minor(below_zero, currency))


def asked(invoice: Invoice) -> int:
    """What the invoice asks for beside the wallet and before taxes that are added, in minor units."""
    return billed(invoice) - invoice.from_wallet


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
    left = rounding.to_minor(balance + _asked_for(wallet_id) - 1, invoice.currency)
    return max(0, min(rounding.to_ledger(left, invoice.currency), _sum(came)))


def unbilled(wallet: Balance) -> int:
    """Ledger units by which the wallet is below zero, beyond what invoices ask for."""
    with snapshot():
        now = Balance.objects.get(pk=wallet.pk)
        held = Reservation.objects.filter(tenant=wallet.tenant_id).aggregate(total=Sum("amount"))["total"] or 0
        return max(0, now.credit_line - now.available - int(held) - _asked_for(wallet.pk))


def _documents(wallet_id: int) -> QuerySet[Invoice]:
    return Invoice.objects.filter(period__wallet=wallet_id).exclude(state=Invoice.State.VOID)


def _entries_after(period: BillingPeriod) -> QuerySet[LedgerEntry]:
    later = Q(period=None) | Q(period__period__gt=period.pk)
    return LedgerEntry.objects.filter(later, balance=period.wallet_id).order_by()


def _sum(entries: QuerySet[LedgerEntry]) -> int:
    return int(entries.aggregate(total=Sum("amount"))["total"] or 0)


def _asked_for(wallet_id: int, period: BillingPeriod | None = None) -> int:
    """What invoices before the period ask for and was neither paid nor credited until it closed, ledger units.

    Without a period: all of them, until now.
    """
    earlier = _documents(wallet_id).filter(kind=Invoice.Kind.INVOICE)
    earlier = earlier.select_related("payment").prefetch_related("credit_notes")
    settling = LedgerEntry.objects.filter(balance=wallet_id).order_by()
    if period is not None:
        earlier, settling = earlier.filter(period__lt=period.pk), settling.filter(period__period__lte=period.pk)
    settling = settling.filter(
        Q(reference__startswith=LedgerEntry.OF_INVOICES) | Q(reference__startswith="credit-note:")
    )
    posted = dict(settling.values_list("reference", "amount"))
    return sum(max(0, _lacking(invoice, posted) - _had(invoice, period)) for invoice in earlier)


def _had(invoice: Invoice, period: BillingPeriod | None) -> int:
    """What of it money in the wallet has settled, before the period closed."""
    payment = getattr(invoice, "payment", None)
    if payment is None or (period is not None and payment.after_id >= period.pk):
        return 0
    return int(payment.from_wallet)


def _lacking(invoice: Invoice, posted: dict[str, int]) -> int:
    offsets = [note.pk for note in invoice.credit_notes.all() if note.effect == CreditNote.Effect.OFFSET]
    references = [f"{LedgerEntry.OF_INVOICES}{invoice.pk}", *(f"credit-note:{pk}" for pk in offsets)]
    done = sum(posted.get(reference, 0) for reference in references)
    return rounding.to_ledger(asked(invoice), invoice.currency) - done
