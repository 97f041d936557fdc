"""What settles an invoice, once: money that somebody knows of, or what was paid into the wallet since.

An invoice asks for usage, which is below zero in the wallet, and for taxes that were added, which never were in it. So
money that came by other ways brings its usage into the wallet and leaves the taxes outside; money that is in the wallet
already has paid for the usage by being there, and the taxes are taken out of it.

Rows are locked in this order, here and wherever documents are changed: document, wallet. Closing a month locks the
wallet alone, and has committed before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Final

from django.db import transaction
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts.models import User
from billing import ledger
from billing.invoices import drafts, prepaid, rounding
from billing.invoices.finalising import InvoiceConflict, locked
from billing.invoices.sheets import minor_amount
from billing.models import Balance, BillingPeriod, Invoice, InvoicePayment, LedgerEntry, PaymentOrder

_OPEN: Final = PaymentOrder.State.OPEN
_Kind = LedgerEntry.Kind
_TAXES: Final = ":taxes"
_ONCE: Final = ":once"
"""What follows an invoice in the references of its entries."""
Then = Callable[[Invoice], object]
"""What else is done in the transaction that settles an invoice. Callers open none: months are closed before it."""


def pay(
    invoice_id: int, *, reason: str, by: User | None = None, is_besides: bool = False, now: dt.datetime | None = None,
    then: Then | None = None,
) -> Invoice:  # fmt: skip
    """Notes that an invoice was paid, and posts to the wallet what it asked of it and the wallet did not get since.

    That is its lines without what the wallet had paid of them before, less what was credited, and less what was paid
    in since, which was for this and has its taxes taken out; with `is_besides` other money came and all of it is
    posted. What is closed is drafted before, so that what usage had is known. Raises InvoiceConflict for anything but a
    final invoice of which something is due, and while a payment of the tenant's is under way, which may be for it.
    """
    drafts.bring_up_to_date(_wallet_of(invoice_id), now)
    with transaction.atomic():
        invoice = locked(invoice_id)
        if invoice.state != Invoice.State.FINAL or invoice.kind != Invoice.Kind.INVOICE:
            raise InvoiceConflict(_("Only a final invoice can be paid."))
        if invoice.is_settled:
            raise InvoiceConflict(_("Nothing of it is due: the wallet has paid for it."))
        _have_wallet(invoice)
        if not is_besides and PaymentOrder.objects.filter(tenant=invoice.tenant_id, state=_OPEN).exists():
            raise InvoiceConflict(_("A payment of this tenant is under way; wait until it is paid or over."))
        invoice.state, invoice.paid_at, invoice.reason = Invoice.State.PAID, now or timezone.now(), reason
        invoice.save(update_fields=("state", "paid_at", "reason"))
        _settle(invoice, 0 if is_besides else prepaid.paid_in_since(invoice), by)
        if then is not None:
            then(invoice)
    return invoice


def _settle(invoice: Invoice, paid_in: int, by: User | None) -> None:
    rest = prepaid.rest(invoice)
    from_wallet = min(rest, paid_in)
    last = BillingPeriod.objects.filter(wallet=invoice.period.wallet_id).order_by("-pk")[0]
    payment = InvoicePayment.objects.create(
        invoice=invoice, after=last, from_wallet=from_wallet, posted=rest - from_wallet, created_by=by
    )
    _post(invoice, _Kind.TOP_UP, payment.posted, note=invoice.reason, by=by)
    taxes = min(prepaid.taxes(invoice), paid_in - from_wallet)
    with translation.override(invoice.document["language"]):
        _post(invoice, _Kind.ADJUSTMENT, -taxes, note=_("its taxes, paid from the wallet"), by=by, part=_TAXES)


def pay_once(
    invoice_id: int, *, reason: str, by: User | None = None, now: dt.datetime | None = None, then: Then | None = None
) -> Invoice:
    """Lets what was paid in since pay a paid invoice in the place of other money, which was noted and never came.

    As much of what was posted for it, and of its taxes, is taken out of the wallet: once, and no more than was paid in.
    Raises InvoiceConflict where no other money was noted, nothing was paid in since, or it was done before.
    """
    drafts.bring_up_to_date(_wallet_of(invoice_id), now)
    with transaction.atomic():
        invoice = locked(invoice_id)
        if invoice.state != Invoice.State.PAID:
            raise InvoiceConflict(_("It is not noted as paid."))
        _have_wallet(invoice)
        if _posted(invoice, _ONCE):
            raise InvoiceConflict(_("It has been taken out before."))
        amount = min(_besides(invoice), prepaid.paid_in_since(invoice))
        if not amount:
            raise InvoiceConflict(_("Nothing was paid into the wallet that could be its payment."))
        _post(invoice, _Kind.ADJUSTMENT, -amount, note=reason, by=by, part=_ONCE)
        if then is not None:
            then(invoice)
    return invoice


def told(invoice: Invoice) -> str:
    """When and by what it was paid, in words; empty where nobody has noted that, or before such notes were kept."""
    if not hasattr(invoice, "payment") or invoice.paid_at is None:
        return ""
    besides = _besides(invoice) + _posted(invoice, _ONCE)
    in_wallet = invoice.payment.from_wallet + invoice.payment.posted + prepaid.taxes(invoice) - besides
    values = {
        "day": date_format(timezone.localtime(invoice.paid_at), pgettext("format of a document's date", "N j, Y")),
        "wallet": _shown(in_wallet, invoice),
        "other": _shown(besides, invoice),
    }
    if not besides:
        return _("Paid on %(day)s from the wallet: %(wallet)s.") % values
    if not in_wallet:
        return _("Paid on %(day)s: %(other)s, which did not come through the wallet.") % values
    return _("Paid on %(day)s: %(wallet)s from the wallet, %(other)s by other money.") % values


def _shown(amount: int, invoice: Invoice) -> str:
    return minor_amount(rounding.to_minor(amount, invoice.currency), invoice.currency)


def _besides(invoice: Invoice) -> int:
    """What was noted to have come by other ways: what was posted, and the taxes that the wallet did not pay."""
    if not hasattr(invoice, "payment"):  # paid before such notes were kept
        return 0
    return int(invoice.payment.posted) + prepaid.taxes(invoice) + _posted(invoice, _TAXES)


def _posted(invoice: Invoice, part: str) -> int:
    entry = LedgerEntry.objects.filter(reference=_reference(invoice, part)).first()
    return entry.amount if entry is not None else 0


def _wallet_of(invoice_id: int) -> Balance:
    return Balance.objects.select_related("tenant").get(periods__invoices=invoice_id)


def _have_wallet(invoice: Invoice) -> None:
    """Locks its wallet: whatever is paid in is posted by now, or its order is still open."""
    Balance.objects.select_for_update().get(pk=invoice.period.wallet_id)
    if drafts.undrafted(invoice.period.wallet_id):
        raise InvoiceConflict(_("Its wallet's month is being closed; try again."))


def _post(invoice: Invoice, kind: LedgerEntry.Kind, amount: int, *, note: str, by: User | None, part: str = "") -> None:
    if amount:
        ledger.post(
            balance=invoice.period.wallet, kind=kind, amount=amount, reference=_reference(invoice, part),
            note=f"{invoice.number}: {note}"[:300], created_by=by,
        )  # fmt: skip


def _reference(invoice: Invoice, part: str = "") -> str:
    return f"{LedgerEntry.OF_INVOICES}{invoice.pk}{part}"
