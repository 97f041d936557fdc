"""P10: what a form of money and limits takes is saved, shown again, and counts; what it does not know changes nothing.

Elsewhere a budget's field was accepted, not saved and not enforced.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Model
from django.urls import reverse

from accounts.models import ApiKey, Tenant
from billing import quotas
from billing.models import BillingProfile, LegalEntity, Quota, TaxRate
from tests.pages import Browser

_UNKNOWN = {"amount_limit": "1", "hard": "on", "threshold": "1", "tenant_id": "7", "credit_line": "1"}


def _profile(tenant: Tenant) -> Model:
    return BillingProfile.objects.create(tenant=tenant, name="Alice Ltd")


def _entity(_tenant: Tenant) -> Model:
    return LegalEntity.objects.create(name="Router Ltd", address="x", country="VN", prefix="R", is_default=True)


def _tax(_tenant: Tenant) -> Model:
    return TaxRate.objects.create(jurisdiction="VN", name="VAT", percent=8, starts_on=dt.date(2026, 1, 1))


def _quota(tenant: Tenant) -> Model:
    return quotas.grant(tenant, amount=10**9, period="total", is_hard=False)


FORMS: dict[str, tuple[Callable[[Tenant], Model], dict[str, Any]]] = {
    "billingprofile": (
        _profile,
        {
            "name": "Alice Holding", "address": "5 Main Street", "country": "VN", "tax_id": "33-99", "language": "vi",
            "email": "books@example.com", "billed": "postpaid", "invoice_at": "12.5", "tax_exemption": "EX-1",
        },
    ),
    "legalentity": (
        _entity,
        {
            "name": "Router GmbH", "address": "2 Side Street", "country": "DE", "tax_id": "DE1", "bank": "IBAN 1",
            "email": "bills@example.com", "prefix": "RG", "numbering": "tenant", "time_zone": "Europe/Berlin",
            "is_default": False,
        },
    ),
    "taxrate": (
        _tax,
        {
            "jurisdiction": "DE", "name": "USt", "percent": "19.50000", "starts_on": "2026-02-01",
            "ends_on": "2026-12-31", "is_inclusive": True, "is_on_statements": True, "is_reverse_charge": True,
        },
    ),
    "quota": (_quota, {"limit": "3.25", "is_hard": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_p10_every_field_of_a_form_is_read_back(desk: Browser, tenant: Tenant, name: str) -> None:
    make, typed = FORMS[name]
    address = reverse(f"admin:billing_{name}_change", args=[make(tenant).pk])
    before = desk.open(address).values("Save")
    ignored = {"csrfmiddlewaretoken", "tenant", "entity"}
    fields = {field for field in before if not field.startswith("initial-")} - ignored
    assert fields == set(typed), "a new field belongs into this test"

    desk.open(address).press("Save", **typed)

    after = desk.open(address).values("Save")
    shown = {key: after[key] for key in typed}
    assert shown == {key: _as_shown(value) for key, value in typed.items()}
    assert all(before[key] != after[key] for key in typed if before[key] != _as_shown(typed[key]))


def _as_shown(value: Any) -> list[str]:
    if isinstance(value, bool):
        return ["on"] if value else []
    return [str(value)]


@pytest.mark.parametrize("name", FORMS)
def test_p10_fields_that_a_form_does_not_have_change_nothing(desk: Browser, tenant: Tenant, name: str) -> None:
    make, _typed = FORMS[name]
    made = make(tenant)
    address = reverse(f"admin:billing_{name}_change", args=[made.pk])
    before = type(made)._default_manager.values().get(pk=made.pk)
    held = desk.open(address).values("Save")

    desk.forge(address, held | {key: [value] for key, value in _UNKNOWN.items() if key not in held})

    assert type(made)._default_manager.values().get(pk=made.pk) == before


def test_p10_quota_that_a_form_saved_is_the_line_that_requests_meet(
    desk: Browser, tenant: Tenant, api_key: ApiKey
) -> None:
    chosen = f"?tenant={tenant.pk}&api_key={api_key.pk}"
    desk.open(reverse("admin:billing_quota_add") + chosen).press("Save", period="total", limit="2.5", is_hard=True)

    quota = Quota.objects.get()
    row = quotas.balance_of(quota, quota.created_at)

    assert (row.credit_line, row.available) == (2_500_000_000, 2_500_000_000)
    assert quotas.of_key(api_key) == [quota]
