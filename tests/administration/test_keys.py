"""The operator's pages of API keys."""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Tenant, User
from billing import quotas
from billing.models import Balance
from tests.pages import Browser, Page

KEYS = "admin:accounts_apikey_changelist"


@pytest.fixture
def page(desk: Browser, api_key: ApiKey) -> Page:
    """The key's page."""
    return desk.open(reverse("admin:accounts_apikey_change", args=(api_key.pk,)))


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        pytest.param("active", "Pause the selected keys", "paused", id="pause"),
        pytest.param("paused", "Resume the selected keys", "active", id="resume"),
        pytest.param("active", "Revoke the selected keys for good", "revoked", id="revoke"),
        pytest.param("revoked", "Resume the selected keys", "revoked", id="revoked for good"),
    ],
)
def test_operator_moves_a_key(desk: Browser, api_key: ApiKey, before: str, action: str, after: str) -> None:
    ApiKey.objects.update(status=before)
    desk.open(reverse(KEYS)).run(action, api_key)
    assert ApiKey.objects.get().status == after


def test_key_is_limited_on_its_page(page: Page) -> None:
    page.press(
        "Save",
        allowed_models="demo\n\n other ",
        allowed_networks="203.0.113.7/255.255.255.0\n::1",
        allowed_origins="https://app.example/\nhttp://localhost:3000",
        requests_per_minute="5",
    )
    stored = ApiKey.objects.get()
    assert stored.allowed_models == ["demo", "other"]
    assert stored.allowed_networks == ["203.0.113.0/24", "::1/128"]
    assert stored.allowed_origins == ["https://app.example", "http://localhost:3000"]
    assert stored.requests_per_minute == 5


def test_state_and_digest_of_a_key_stay_against_a_forged_form(desk: Browser, api_key: ApiKey, page: Page) -> None:
    answer = desk.forge(page.url, {"name": "renamed", "status": "revoked", "digest": "0" * 64})
    stored = ApiKey.objects.get()
    assert (answer.status, stored.name) == (302, "renamed")
    assert (stored.status, stored.digest) == ("active", api_key.digest)


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        pytest.param("allowed_networks", "10.0.0.0/8:80", "Enter networks such as", id="network"),
        pytest.param("allowed_origins", "https://*.example", "Enter origins such as", id="origin"),
    ],
)
def test_malformed_network_or_origin_is_refused(page: Page, field: str, text: str, words: str) -> None:
    answer = page.press("Save", name="renamed", **{field: text})
    assert words in answer.text
    assert ApiKey.objects.get().name == "production"


def test_key_is_neither_added_nor_deleted_by_a_forged_form(desk: Browser, api_key: ApiKey, page: Page) -> None:
    assert "Delete API key" not in page.links
    assert desk.forge(reverse("admin:accounts_apikey_add"), {"name": "x"}).status == 403
    assert desk.forge(reverse("admin:accounts_apikey_delete", args=(api_key.pk,)), {"post": "yes"}).status == 403
    assert ApiKey.objects.count() == 1


def test_quotas_that_a_key_draws_on_stand_on_its_page(desk: Browser, tenant: Tenant, alice: User) -> None:
    api_key = keys.issue(tenant=tenant, name="of Alice", created_by=alice).api_key
    own = quotas.grant(tenant, amount=4 * 10**9, period="day", api_key=api_key)
    makers = quotas.grant(tenant, amount=9 * 10**9, period="month", user=alice, is_hard=False)
    shared = quotas.grant(tenant, amount=7 * 10**9, period="total")
    ended = quotas.grant(tenant, amount=8 * 10**9, period="week")
    quotas.end(ended)
    per_session = quotas.grant(tenant, amount=3 * 10**9, period="session")
    row = quotas.balance_of(own, timezone.now())
    Balance.objects.filter(pk=row.pk).update(available=3 * 10**9)

    page = desk.open(reverse("admin:accounts_apikey_change", args=(api_key.pk,)))

    for name, quota in {"this key": own, "its maker\N{RIGHT SINGLE QUOTATION MARK}s keys": makers}.items():
        assert page.links[name] == reverse("admin:billing_quota_change", args=(quota.pk,))
    for quota in (shared, per_session):
        assert reverse("admin:billing_quota_change", args=(quota.pk,)) in page.text
    assert reverse("admin:billing_quota_change", args=(ended.pk,)) not in page.text
    assert "1.00\N{NO-BREAK SPACE}USD</span> (25\N{NO-BREAK SPACE}%)" in page.text
    assert "per month, only counts" in page.text
    assert page.click("Set a quota for this key").values("Save")["api_key"] == [str(api_key.pk)]


def test_use_of_an_earlier_period_is_not_that_of_the_present_one(
    desk: Browser, tenant: Tenant, api_key: ApiKey
) -> None:
    quota = quotas.grant(tenant, amount=4 * 10**9, period="day", api_key=api_key)
    row = quotas.balance_of(quota, timezone.now() - dt.timedelta(days=1))
    Balance.objects.filter(pk=row.pk).update(available=10**9)

    page = desk.open(reverse("admin:accounts_apikey_change", args=(api_key.pk,)))

    assert "0.00\N{NO-BREAK SPACE}USD</span> (0\N{NO-BREAK SPACE}%)" in page.text


def test_key_without_quotas_says_what_limits_it(page: Page) -> None:
    assert "The balance alone limits it." in page.text
