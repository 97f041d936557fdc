"""Quotas: who sets them, what they show, and what is refused."""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from billing import quotas
from billing.models import Price, Quota
from tests.pages import Browser
from tests.records import usage_record

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


def test_default_is_set_shown_given_to_a_new_key_and_ended(alices: Browser, alice: User, tenant: Tenant) -> None:
    alices.open(reverse("portal:quota_create")).press(
        "Set the quota", about="new-key", period="session", amount="0.25", is_hard=True
    )
    page = alices.open(reverse(LIST))
    assert "each new key" in page.text
    fresh = keys.issue(tenant=tenant, created_by=alice, name="fresh").api_key
    assert Quota.objects.get(api_key=fresh).amount == DOLLAR // 4

    page.press(f"End: {tenant.quota_defaults.get()}")

    assert not tenant.quota_defaults.exists()
    assert Quota.objects.get(api_key=fresh).ended_at is None


def test_second_default_of_a_kind_is_refused(alices: Browser, tenant: Tenant) -> None:
    for amount in ("1", "2"):
        page = alices.open(reverse("portal:quota_create")).press(
            "Set the quota", about="new-member", period="day", amount=amount, is_hard=True
        )
    assert "There is a quota of this kind already." in page.text
    assert tenant.quota_defaults.get().amount == DOLLAR


@pytest.mark.parametrize(
    ("about", "amount", "words"),
    [
        ("tenant", "0.5", "In 1 of 2 periods it would have been passed."),
        ("tenant", "9", "It would not have been reached."),
        ("key", "0.5", "Nothing was spent in the last 31 days."),
        ("new-key", "0.5", "nobody knows yet whose spending it will be"),
    ],
)
def test_preview_says_what_last_month_would_have_met_and_sets_nothing(
    alices: Browser, alice: User, tenant: Tenant, api_key: ApiKey, about: str, amount: str, words: str
) -> None:
    price = Price.objects.create(model="m", input=1, output=1)
    unused = keys.issue(tenant=tenant, created_by=alice, name="unused").api_key
    for days, cost in ((1, DOLLAR), (2, DOLLAR // 2), (40, 5 * DOLLAR)):
        usage_record(tenant, price, api_key, cost=cost, started_at=timezone.now() - dt.timedelta(days=days))
    subject = f"key-{unused.pk}" if about == "key" else about

    page = alices.open(reverse("portal:quota_create")).press(
        "Preview", about=subject, period="day", amount=amount, is_hard=True
    )

    assert words in page.text
    assert page.values("Set the quota")["amount"] == [amount]
    assert not Quota.objects.exists()


def test_preview_of_a_change_changes_nothing(alices: Browser, tenant: Tenant) -> None:
    quota = quotas.grant(tenant, amount=DOLLAR, period="month")
    page = alices.open(reverse("portal:quota", args=[quota.pk])).press("Preview", amount="2")
    assert "Nothing was spent in the last 31 days." in page.text
    assert Quota.objects.get().amount == DOLLAR
    page.press("Save")
    assert Quota.objects.get().amount == 2 * DOLLAR


def test_page_of_a_key_shows_its_quotas_and_leads_to_a_new_one(
    alices: Browser, tenant: Tenant, api_key: ApiKey
) -> None:
    page = alices.open(reverse("portal:key", args=[api_key.pk]))
    assert "None: the balance alone limits it." in page.text
    form = page.click("Set a quota")
    assert form.values("Set the quota")["about"] == [f"key-{api_key.pk}"]
    form.press("Set the quota", amount="3", is_hard=True)
    assert "3.00" in alices.open(reverse("portal:key", args=[api_key.pk])).text


def test_page_of_a_key_shows_what_else_its_requests_draw_on(alices: Browser, tenant: Tenant, api_key: ApiKey) -> None:
    quotas.grant(tenant, amount=7 * DOLLAR, period="total")
    quotas.grant(tenant, amount=3 * DOLLAR, period="session", api_key=api_key)

    text = " ".join(alices.open(reverse("portal:key", args=[api_key.pk])).text.split())

    assert 'In total<span class="sub">the whole organisation</span>' in text
    assert 'Per session<span class="sub">this key</span></dt> <dd>each' in text
