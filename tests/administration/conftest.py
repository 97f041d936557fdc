"""What the administration's pages show: a model, its price, and a request that it answered."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.models import ApiKey, Tenant
from billing.models import Price, UsageRecord
from routing.models import CatalogueModel
from tests.records import attempt, candidate, usage_record


@pytest.fixture
def model(db: None) -> CatalogueModel:
    return CatalogueModel.objects.create(name="demo-small")


@pytest.fixture
def price(model: CatalogueModel) -> Price:
    return Price.objects.create(
        model=model.name, input=250_000_000, cached_input=25_000_000, output=2_000_000_000, request_fee=1_000
    )


@pytest.fixture
def record(tenant: Tenant, price: Price, api_key: ApiKey) -> UsageRecord:
    return usage_record(
        tenant, price, api_key, requested_model="demo-small:floor", input_tokens=1_532, cached_input_tokens=1_024,
        output_tokens=317, reasoning_tokens=64, cost=787_600, held=8_000_000, provider_cost=266_400,
        provider_currency="USD", channel="cheap", upstream_model="small-2", started_at=timezone.now(),
        decision={"strategy": "cheapest", "candidates": [
            candidate("cheap", "chosen", upstream_model="small-2", expected_cost=266_400, success_rate=0.98),
            candidate("other", "out", upstream_model="small-3", reason="breaker_open", expected_cost=None),
        ]},
        attempts=[attempt("steady", "bad_status", status=503, detail="<script>alert(1)</script>")],
    )  # fmt: skip
