"""Usage records as the writer leaves them behind, with the decisions and attempts inside."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.db.models import Model
from django.utils import timezone

from accounts.models import ApiKey, RefusedCall, Tenant
from billing import balances
from billing.models import (
    AutomaticTopUp,
    BankTransfer,
    ExchangeRate,
    PaymentAlarm,
    PaymentDispute,
    PaymentEvent,
    PaymentOrder,
    PaymentRefund,
    Price,
    Reservation,
    UsageRecord,
)

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


def usage_record(tenant: Tenant, price: Price, api_key: ApiKey, /, **fields: Any) -> UsageRecord:
    """Writes one, of a second at noon unless the fields say otherwise; the wallet is left alone."""
    started_at = fields.get("started_at", NOON)
    given: dict[str, Any] = {
        "id": uuid.uuid4(),
        "tenant": tenant,
        "legs": [balances.open_wallet(tenant).pk],
        "api_key": api_key,
        "endpoint": "chat.completions",
        "requested_model": price.model,
        "model": price.model,
        "price": price,
        "currency": price.currency,
        "outcome": "success",
        "status": 200,
        "usage_source": "upstream",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost": 20_000,
        "held": 90_000,
        "claimed_cost": fields.get("cost", 20_000),
        "started_at": started_at,
        "settled_at": started_at + dt.timedelta(seconds=1),
        "duration_ms": 1000,
    }
    return UsageRecord.objects.create(**(given | fields))


def decision(*candidates: dict[str, Any]) -> dict[str, Any]:
    expected = {"input": 1200, "cached_input": 300, "output": 50}
    return {"strategy": "cheapest", "expected": expected, "candidates": list(candidates)}


def candidate(channel: str, state: str = "ready", **fields: Any) -> dict[str, Any]:
    given = {
        "route": 1,
        "channel": channel,
        "upstream_model": "upstream-name",
        "state": state,
        "reason": None,
        "expected_cost": 100,
        "currency": "USD",
        "success_rate": 1.0,
        "priority": 0,
        "weight": 1,
    }
    return given | fields


def attempt(channel: str, outcome: str = "answered", **fields: Any) -> dict[str, Any]:
    given = {
        "channel": channel,
        "upstream_model": "upstream-name",
        "outcome": outcome,
        "status": 200,
        "detail": "secret-host.internal refused key sk-upstream",
        "started_ms": 3,
        "duration_ms": 900,
    }
    return given | fields


def reservation(record: UsageRecord) -> Reservation:
    """Seven ledger units held by a request like the recorded one."""
    return Reservation.objects.create(
        id=uuid.uuid4(), legs=record.legs, amount=7, owner=uuid.uuid4(), tenant_id=record.tenant_id,
        api_key_id=record.api_key_id, endpoint="chat.completions", model=record.model, price_id=record.price_id,
        created_at=timezone.now(),
    )  # fmt: skip


def refused_call(tenant: Tenant, api_key: ApiKey, /, **fields: Any) -> RefusedCall:
    """Writes a row of refused calls, of this minute unless the fields say otherwise."""
    at = fields.get("at", timezone.now())
    given: dict[str, Any] = {
        "tenant": tenant, "api_key": api_key, "code": "model_not_found", "status": 404, "count": 1, "at": at,
        "minute": at.replace(second=0, microsecond=0), "path": "/v1/chat/completions", "param": "model",
        "message": "The model 'gpt-typo' does not exist or you do not have access to it.", "model": "gpt-typo",
    }  # fmt: skip
    return RefusedCall.objects.create(**(given | fields))


def payments(tenant: Tenant) -> list[Model]:
    """A paid order of 20 dollars and one row of everything else that payments leave; the wallet is left alone."""
    order = PaymentOrder.objects.create(
        tenant=tenant, gateway="stripe", pay_currency="USD", pay_amount=2000, credit_currency="USD",
        credit_amount=20 * 10**9, state="paid", received=2000, credited=20 * 10**9, refunded=500, expires_at=NOON,
        paid_at=NOON, payment_id=f"pi_{tenant.pk}",
    )  # fmt: skip
    return [
        order,
        PaymentRefund.objects.create(order=order, amount=500, taken=5 * 10**9, reason="asked for it"),
        PaymentDispute.objects.create(order=order, external_id=f"dp_{tenant.pk}", amount=0, taken=0),
        PaymentEvent.objects.create(gateway="stripe", external_id=f"evt_{tenant.pk}", type="x", order=order),
        PaymentAlarm.objects.create(kind="mismatch", gateway="stripe", reference=f"pi_{tenant.pk}", detail="x"),
        BankTransfer.objects.create(
            reference=f"FT{tenant.pk}", amount=500_000, currency="VND", state="unmatched", doubt="no_memo"
        ),
        ExchangeRate.objects.create(rate=25_500_500_000, source="a bank"),
        AutomaticTopUp.objects.create(tenant=tenant, threshold=1, amount=1, monthly_ceiling=1),
    ]
