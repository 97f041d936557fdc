"""The operator's pages of quotas."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from accounts.models import ApiKey, Tenant
from billing import quotas
from billing.models import Balance, Quota
from tests.pages import Browser

DOLLAR = 10**9


def test_operator_sets_a_quota_in_the_tenants_currency(desk: Browser, tenant: Tenant, api_key: ApiKey) -> None:
    chosen = f"?tenant={tenant.pk}&api_key={api_key.pk}"  # as the pickers fill it in
    desk.open(reverse("admin:billing_quota_add") + chosen).press("Save", period="day", limit="2.5", is_hard=True)

    quota = Quota.objects.get()
    assert (quota.tenant, quota.api_key, quota.period, quota.amount) == (tenant, api_key, "day", 2_500_000_000)
    assert "2.50" in desk.open(reverse("admin:billing_quota_changelist")).text


@pytest.mark.parametrize("limit", ["-1", "0.0000000001", ""])
def test_amount_that_is_none_is_refused(desk: Browser, tenant: Tenant, limit: str) -> None:
    page = desk.open(reverse("admin:billing_quota_add") + f"?tenant={tenant.pk}")
    answer = page.press("Save", period="day", limit=limit)
    assert answer.status == 200
    assert not Quota.objects.exists()


def test_second_quota_of_a_kind_is_refused(desk: Browser, tenant: Tenant) -> None:
    quotas.grant(tenant, amount=DOLLAR, period="day")

    page = desk.open(reverse("admin:billing_quota_add") + f"?tenant={tenant.pk}")
    answer = page.press("Save", period="day", limit="5", is_hard=True)

    assert "There is a quota of this kind already." in answer.text
    assert Quota.objects.get().amount == DOLLAR


def test_change_holds_for_the_present_period(desk: Browser, tenant: Tenant) -> None:
    quota = quotas.grant(tenant, amount=DOLLAR, period="total")
    row = quotas.balance_of(quota, quota.created_at)

    desk.open(reverse("admin:billing_quota_change", args=[quota.pk])).press("Save", limit="3")

    quota.refresh_from_db()
    assert (quota.amount, Balance.objects.get(pk=row.pk).available) == (3 * DOLLAR, 3 * DOLLAR)


def test_quota_is_ended_and_stays(desk: Browser, tenant: Tenant) -> None:
    quota = quotas.grant(tenant, amount=DOLLAR, period="total")

    desk.open(reverse("admin:billing_quota_changelist")).run("End the selected quotas", quota)

    quota.refresh_from_db()
    assert quota.ended_at is not None
    ended_at = quota.ended_at
    desk.open(reverse("admin:billing_quota_changelist")).run("End the selected quotas", quota)
    quota.refresh_from_db()
    assert quota.ended_at == ended_at
    (entry,) = LogEntry.objects.filter(object_id=str(quota.pk))
    assert "in force \N{RIGHTWARDS ARROW} ended" in entry.get_change_message()
    assert desk.forge(reverse("admin:billing_quota_delete", args=[quota.pk]), {"post": "yes"}).status == 403
    assert Quota.objects.exists()
