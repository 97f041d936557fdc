"""What the portal's pages show: a price and requests at it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from accounts.models import ApiKey, Tenant
from billing.models import Price, UsageRecord
from tests.records import usage_record


@pytest.fixture
def price(db: None) -> Price:
    return Price.objects.create(model="gpt-test", input=1_000_000_000, output=2_000_000_000)


@pytest.fixture
def record(tenant: Tenant, price: Price, api_key: ApiKey) -> Callable[..., UsageRecord]:
    """Writes a usage record, of Alice's tenant at this price unless the fields say otherwise."""
    return partial(usage_record, tenant, price, api_key)
