"""Becoming final, or void again; what is paid: paying.py.

One transaction takes the number, freezes the snapshot and notes that a mail is due; whoever comes second finds it done
and writes nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.errors import GatewayError
from billing import breaks
from billing.invoices import numbers, snapshots, taxes
from billing.models import (
    BillingProfile,
    Invoice,
    InvoiceMail,
    LegalEntity,
    NumberSeries,
)


class CannotFinalise(Exception):
    """The draft has to wait; the message says for what."""


class InvoiceConflict(GatewayError):
    """The document is not in the state that this needs; nothing was changed."""

    status = 409
    type = "invalid_request_error"
    code = "invoice_conflict"


def due(now: dt.datetime | None = None, tenant_id: int | None = None) -> list[tuple[int, int]]:
    """The ids, and their tenants', of the drafts whose days of review are over, oldest first; of one tenant or all."""
    over = (now or timezone.now()) - dt.timedelta(days=settings.INVOICE_DRAFT_DAYS)
    rows = Invoice.objects.filter(state=Invoice.State.DRAFT, period__ends_at__lte=over)
    rows = rows if tenant_id is None else rows.filter(tenant=tenant_id)
    return list(rows.order_by("pk").values_list("pk", "tenant_id"))


def finalise(invoice_id: int, now: dt.datetime | None = None) -> Invoice:
    """The document, final by now. Raises CannotFinalise where its tenant is frozen or nobody is there to sell."""
    now = now or timezone.now()
    with transaction.atomic():
        invoice = locked(invoice_id)
        if not invoice.is_draft:
            return invoice
        if breaks.is_frozen(invoice.tenant_id):
            raise CannotFinalise(str(_("The books of this tenant do not add up; see the reconciliation.")))
        profile = BillingProfile.of(invoice.tenant)
        entity = _seller(profile)
        if entity is None:
            raise CannotFinalise(str(_("There is no default legal entity; enter who sells in the administration.")))
        _freeze(invoice, entity, profile, now)
    return invoice


def document_of(invoice: Invoice, now: dt.datetime | None = None) -> dict[str, Any]:
    """The frozen document; of a draft what it would say if it became final now, without a number."""
    if not invoice.is_draft:
        return invoice.document
    profile = BillingProfile.of(invoice.tenant)
    entity = _seller(profile) or LegalEntity()
    day = entity.today(now or timezone.now())
    rates, notes = taxes.chosen(kind=Invoice.Kind(invoice.kind), entity=entity, profile=profile, day=day)
    return snapshots.frozen(invoice, number="", issued_on=day, entity=entity, profile=profile, rates=rates, notes=notes)


def _seller(profile: BillingProfile) -> LegalEntity | None:
    return profile.entity or LegalEntity.objects.filter(is_default=True).first()


def _freeze(invoice: Invoice, entity: LegalEntity, profile: BillingProfile, now: dt.datetime) -> None:
    day, kind = entity.today(now), Invoice.Kind(invoice.kind)
    rates, notes = taxes.chosen(kind=kind, entity=entity, profile=profile, day=day)
    number = numbers.take(entity=entity, kind=NumberSeries.Kind(kind.value), tenant=invoice.tenant, day=day)
    document = snapshots.frozen(
        invoice, number=number, issued_on=day, entity=entity, profile=profile, rates=rates, notes=notes
    )
    invoice.state = Invoice.State.FINAL
    invoice.entity, invoice.number, invoice.issued_on, invoice.finalised_at = entity, number, day, now
    invoice.total = document["total"]
    invoice.snapshot = snapshots.canonical(document)
    invoice.snapshot_hash = snapshots.digest(invoice.snapshot)
    invoice.save()
    InvoiceMail.objects.create(invoice=invoice)


def void(invoice_id: int, *, reason: str, now: dt.datetime | None = None) -> Invoice:
    """Voids a final document on the day of its issue; its period is drafted anew. Raises InvoiceConflict if it may not.

    Not once it is paid or credited, and not on another day: then a credit note corrects it.
    """
    now = now or timezone.now()
    with transaction.atomic():
        invoice = locked(invoice_id)
        if invoice.state != Invoice.State.FINAL:
            raise InvoiceConflict(str(_("Only a final, unpaid document can be voided.")))
        if invoice.entity is None or invoice.issued_on != invoice.entity.today(now):
            raise InvoiceConflict(str(_("It was not issued today; correct it by a credit note.")))
        if invoice.credit_notes.exists():
            raise InvoiceConflict(str(_("It has credit notes.")))
        invoice.state, invoice.voided_at, invoice.reason = Invoice.State.VOID, now, reason
        invoice.save(update_fields=("state", "voided_at", "reason"))
    return invoice


def locked(invoice_id: int) -> Invoice:
    """The document, its row locked until the caller's transaction ends."""
    rows = Invoice.objects.select_for_update(of=("self",)).select_related("period__wallet", "tenant", "entity")
    return rows.get(pk=invoice_id)
