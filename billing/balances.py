"""Balances: which there are of a tenant, and which of them a request takes from."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone

from accounts.authentication import NO_LEGS, Legs
from accounts.models import ApiKey, Tenant
from billing import plans, quotas
from billing.models import Balance, Quota

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


def legs(api_key: ApiKey) -> Legs:
    """The balances that a request with this key takes from: the wallet, and each quota in its present period.

    None if the tenant has no wallet, and then nothing can be held. A wallet that was found is remembered; one that is
    not there is looked for again.
    """
    wallet = _wallet_ids.get(api_key.tenant_id)
    if wallet is None:
        wallet = wallets().filter(tenant=api_key.tenant_id).values_list("pk", flat=True).first()
        if wallet is None:
            return NO_LEGS
        _wallet_ids[api_key.tenant_id] = wallet
    now = timezone.now()
    rows = quotas.of_key(api_key)
    limits = dict(quotas.limit_now(quota, now) for quota in rows if quota.period != Quota.Period.SESSION)
    per_session = tuple(quota.pk for quota in rows if quota.period == Quota.Period.SESSION)
    ends = [limit.ends_at for limit in limits.values() if limit.ends_at is not None]
    ids, until = tuple(sorted((wallet, *limits))), min(ends, default=None)
    return Legs(ids, until, limits, plans.plan_of(api_key.tenant_id), per_session)
