"""Which balances there are, and which a request takes from."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import keys
from accounts.callers import NO_LEGS, Legs
from accounts.models import ApiKey, Tenant
from billing import balances
from billing.legs import legs_of_key
from billing.models import Balance
from tests.bookkeeping import Account


def test_wallet_is_opened_once(database: str) -> None:
    tenant = Tenant.objects.create(name="New")

    first, second = balances.open_wallet(tenant), balances.open_wallet(tenant)

    assert first == second
    assert (first.kind, first.available, first.currency) == (Balance.Kind.WALLET, 0, "USD")
    assert balances.wallet_of(tenant) == first


def test_legs_of_a_request_are_its_tenants_wallet(rich: Account, other: Account) -> None:
    assert legs_of_key(key_of(rich.tenant)) == Legs((rich.wallet.pk,))
    assert legs_of_key(key_of(other.tenant)) == Legs((other.wallet.pk,))


def key_of(tenant: Tenant) -> ApiKey:
    return keys.issue(tenant=tenant, created_by=None, name="a key").api_key


def test_wallet_is_looked_up_once(rich: Account) -> None:
    one, another = key_of(rich.tenant), key_of(rich.tenant)
    legs_of_key(one)

    with CaptureQueriesContext(connection) as queries:
        assert legs_of_key(another) == Legs((rich.wallet.pk,))
    assert len(queries) == 1  # its plan and its quotas


def test_absent_wallet_is_looked_for_again(database: str) -> None:
    tenant = Tenant.objects.create(name="Bare")
    api_key = key_of(tenant)
    assert (legs_of_key(api_key), balances.wallet_of(tenant)) == (NO_LEGS, None)

    wallet = balances.open_wallet(tenant)

    assert legs_of_key(api_key) == Legs((wallet.pk,))


def test_balance_cannot_be_deleted(rich: Account) -> None:
    with pytest.raises(ValidationError):
        rich.wallet.delete()

    assert rich.available == 1000
