"""The usage page's FOCUS file: every demanded column, and sums that equal the page and the ledger."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable
from decimal import Decimal

from django.urls import reverse

from accounts import keys
from accounts.models import ApiKey, Tenant, User
from billing.models import Price, UsageRecord
from tests.pages import Browser, whole

MARCH = "?first=2026-03-01&last=2026-03-31"
MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart",
    "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
}  # fmt: skip
"""Of FOCUS 1.2, "Cost and Usage" columns with feature level Mandatory."""
MAY_BE_NULL = {"ChargeClass", "BillingAccountName"}


def rows(browser: Browser, query: str) -> list[dict[str, str]]:
    answer = browser.get(reverse("portal:usage_focus") + query)
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(whole(answer))))


def test_every_demanded_column_is_filled(alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    record(started_at=dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC), cost=1_500_000_001, cached_input_tokens=3)

    [row] = rows(alices, MARCH)

    assert row.keys() >= MANDATORY
    assert not [name for name in MANDATORY - MAY_BE_NULL if not row[name]]
    assert row["BilledCost"] == row["EffectiveCost"] == "1.500000001"
    assert row["BillingAccountId"] == str(tenant.pk)
    assert (row["ChargeCategory"], row["ChargeClass"]) == ("Usage", "")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == ("15", "Tokens")
    assert (row["x_InputTokens"], row["x_CachedInputTokens"], row["x_OutputTokens"]) == ("10", "3", "5")


def test_days_and_months_are_the_tenants(alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    tenant.time_zone = "Asia/Ho_Chi_Minh"
    tenant.save()
    record(started_at=dt.datetime(2026, 2, 28, 17, tzinfo=dt.UTC))

    [row] = rows(alices, MARCH)

    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-02-28T17:00:00Z", "2026-03-01T17:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-02-28T17:00:00Z", "2026-03-31T17:00:00Z")


def test_p12_every_export_of_the_same_days_adds_up_to_the_same(
    alices: Browser, alice: User, tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    other_key = keys.issue(tenant=tenant, created_by=alice, name="second").api_key
    other_price = Price.objects.create(model="other-test", input=1, output=1)
    for day in range(1, 29):
        record(started_at=dt.datetime(2026, 3, day, 23, 59, 59, tzinfo=dt.UTC), cost=day * 7_000_001)
        record(started_at=dt.datetime(2026, 3, day, 12, tzinfo=dt.UTC), cost=3, api_key=other_key)
        record(started_at=dt.datetime(2026, 3, day, tzinfo=dt.UTC), cost=11, model="other-test", price=other_price)
    cost = sum(UsageRecord.objects.values_list("cost", flat=True))
    tokens = sum(each.input_tokens + each.output_tokens for each in UsageRecord.objects.all())

    sums = {}
    for by in ("day", "hour", "model", "key", "member"):
        answer = alices.get(reverse("portal:usage_csv") + MARCH + f"&by={by}")
        lines = list(csv.DictReader(io.StringIO(answer.content.decode())))
        sums[by] = (
            sum(Decimal(line["cost"]) for line in lines),
            sum(int(line["input_tokens"]) + int(line["output_tokens"]) for line in lines),
        )
    focus = rows(alices, MARCH)
    sums["focus"] = sum(Decimal(row["BilledCost"]) for row in focus), sum(int(row["ConsumedQuantity"]) for row in focus)

    assert len(focus) == 28 * 3
    assert set(sums.values()) == {(Decimal(cost).scaleb(-9), tokens)}


def test_name_that_is_a_formula_is_none(alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    tenant.name = "=1+1"
    tenant.save()
    record()
    assert rows(alices, MARCH)[0]["BillingAccountName"] == "'=1+1"


def test_key_and_model_narrow_the_file(
    alices: Browser, alice: User, tenant: Tenant, api_key: ApiKey, record: Callable[..., UsageRecord]
) -> None:
    other = keys.issue(tenant=tenant, created_by=alice, name="second").api_key
    record()
    record(api_key=other)
    assert [row["SubAccountId"] for row in rows(alices, f"{MARCH}&key={other.pk}")] == [str(other.pk)]
    assert len(rows(alices, f"{MARCH}&model=gpt-test")) == 2


def test_days_that_make_no_sense_are_refused_in_words(alices: Browser) -> None:
    answer = alices.get(reverse("portal:usage_focus") + "?first=2026-03-02&last=2026-03-01")
    assert answer.status_code == 400
    assert "before the first" in answer.content.decode()
