"""Balances: which there are of a tenant, and which of them a request takes from."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.models import Tenant
from billing.models import Balance

_wallet_ids: dict[int, int] = {}
"""Of this process's database, by tenant: a wallet never changes and never goes."""


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


def legs(tenant_id: int, key_id: int) -> tuple[int, ...]:
    """The ids, in rising order, of the balances that a request with this key takes from.

    That is the tenant's wallet; nothing if it has none, and then nothing can be held. A wallet that was found is
    remembered; one that is not there is looked for again.
    """
    found = _wallet_ids.get(tenant_id)
    if found is None:
        found = wallets().filter(tenant=tenant_id).values_list("pk", flat=True).first()
        if found is None:
            return ()
        _wallet_ids[tenant_id] = found
    return (found,)
