"""Opening a tenant."""

from __future__ import annotations

from django.db import transaction

from accounts.models import Member, Tenant, User


def open_tenant(*, owner: User, name: str, currency: Tenant.Currency = Tenant.Currency.USD) -> Tenant:
    """A new tenant with this user as its owner."""
    with transaction.atomic():
        tenant = Tenant.objects.create(name=name, currency=currency)
        Member.objects.create(tenant=tenant, user=owner, role=Member.Role.OWNER)
    return tenant
