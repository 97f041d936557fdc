"""Documents in pages: their state, and amounts in minor units."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.invoices.sheets import minor_text
from billing.models import Invoice

register = template.Library()

_LOOKS = {Invoice.State.FINAL: "accent", Invoice.State.PAID: "good", Invoice.State.VOID: "bad"}


@register.simple_tag
def invoice_state(invoice: Invoice) -> SafeString:
    """The state of a final document as a badge; an invoice that the wallet paid as a whole is paid."""
    is_paid = invoice.kind == Invoice.Kind.INVOICE and invoice.state == Invoice.State.FINAL and invoice.is_settled
    state = Invoice.State.PAID if is_paid else Invoice.State(invoice.state)
    return format_html('<span class="badge {}">{}</span>', _LOOKS[state], state.label)


@register.simple_tag
def minor_money(minor: int, currency: str) -> SafeString:
    """Minor units with their currency, aligned as a number."""
    return format_html(
        '<span class="money">{} <span class="currency">{}</span></span>', minor_text(minor, currency), currency
    )
