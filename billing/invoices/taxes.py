"""Which taxes a document carries. The rates are rows that an operator keeps; no rate stands in code."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from django.db.models import Q

from billing.models import BillingProfile, Invoice, LegalEntity, TaxRate

REVERSE_CHARGE = "reverse_charge"
EXEMPT = "exempt"


def chosen(
    *, kind: Invoice.Kind, entity: LegalEntity, profile: BillingProfile, day: dt.date
) -> tuple[Sequence[TaxRate], list[str]]:
    """The rates that apply on that day, and the notes that say why others do not.

    The buyer's country decides, the seller's where the buyer names none. Statements carry those that say so alone.
    """
    country = profile.country or entity.country
    rows = TaxRate.objects.filter(Q(ends_on=None) | Q(ends_on__gte=day), jurisdiction=country, starts_on__lte=day)
    if kind == Invoice.Kind.STATEMENT:
        rows = rows.filter(is_on_statements=True)
    if profile.tax_exemption:
        return [], [f"{EXEMPT}: {profile.tax_exemption}"]
    if profile.tax_id and country != entity.country and rows.filter(is_reverse_charge=True).exists():
        return [], [REVERSE_CHARGE]
    return list(rows.filter(is_reverse_charge=False).order_by("name", "pk")), []
