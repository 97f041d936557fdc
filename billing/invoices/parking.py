"""Tenants whose documents wait for a person: one that fails keeps nobody else waiting."""

from __future__ import annotations

from typing import Final

from django.db.models import F
from django.utils import timezone

from accounts.models import Tenant
from billing.models import ParkedTenant

_LONGEST: Final = 500
"""Of the reason."""


def park(tenant: Tenant | int, step: ParkedTenant.Step, reason: str) -> None:
    """Keeps why a step failed for this tenant; since when stays, attempts are counted."""
    tenant_id = tenant.pk if isinstance(tenant, Tenant) else tenant
    reason = reason[:_LONGEST]
    rows = ParkedTenant.objects.filter(tenant=tenant_id, step=step)
    if not rows.update(reason=reason, attempts=F("attempts") + 1):
        ParkedTenant.objects.get_or_create(
            tenant_id=tenant_id, step=step, defaults={"reason": reason, "since": timezone.now()}
        )


def unpark(tenant: Tenant | int, step: ParkedTenant.Step) -> None:
    """The step went well: nothing waits any more."""
    tenant_id = tenant.pk if isinstance(tenant, Tenant) else tenant
    ParkedTenant.objects.filter(tenant=tenant_id, step=step).delete()
