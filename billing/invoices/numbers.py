"""Numbers of documents: without gaps in each series, because they are taken from a locked row by the transaction that
makes the document final. Who rolls back gives the number back.

Every document counts in two series of its kind and year, its legal entity's and its tenant's; the entity's scheme says
which of the two it shows. So the scheme may change at any time, and no number is given twice.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db import connection

from accounts.models import Tenant
from billing.models import LegalEntity, NumberSeries

_LETTERS: Final = {
    NumberSeries.Kind.INVOICE: "INV",
    NumberSeries.Kind.STATEMENT: "ST",
    NumberSeries.Kind.CREDIT_NOTE: "CN",
}


def take(*, entity: LegalEntity, kind: NumberSeries.Kind, tenant: Tenant, day: dt.date) -> str:
    """The next number; the caller's transaction holds the series until it ends. RuntimeError outside of one."""
    if not connection.in_atomic_block:
        raise RuntimeError("a number is taken inside the transaction that uses it")
    of_entity = _next(entity, kind, day.year, None)
    of_tenant = _next(entity, kind, day.year, tenant)
    if entity.numbering == LegalEntity.Numbering.TENANT:
        return f"{entity.prefix}-{_LETTERS[kind]}-{day.year}-T{tenant.pk}-{of_tenant:05}"
    return f"{entity.prefix}-{_LETTERS[kind]}-{day.year}-{of_entity:05}"


def _next(entity: LegalEntity, kind: NumberSeries.Kind, year: int, tenant: Tenant | None) -> int:
    key: dict[str, Any] = {"entity": entity, "kind": kind, "year": year, "tenant": tenant}
    NumberSeries.objects.get_or_create(**key)
    row = NumberSeries.objects.select_for_update().get(**key)
    row.last += 1
    row.save(update_fields=("last",))
    return row.last
