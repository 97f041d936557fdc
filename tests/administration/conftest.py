"""What the administration's pages show: a model, its price, a request that it answered, and a row of every kind."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models import Model
from django.utils import timezone

from accounts.models import ApiKey, Tenant, User
from billing import approvals, codes, quotas
from billing.invoices import crediting, finalising, jobs, parking
from billing.models import (
    Balance,
    BillingProfile,
    Break,
    CodeBatch,
    CreditNote,
    LedgerEntry,
    LegalEntity,
    ParkedTenant,
    PostingRequest,
    Price,
    PricePlan,
    Process,
    QuotaDefault,
    Reconciliation,
    TaxRate,
    UsageRecord,
)
from routing.models import CatalogueModel, Channel, CostPrice, Route
from tests.records import attempt, candidate, payments, refused_call, reservation, usage_record


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


@pytest.fixture
def rows(record: UsageRecord, charlie: User, api_key: ApiKey) -> dict[str, Model]:
    """A row of every model that has pages; nothing depends on those that can be deleted."""
    channel = Channel.objects.create(name="served", provider="fake", base_url="fake://served")
    served = Route.objects.create(channel=channel, model=CatalogueModel.objects.get(), upstream_name="u")
    spare = CatalogueModel.objects.create(name="spare")
    made: list[Any] = [
        api_key, record.tenant, charlie, record, Balance.objects.get(tenant=record.tenant), record.price,
        LedgerEntry.objects.filter(balance__tenant=record.tenant).earliest("id"), spare,
        PricePlan.objects.create(name="spare"),
        _batch(), _posting(record),
        Group.objects.create(name="spare"),
        Break.objects.create(check_name="usage", subject="tenant 1", expected=1, found=2),
        Reconciliation.objects.create(started_at=timezone.now(), found=0),
        Process.objects.create(host="web-1", pid=1, started_at=timezone.now(), heartbeat_at=timezone.now()),
        quotas.grant(record.tenant, amount=10**9, period="month"),
        QuotaDefault.objects.create(tenant=record.tenant, about="member", amount=1),
        reservation(record), refused_call(record.tenant, api_key), *_documents(record),
        Channel.objects.create(name="spare", provider="fake", base_url="fake://spare"),
        CostPrice.objects.create(route=served, input=1, output=1),
        Route.objects.create(channel=channel, model=CatalogueModel.objects.create(name="other"), upstream_name="u"),
        *payments(record.tenant),
    ]  # fmt: skip
    return {row._meta.label_lower: row for row in made}


def _batch() -> CodeBatch:
    batch = CodeBatch(label="spare", amount=1, currency="USD", number=1)
    codes.make(batch)
    CodeBatch.objects.update(needs_approval=True)
    return batch


def _posting(record: UsageRecord) -> PostingRequest:
    asking = User.objects.create_superuser("oscar@example.com")
    return approvals.request(
        balance=Balance.objects.get(tenant=record.tenant), kind=LedgerEntry.Kind.GRANT, amount=1, reference="asked",
        note="goodwill", created_by=asking,
    )  # fmt: skip


def _documents(record: UsageRecord) -> list[Any]:
    """A statement of a month that is over, with a credit note, and what they need."""
    tenant = record.tenant
    usage_record(tenant, record.price, record.api_key, cost=10**9, started_at=timezone.now())
    wallet, now = Balance.objects.get(tenant=tenant), timezone.now() + dt.timedelta(days=40)
    seller = LegalEntity.objects.create(name="Router Ltd", address="x", country="VN", prefix="R", is_default=True)
    profile = BillingProfile.objects.create(tenant=tenant, name="Alice Ltd")
    (draft, *_later) = jobs.close(wallet, now=now)
    invoice = finalising.finalise(draft.pk)
    largest = max(range(len(invoice.document["lines"])), key=lambda place: invoice.document["lines"][place]["amount"])
    note = crediting.credit(invoice.pk, lines={largest: 1}, effect=CreditNote.Effect.WALLET, reason="an outage")
    parking.park(tenant, ParkedTenant.Step.CLOSE, "for a test")
    tax = TaxRate.objects.create(jurisdiction="US", name="tax", percent=1)
    return [seller, profile, invoice, note, tax, ParkedTenant.objects.get()]
