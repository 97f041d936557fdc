"""What of an invoice the wallet has paid already.

Usage takes from the wallet when it arises, so what was paid in ahead, or granted, has paid before any invoice is made.
An invoice is due as far as its usage left the wallet below zero, beyond what earlier invoices ask for: each unit once.
A wallet counts before taxes (of inclusive ones, with them): taxes that are added stay due.
"""

from __future__ import annotations

from django.db.models import QuerySet

from billing.invoices import rounding
from billing.models import BillingPeriod, CreditNote, Invoice, LedgerEntry


def from_wallet(period: BillingPeriod, *, closing: int, billed: int) -> int:
    """How many of the `billed` minor units the wallet has paid, of which `closing` ledger units were left.

    The same whenever it is asked: it reads the entries of periods that are closed.
    """
    currency = period.wallet.currency
    below_zero = max(0, -closing - _asked_for(period))
    return max(0, billed - rounding.to_minor(below_zero, currency))


def asked(invoice: Invoice) -> int:
    """What the invoice asks for beside the wallet and before taxes that are added, in minor units."""
    return billed(invoice) - invoice.from_wallet


def billed(invoice: Invoice) -> int:
    """The sum of its lines, in minor units."""
    return rounding.to_minor(sum(line["exact"] for line in invoice.content["lines"]), invoice.currency)


def _asked_for(period: BillingPeriod) -> int:
    """What earlier invoices asked for and was neither paid nor credited in the periods up to this one, ledger units."""
    earlier = (
        Invoice.objects.filter(period__wallet=period.wallet_id, period__lt=period.pk, kind=Invoice.Kind.INVOICE)
        .exclude(state=Invoice.State.VOID)
        .prefetch_related("credit_notes")
    )
    posted = dict(_settling(period).values_list("reference", "amount"))
    return sum(max(0, _rest(invoice, posted)) for invoice in earlier)


def _settling(period: BillingPeriod) -> QuerySet[LedgerEntry]:
    """The entries that pay or credit invoices."""
    closed = LedgerEntry.objects.filter(balance=period.wallet_id, period__period__lte=period.pk).order_by()
    return closed.filter(reference__startswith="invoice:") | closed.filter(reference__startswith="credit-note:")


def _rest(invoice: Invoice, posted: dict[str, int]) -> int:
    offsets = [note.pk for note in invoice.credit_notes.all() if note.effect == CreditNote.Effect.OFFSET]
    references = [f"invoice:{invoice.pk}", *(f"credit-note:{pk}" for pk in offsets)]
    done = sum(posted.get(reference, 0) for reference in references)
    return rounding.to_ledger(asked(invoice), invoice.currency) - done
