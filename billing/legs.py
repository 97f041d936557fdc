"""Legs: which of a tenant's balances a request takes from."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection
from django.utils import timezone

from accounts.callers import NO_LEGS, Legs
from accounts.key_rows import is_one_of
from billing import balances, quotas
from billing.quotas import Drawing

_wallet_ids: dict[int, int] = {}
"""Of this process's database, by tenant: a wallet never changes and never goes."""


def legs_of_key(api_key: Drawing) -> Legs:
    """The balances that a request with this key takes from: the wallet, and each quota in its present period.

    None if the tenant has no wallet, and then nothing can be held.
    """
    return legs_of_keys([api_key])[api_key.pk]


def legs_of_keys(api_keys: Sequence[Drawing]) -> dict[int, Legs]:
    """The same of many keys, by their ids, with a few queries for all of them.

    A wallet that was found is remembered; one that is not there is looked for again.
    """
    now = timezone.now()
    wallet_ids = _wallets_of({key.tenant_id for key in api_keys})
    plan_ids, quota_ids = _plans_and_quotas(api_keys)
    by_subject = quotas.by_subject(quota_ids) if quota_ids else {}
    present = quotas.present_limits([each for group in by_subject.values() for each in group], now)
    found = {}
    for key in api_keys:
        wallet = wallet_ids.get(key.tenant_id)
        if wallet is None:
            found[key.pk] = NO_LEGS
            continue
        own = quotas.about(key, by_subject)
        limits = dict(present[quota.pk] for quota in own if quota.pk in present)
        per_session = tuple(quota.pk for quota in own if quota.pk not in present)
        ends = [limit.ends_at for limit in limits.values() if limit.ends_at is not None]
        ids, until = tuple(sorted((wallet, *limits))), min(ends, default=None)
        found[key.pk] = Legs(ids, until, limits, plan_ids.get(key.tenant_id, 0), per_session)
    return found


def _wallets_of(tenant_ids: set[int]) -> dict[int, int]:
    missing = [tenant_id for tenant_id in tenant_ids if tenant_id not in _wallet_ids]
    if missing:
        _wallet_ids.update(balances.wallets().filter(tenant__in=missing).values_list("tenant_id", "pk"))
    return {tenant_id: _wallet_ids[tenant_id] for tenant_id in tenant_ids if tenant_id in _wallet_ids}


def _plans_and_quotas(api_keys: Sequence[Drawing]) -> tuple[dict[int, int], list[int]]:
    """The plans of the keys' tenants, and the ids of the quotas that the keys draw on: of most there are none.

    Each condition is one that an index answers, so that neither other keys' quotas nor other tenants' are read.
    """
    tenants = list({key.tenant_id for key in api_keys})
    makers = list({key.created_by_id for key in api_keys if key.created_by_id is not None})
    quota = "SELECT 0, id FROM billing_quota WHERE ended_at IS NULL AND"
    parts = [
        ("SELECT tenant_id, plan_id FROM billing_tenantplan WHERE", is_one_of("tenant_id", tenants)),
        (f"{quota} user_id IS NULL AND api_key_id IS NULL AND", is_one_of("tenant_id", tenants)),
        (f"{quota}", is_one_of("api_key_id", [key.pk for key in api_keys])),
    ]
    if makers:
        parts.append((quota, is_one_of("user_id", makers)))
    text = " UNION ALL ".join(f"{start} {condition}" for start, (condition, _values) in parts)
    with connection.cursor() as cursor:
        cursor.execute(text, [value for _start, (_condition, values) in parts for value in values])
        rows = cursor.fetchall()
    return {tenant: plan for tenant, plan in rows if tenant}, [quota for tenant, quota in rows if not tenant]
