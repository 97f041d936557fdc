"""Sign-up, keys, languages: what people do in the portal."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from functools import partial

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from django.views import defaults
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from billing.models import Balance, LedgerEntry
from routing.models import CatalogueModel

PASSWORD = "a-long-enough-passphrase"
SIGNUP = {"organisation": "Dana Ltd", "email": "dana@example.com", "password1": PASSWORD, "password2": PASSWORD}
LIMITS = {
    "name": "renamed",
    "expires_at": "",
    "allowed_networks": "",
    "requests_per_minute": "",
    "tokens_per_minute": "",
    "concurrency": "",
}


@pytest.fixture(autouse=True)
def fresh_rate_limits() -> None:
    cache.clear()


@pytest.fixture
def alices(client: Client, alice: User, tenant: Tenant) -> Client:
    """A browser in which Alice is signed in."""
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def api_key(tenant: Tenant) -> ApiKey:
    return keys.issue(tenant=tenant, name="production").api_key


def test_signup_opens_the_tenant_with_its_trial_credit_and_lands_on_the_keys(
    client: Client, db: None, settings: Settings
) -> None:
    settings.TRIAL_CREDIT = "2.50"

    answer = client.post(reverse("account_signup"), SIGNUP)

    tenant = Tenant.objects.get(name="Dana Ltd")
    entry = LedgerEntry.objects.get()
    assert (answer.status_code, answer["location"]) == (302, reverse("portal:keys"))
    assert Member.objects.get(tenant=tenant).role == Member.Role.OWNER
    assert Member.objects.get(tenant=tenant).user.email == "dana@example.com"
    assert Balance.objects.get(tenant=tenant).available == 2_500_000_000
    assert (entry.kind, entry.amount, entry.reference) == ("grant", 2_500_000_000, f"trial:{tenant.pk}")
    assert client.get(reverse("portal:keys")).status_code == 200


def test_signup_without_trial_credit_opens_an_empty_wallet(client: Client, db: None, settings: Settings) -> None:
    settings.TRIAL_CREDIT = "0"

    client.post(reverse("account_signup"), SIGNUP)

    assert Balance.objects.get().available == 0
    assert LedgerEntry.objects.count() == 0


def test_signup_that_fails_half_way_leaves_nothing(client: Client, tenant: Tenant, settings: Settings) -> None:
    wallet = Balance.objects.get(tenant=tenant)
    LedgerEntry.objects.create(balance=wallet, kind="grant", amount=1, reference=f"trial:{tenant.pk + 1}")

    with pytest.raises(IntegrityError):
        client.post(reverse("account_signup"), SIGNUP)

    assert User.objects.filter(email="dana@example.com").count() == 0
    assert Tenant.objects.filter(name="Dana Ltd").count() == 0
    assert Balance.objects.count() == 1


def test_signup_needs_an_organisation(client: Client, db: None) -> None:
    answer = client.post(reverse("account_signup"), {**SIGNUP, "organisation": " "})

    assert answer.status_code == 200
    assert answer.context["form"].errors["organisation"] == ["This field is required."]
    assert (User.objects.count(), Tenant.objects.count()) == (0, 0)


def test_closed_signup_says_so_and_takes_nobody(client: Client, db: None, settings: Settings) -> None:
    settings.SIGNUP_OPEN = False

    shown = client.get(reverse("account_signup")).content.decode()
    client.post(reverse("account_signup"), SIGNUP)

    assert "currently closed" in shown
    assert User.objects.count() == 0


def test_closed_signup_is_not_offered_on_the_home_page(client: Client, db: None, settings: Settings) -> None:
    settings.SIGNUP_OPEN = False

    assert reverse("account_signup") not in client.get(reverse("home")).content.decode()


def test_signups_from_one_address_are_throttled(client: Client, db: None, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"signup": "1/m/ip"}
    client.post(reverse("account_signup"), {**SIGNUP, "password2": "different"})

    answer = client.post(reverse("account_signup"), SIGNUP)

    assert answer.status_code == 429
    assert "Too many tries" in answer.content.decode()
    assert User.objects.count() == 0


def test_signup_remembers_the_language(client: Client, db: None) -> None:
    client.post(reverse("account_signup"), SIGNUP, headers={"accept-language": "vi"})

    assert User.objects.get().language == "vi"


def test_login_and_logout(client: Client, db: None) -> None:
    User.objects.create_user("erin@example.com", PASSWORD)

    entered = client.post(reverse("account_login"), {"login": "erin@example.com", "password": PASSWORD})
    left = client.post(reverse("account_logout"))

    assert (entered.status_code, entered["location"]) == (302, reverse("portal:overview"))
    assert (left.status_code, left["location"]) == (302, reverse("home"))
    assert client.get(reverse("portal:overview")).status_code == 302


def test_a_forgotten_password_is_reset_by_mail(client: Client, db: None) -> None:
    user = User.objects.create_user("erin@example.com", PASSWORD)
    client.post(reverse("account_reset_password"), {"email": "erin@example.com"})
    link = re.findall(r"http://testserver(\S+)", str(mail.outbox[0].body))[0]
    form = client.get(link)

    client.post(form["location"], {"password1": "an-entirely-new-one", "password2": "an-entirely-new-one"})

    user.refresh_from_db()
    assert user.check_password("an-entirely-new-one")


def test_a_new_key_is_shown_once_and_never_stored(alices: Client, alice: User, tenant: Tenant) -> None:
    answer = alices.post(reverse("portal:key_create"), {**LIMITS, "name": "production"})

    api_key = ApiKey.objects.get()
    secret = answer.context["secret"]
    assert answer.status_code == 200
    assert "no-store" in answer["cache-control"]
    assert answer.content.decode().count(secret) == 3
    assert (api_key.tenant, api_key.created_by, api_key.name) == (tenant, alice, "production")
    assert api_key.digest == keys.digest(secret)
    assert secret not in alices.get(reverse("portal:keys")).content.decode()
    assert secret not in alices.get(reverse("portal:key", args=[api_key.pk])).content.decode()


def test_a_new_key_has_the_limits_that_were_typed(alices: Client, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(time_zone="Asia/Ho_Chi_Minh")
    CatalogueModel.objects.create(name="gpt-test")
    next_year = timezone.now().year + 1

    alices.post(
        reverse("portal:key_create"),
        {
            "name": "production",
            "expires_at": f"{next_year}-03-01T08:30",
            "allowed_models": ["gpt-test"],
            "allowed_networks": "203.0.113.7/24\n2001:db8::1, 203.0.113.0/24",
            "requests_per_minute": "60",
            "tokens_per_minute": "100000",
            "concurrency": "4",
        },
    )

    api_key = ApiKey.objects.get()
    assert api_key.expires_at == dt.datetime(next_year, 3, 1, 1, 30, tzinfo=dt.UTC)
    assert api_key.allowed_models == ["gpt-test"]
    assert api_key.allowed_networks == ["203.0.113.0/24", "2001:db8::1/128"]
    assert (api_key.requests_per_minute, api_key.tokens_per_minute, api_key.concurrency) == (60, 100_000, 4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("name", "", id="no name"),
        pytest.param("expires_at", "2020-01-01T00:00", id="expired already"),
        pytest.param("expires_at", "tomorrow", id="not a time"),
        pytest.param("allowed_models", "no-such-model", id="unknown model"),
        pytest.param("allowed_networks", "everywhere", id="not a network"),
        pytest.param("allowed_networks", "\n".join(f"192.0.2.{n}" for n in range(65)), id="too many networks"),
        pytest.param("requests_per_minute", "0", id="no requests"),
        pytest.param("tokens_per_minute", "-1", id="negative"),
        pytest.param("concurrency", "1.5", id="not a whole number"),
        pytest.param("concurrency", "99999999999999999999", id="too large for the database"),
    ],
)
def test_a_key_that_is_not_valid_is_not_issued(alices: Client, field: str, value: str) -> None:
    answer = alices.post(reverse("portal:key_create"), {**LIMITS, field: value})

    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert ApiKey.objects.count() == 0


def test_limits_of_a_key_are_edited(alices: Client, api_key: ApiKey) -> None:
    answer = alices.post(reverse("portal:key", args=[api_key.pk]), {**LIMITS, "requests_per_minute": "7"})

    api_key.refresh_from_db()
    assert (answer.status_code, answer["location"]) == (302, reverse("portal:keys"))
    assert (api_key.name, api_key.requests_per_minute) == ("renamed", 7)


def test_a_model_that_left_the_catalogue_stays_allowed_until_unticked(alices: Client, tenant: Tenant) -> None:
    api_key = keys.issue(tenant=tenant, name="old", allowed_models=["gone"]).api_key

    alices.post(reverse("portal:key", args=[api_key.pk]), {**LIMITS, "allowed_models": ["gone"]})

    api_key.refresh_from_db()
    assert (api_key.name, api_key.allowed_models) == ("renamed", ["gone"])


def test_an_expired_key_is_renamed_without_a_new_expiry(alices: Client, api_key: ApiKey) -> None:
    expiry = timezone.now().replace(second=0, microsecond=0) - dt.timedelta(days=1)
    ApiKey.objects.filter(pk=api_key.pk).update(expires_at=expiry)

    alices.post(reverse("portal:key", args=[api_key.pk]), {**LIMITS, "expires_at": expiry.strftime("%Y-%m-%dT%H:%M")})

    api_key.refresh_from_db()
    assert (api_key.name, api_key.expires_at) == ("renamed", expiry)


def test_saving_limits_does_not_undo_a_pause(alices: Client, api_key: ApiKey) -> None:
    api_key.pause()

    alices.post(reverse("portal:key", args=[api_key.pk]), LIMITS)

    api_key.refresh_from_db()
    assert (api_key.name, api_key.status) == ("renamed", ApiKey.Status.PAUSED)


def test_a_key_is_paused_and_resumed(alices: Client, api_key: ApiKey) -> None:
    alices.post(reverse("portal:key_pause", args=[api_key.pk]))
    paused = ApiKey.objects.get().status
    alices.post(reverse("portal:key_resume", args=[api_key.pk]))

    assert (paused, ApiKey.objects.get().status) == ("paused", "active")


def test_revoking_asks_first(alices: Client, api_key: ApiKey) -> None:
    answer = alices.get(reverse("portal:key_revoke", args=[api_key.pk]))

    assert "Revoke this key?" in answer.content.decode()
    assert ApiKey.objects.get().status == "active"


def test_a_revoked_key_never_comes_back(alices: Client, api_key: ApiKey) -> None:
    alices.post(reverse("portal:key_revoke", args=[api_key.pk]))
    alices.post(reverse("portal:key_resume", args=[api_key.pk]))
    alices.post(reverse("portal:key", args=[api_key.pk]), LIMITS)

    revoked = ApiKey.objects.get()
    assert (revoked.name, revoked.status) == ("production", "revoked")
    assert revoked.revoked_at is not None


@pytest.mark.parametrize("name", ["portal:key_pause", "portal:key_resume"])
def test_keys_change_by_post_only(alices: Client, api_key: ApiKey, name: str) -> None:
    assert alices.get(reverse(name, args=[api_key.pk])).status_code == 405
    assert ApiKey.objects.get().status == "active"


def test_what_people_type_is_escaped(alices: Client, tenant: Tenant) -> None:
    keys.issue(tenant=tenant, name="<script>alert(1)</script>")

    page = alices.get(reverse("portal:keys")).content.decode()

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_the_list_of_keys_takes_the_same_queries_however_many_there_are(
    alices: Client, tenant: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        keys.issue(tenant=tenant, name=f"key {number}")

    with django_assert_num_queries(4):  # session, user, memberships, keys
        alices.get(reverse("portal:keys"))


@pytest.mark.parametrize(
    ("language", "text"), [pytest.param("en", "Sign up", id="en"), pytest.param("vi", "Đăng ký", id="vi")]
)
def test_the_home_page_speaks_the_visitors_language(client: Client, db: None, language: str, text: str) -> None:
    page = client.get(reverse("home"), headers={"accept-language": language}).content.decode()

    assert f'<html lang="{language}">' in page
    assert text in page


def test_the_language_switch_is_remembered_for_a_user(alices: Client, alice: User) -> None:
    alices.post(reverse("set_language"), {"language": "vi", "next": "/portal/"})

    alice.refresh_from_db()
    assert alice.language == "vi"
    assert '<html lang="vi">' in alices.get(reverse("portal:overview")).content.decode()


def test_the_language_switch_never_leaves_the_site(client: Client, db: None) -> None:
    answer = client.post(reverse("set_language"), {"language": "vi", "next": "https://evil.example/"})

    assert answer["location"] == "/"


@pytest.mark.parametrize(
    ("status", "answer", "heading"),
    [
        pytest.param(500, defaults.server_error, "Something broke on our side", id="500"),
        pytest.param(400, partial(defaults.bad_request, exception=Exception()), "was not understood", id="400"),
        pytest.param(403, partial(defaults.permission_denied, exception=Exception()), "not for you to do", id="403"),
        pytest.param(404, partial(defaults.page_not_found, exception=Exception()), "does not exist", id="404"),
    ],
)
def test_errors_have_our_look(
    rf: RequestFactory, status: int, answer: Callable[[HttpRequest], HttpResponse], heading: str
) -> None:
    response = answer(rf.get("/somewhere/"))

    assert response.status_code == status
    assert heading in response.content.decode()
    assert "css/site.css" in response.content.decode()


def test_a_form_without_its_token_is_refused_in_our_look(alice: User, tenant: Tenant) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")

    answer = browser.post(reverse("portal:key_create"), {**LIMITS, "name": "forged"})

    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()
    assert ApiKey.objects.count() == 0


def test_pages_load_nothing_inline_and_nothing_from_elsewhere(alices: Client) -> None:
    answer = alices.get(reverse("portal:overview"))

    page = answer.content.decode()
    assert "script-src 'self'" in answer["content-security-policy"]
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page) == []
    assert re.findall(r"\sstyle=|<style|\son[a-z]+=", page) == []
    assert re.findall(r'(?:src|href)="https?://', page) == []
