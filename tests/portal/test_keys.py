"""API keys: what a member decides about them on their pages."""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import keys
from accounts.models import ApiKey, Tenant, User
from billing.models import Price
from routing.models import CatalogueModel
from tests.pages import Browser, Page


@pytest.fixture
def new_key(alices: Browser) -> Page:
    """The page to create a key on."""
    return alices.open(reverse("portal:key_create"))


def _page(browser: Browser, api_key: ApiKey) -> Page:
    return browser.open(reverse("portal:key", args=[api_key.pk]))


def test_a_new_key_is_shown_once_and_never_stored(alices: Browser, alice: User, tenant: Tenant, new_key: Page) -> None:
    answer = new_key.press("Create the key", name="production")

    api_key = ApiKey.objects.get()
    secret = answer.response.context["secret"]
    assert answer.status == 200
    assert "no-store" in answer.response["cache-control"]
    assert answer.text.count(secret) == 3
    assert (api_key.tenant, api_key.created_by, api_key.name) == (tenant, alice, "production")
    assert api_key.digest == keys.digest(secret)
    assert secret not in alices.open(reverse("portal:keys")).text
    assert secret not in _page(alices, api_key).text


def test_a_new_key_has_the_limits_that_were_typed(alices: Browser, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(time_zone="Asia/Ho_Chi_Minh")
    CatalogueModel.objects.create(name="gpt-test")
    Price.objects.create(model="gpt-test", input=1, output=1)
    next_year = timezone.now().year + 1

    alices.open(reverse("portal:key_create")).press(
        "Create the key",
        name="production",
        expires_at=f"{next_year}-03-01T08:30",
        allowed_models=["gpt-test"],
        allowed_networks="203.0.113.7/24\n2001:db8::1, 203.0.113.0/24\n::ffff:10.0.0.0/104\n203.0.113.9:8080",
        allowed_origins="https://App.example/\nhttp://localhost:3000, https://app.example:443",
        requests_per_minute="60",
        tokens_per_minute="100000",
        concurrency="4",
    )

    api_key = ApiKey.objects.get()
    assert api_key.expires_at == dt.datetime(next_year, 3, 1, 1, 30, tzinfo=dt.UTC)
    assert api_key.allowed_models == ["gpt-test"]
    assert api_key.allowed_networks == ["203.0.113.0/24", "2001:db8::1/128", "10.0.0.0/8", "203.0.113.9/32"]
    assert api_key.allowed_origins == ["https://app.example", "http://localhost:3000"]
    assert (api_key.requests_per_minute, api_key.tokens_per_minute, api_key.concurrency) == (60, 100_000, 4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("name", "", id="no name"),
        pytest.param("expires_at", "2020-01-01T00:00", id="expired already"),
        pytest.param("expires_at", "tomorrow", id="not a time"),
        pytest.param("allowed_networks", "everywhere", id="not a network"),
        pytest.param("allowed_networks", "\n".join(f"192.0.2.{n}" for n in range(65)), id="too many networks"),
        pytest.param("allowed_networks", "203.0.113.0/24:80", id="a network with a port"),
        pytest.param("allowed_origins", "*", id="every origin"),
        pytest.param("allowed_origins", "https://app.example/path", id="an origin with a path"),
        pytest.param("allowed_origins", "app.example", id="no origin"),
        pytest.param("allowed_origins", "\n".join(f"https://{n}.example" for n in range(65)), id="too many origins"),
        pytest.param("requests_per_minute", "0", id="no requests"),
        pytest.param("tokens_per_minute", "-1", id="negative"),
        pytest.param("concurrency", "1.5", id="not a whole number"),
        pytest.param("concurrency", "99999999999999999999", id="too large for the database"),
    ],
)
def test_a_key_that_is_not_valid_is_not_issued(new_key: Page, field: str, value: str) -> None:
    answer = new_key.press("Create the key", **{"name": "production", field: value})

    assert answer.status == 200
    assert list(answer.response.context["form"].errors) == [field]
    assert ApiKey.objects.count() == 0


def test_a_forged_model_is_refused(alices: Browser) -> None:
    answer = alices.forge(reverse("portal:key_create"), {"name": "production", "allowed_models": "no-such-model"})

    assert list(answer.response.context["form"].errors) == ["allowed_models"]
    assert ApiKey.objects.count() == 0


def test_limits_of_a_key_are_edited(alices: Browser, api_key: ApiKey) -> None:
    answer = _page(alices, api_key).press("Save", name="renamed", requests_per_minute="7")

    api_key.refresh_from_db()
    assert (answer.status, answer.location) == (302, reverse("portal:keys"))
    assert (api_key.name, api_key.requests_per_minute) == ("renamed", 7)


