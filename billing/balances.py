"""Wallets: which there are of a tenant."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.models import Tenant
from billing.models import Balance


def wallets() -> QuerySet[Balance]:
    """The wallets of all tenants, each of which has one at most."""
    return Balance.objects.filter(kind=Balance.Kind.WALLET)


def open_wallet(tenant: Tenant) -> Balance:
    """The tenant's wallet, created empty if it has none yet."""
    wallet, _created = wallets().get_or_create(
        tenant=tenant, defaults={"kind": Balance.Kind.WALLET, "currency": tenant.currency}
    )
    return wallet


def wallet_of(tenant: Tenant) -> Balance | None:
    return wallets().filter(tenant=tenant).first()
