"""Quotas: who sets them, what they show, and what is refused."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import ApiKey, Member, Tenant, User
from billing import quotas
from billing.models import Quota
from tests.pages import Browser

LIST = "portal:quotas"
DOLLAR = 10**9


def open_list(browser: Browser) -> str:
    return browser.open(reverse(LIST)).text


def test_page_without_quotas_says_what_they_are_for(alices: Browser) -> None:
    assert "No quota yet" in open_list(alices)


@pytest.mark.parametrize("about", ["tenant", "user", "key"])
def test_quota_is_set_for_the_organisation_a_member_or_a_key(
    alices: Browser, alice: User, tenant: Tenant, api_key: ApiKey, about: str
) -> None:
    subjects = {"tenant": "tenant", "user": f"user-{alice.pk}", "key": f"key-{api_key.pk}"}
    names = {"tenant": tenant.name, "user": alice.get_full_name(), "key": api_key.name}

    answer = alices.open(reverse("portal:quota_create")).press(
        "Set the quota", about=subjects[about], period="week", amount="12.5", is_hard=True
    )

    quota = Quota.objects.get()
    assert answer.location == reverse(LIST)
    assert (quota.tenant, quota.period, quota.amount, quota.is_hard) == (tenant, "week", 12_500_000_000, True)
    assert (quota.user, quota.api_key) == (alice if about == "user" else None, api_key if about == "key" else None)
    text = open_list(alices)
    assert names[about] in text
    assert "12.50" in text


def test_second_quota_of_a_kind_is_refused(alices: Browser, tenant: Tenant) -> None:
    quotas.grant(tenant, amount=DOLLAR, period="month")

    answer = alices.open(reverse("portal:quota_create")).press(
        "Set the quota", about="tenant", period="month", amount="2", is_hard=True
    )

    assert "There is a quota of this kind already." in answer.text
    assert Quota.objects.get().amount == DOLLAR


@pytest.mark.parametrize("amount", ["-1", "", "abc", "0.0000000001", "99999999999999"])
def test_amount_that_is_none_is_refused(alices: Browser, amount: str) -> None:
    answer = alices.open(reverse("portal:quota_create")).press(
        "Set the quota", about="tenant", period="month", amount=amount
    )
    assert answer.status == 200
    assert not Quota.objects.exists()


def test_quota_is_changed_and_ended(alices: Browser, tenant: Tenant) -> None:
    quota = quotas.grant(tenant, amount=20 * DOLLAR, period="month")

    page = alices.open(reverse("portal:quota", args=[quota.pk]))
    assert 'value="20"' in page.text
    page.press("Save", amount="0.25", is_hard=False)

    quota.refresh_from_db()
    assert (quota.amount, quota.is_hard) == (DOLLAR // 4, False)
    assert "only counts" in open_list(alices)
    alices.open(reverse(LIST)).press(f"End: {tenant.name}, per month")
    quota.refresh_from_db()
    assert quota.ended_at is not None
    assert "No quota yet" in open_list(alices)


@pytest.mark.parametrize("role", ["developer", "billing"])
def test_only_owners_and_admins_set_quotas(bob: User, tenant: Tenant, role: str) -> None:
    Member.objects.filter(user=bob).update(role=role)
    quota = quotas.grant(tenant, amount=DOLLAR, period="month")
    bobs = Browser(bob)

    assert tenant.name in open_list(bobs)
    assert "Set a quota" not in open_list(bobs)
    assert bobs.open(reverse("portal:quota_create")).status == 403
    assert bobs.open(reverse("portal:quota", args=[quota.pk])).status == 403
    assert bobs.forge(reverse("portal:quota_create"), {"about": "tenant", "period": "day", "amount": "1"}).status == 403
    assert bobs.forge(reverse("portal:quota", args=[quota.pk]), {"amount": "9"}).status == 403
    assert bobs.forge(reverse("portal:quota_end", args=[quota.pk])).status == 403
    assert [(row.amount, row.ended_at) for row in Quota.objects.all()] == [(DOLLAR, None)]


def test_another_tenants_quota_or_key_is_not_found(alices: Browser, stranger_tenant: Tenant, tenant: Tenant) -> None:
    theirs = quotas.grant(stranger_tenant, amount=DOLLAR, period="month")

    assert alices.open(reverse("portal:quota", args=[theirs.pk])).status == 404
    assert alices.forge(reverse("portal:quota_end", args=[theirs.pk])).status == 404
    assert stranger_tenant.name not in open_list(alices)
    forged = {"about": "user-999999", "period": "day", "amount": "1"}
    assert alices.forge(reverse("portal:quota_create"), forged).status == 200
    assert list(Quota.objects.all()) == [theirs]