def test_a_model_that_left_the_catalogue_stays_allowed_until_unticked(alices: Browser, tenant: Tenant) -> None:
    api_key = keys.issue(tenant=tenant, name="old", allowed_models=["gone"]).api_key

    _page(alices, api_key).press("Save", name="renamed")
    kept = ApiKey.objects.get().allowed_models
    _page(alices, api_key).press("Save", allowed_models=[])

    api_key.refresh_from_db()
    assert (api_key.name, kept, api_key.allowed_models) == ("renamed", ["gone"], [])


def test_an_expired_key_is_renamed_without_a_new_expiry(alices: Browser, api_key: ApiKey) -> None:
    expiry = timezone.now().replace(second=0, microsecond=0) - dt.timedelta(days=1)
    ApiKey.objects.filter(pk=api_key.pk).update(expires_at=expiry)

    _page(alices, api_key).press("Save", name="renamed")

    api_key.refresh_from_db()
    assert (api_key.name, api_key.expires_at) == ("renamed", expiry)


def test_saving_limits_does_not_undo_a_pause(alices: Browser, api_key: ApiKey) -> None:
    page = _page(alices, api_key)
    api_key.pause()

    page.press("Save", name="renamed")

    api_key.refresh_from_db()
    assert (api_key.name, api_key.status) == ("renamed", ApiKey.Status.PAUSED)


def test_a_key_is_paused_and_resumed_in_the_list(alices: Browser, api_key: ApiKey) -> None:
    page = alices.open(reverse("portal:keys")).press("Pause: production").landed()
    paused = ApiKey.objects.get().status
    page.press("Resume: production")

    assert (paused, ApiKey.objects.get().status) == ("paused", "active")


def test_a_key_is_paused_and_resumed_on_its_page(alices: Browser, api_key: ApiKey) -> None:
    _page(alices, api_key).press("Pause")
    paused = ApiKey.objects.get().status
    _page(alices, api_key).press("Resume")

    assert (paused, ApiKey.objects.get().status) == ("paused", "active")


def test_revoking_asks_first(alices: Browser, api_key: ApiKey) -> None:
    page = alices.open(reverse("portal:keys")).click("Revoke: production")

    assert "Revoke this key?" in page.text
    assert ApiKey.objects.get().status == "active"


def test_a_revoked_key_never_comes_back(alices: Browser, api_key: ApiKey) -> None:
    api_key.pause()
    earlier, limits = alices.open(reverse("portal:keys")), _page(alices, api_key)

    limits.click("Revoke").press("Revoke for good")
    earlier.press("Resume: production")
    limits.press("Save", name="renamed")

    revoked = ApiKey.objects.get()
    assert (revoked.name, revoked.status) == ("production", "revoked")
    assert revoked.revoked_at is not None


@pytest.mark.parametrize("name", ["portal:key_pause", "portal:key_resume"])
def test_keys_change_by_post_only(alices: Browser, api_key: ApiKey, name: str) -> None:
    assert alices.open(reverse(name, args=[api_key.pk])).status == 405
    assert ApiKey.objects.get().status == "active"


def test_what_people_type_is_escaped(alices: Browser, tenant: Tenant) -> None:
    keys.issue(tenant=tenant, name="<script>alert(1)</script>")

    page = alices.open(reverse("portal:keys")).text

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_the_list_of_keys_takes_the_same_queries_however_many_there_are(
    alices: Browser, tenant: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        keys.issue(tenant=tenant, name=f"key {number}")

    with django_assert_num_queries(4):  # session, user, memberships, keys
        alices.get(reverse("portal:keys"))


def test_models_without_a_price_in_the_tenants_currency_are_not_offered(alices: Browser, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(currency="VND")
    for name, currency in (("in-dollars", "USD"), ("in-dong", "VND"), ("dearer-soon", "VND")):
        CatalogueModel.objects.create(name=name)
        coming = timezone.now() + dt.timedelta(days=1) if name == "dearer-soon" else timezone.now()
        Price.objects.create(model=name, currency=currency, input=1, output=1, effective_from=coming)
    CatalogueModel.objects.create(name="switched-off", is_enabled=False)
    Price.objects.create(model="switched-off", currency="VND", input=1, output=1)

    page = alices.open(reverse("portal:key_create")).text

    assert "in-dong" in page
    assert not [name for name in ("in-dollars", "dearer-soon", "switched-off") if name in page]
