"""Which balances there are, and which a request takes from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant
from billing import balances
from billing.models import Balance
from tests.bookkeeping import Account


@pytest.fixture(autouse=True)
def _nothing_remembered(database: str) -> Iterator[None]:
    """Ids of one test's database say nothing in another."""
    balances._wallet_ids.clear()
    yield
    balances._wallet_ids.clear()


def test_wallet_is_opened_once(database: str) -> None:
    tenant = Tenant.objects.create(name="New")

    first, second = balances.open_wallet(tenant), balances.open_wallet(tenant)

    assert first == second
    assert (first.kind, first.available, first.currency) == (Balance.Kind.WALLET, 0, "USD")
    assert balances.wallet_of(tenant) == first


def test_legs_of_a_request_are_its_tenants_wallet(rich: Account, other: Account) -> None:
    assert balances.legs(rich.tenant.pk, 1) == (rich.wallet.pk,)
    assert balances.legs(other.tenant.pk, 1) == (other.wallet.pk,)


def test_wallet_is_looked_up_once(rich: Account) -> None:
    balances.legs(rich.tenant.pk, 1)

    with CaptureQueriesContext(connection) as queries:
        assert balances.legs(rich.tenant.pk, 2) == (rich.wallet.pk,)
    assert len(queries) == 0


def test_absent_wallet_is_looked_for_again(database: str) -> None:
    tenant = Tenant.objects.create(name="Bare")
    assert (balances.legs(tenant.pk, 1), balances.wallet_of(tenant)) == ((), None)

    wallet = balances.open_wallet(tenant)

    assert balances.legs(tenant.pk, 1) == (wallet.pk,)


def test_balance_cannot_be_deleted(rich: Account) -> None:
    with pytest.raises(ValidationError):
        rich.wallet.delete()

    assert rich.available == 1000
