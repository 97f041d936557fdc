"""Sign-up, which also opens the organisation with its wallet; sign-in and forgotten passwords beside it."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import IntegrityError
from django.urls import reverse
from pytest_django import Settings

from accounts.models import Member, Tenant, User
from billing.models import Balance, LedgerEntry
from tests.pages import Browser, Page

PASSWORD = "a-long-enough-passphrase"
SIGNUP = {"organisation": "Dana Ltd", "email": "dana@example.com", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def fresh_rate_limits() -> None:
    cache.clear()


@pytest.fixture
def signup(browser: Browser) -> Page:
    """The page to sign up on."""
    return browser.open(reverse("account_signup"))


def test_signup_opens_the_tenant_with_its_trial_credit_and_lands_on_the_keys(signup: Page, settings: Settings) -> None:
    settings.TRIAL_CREDIT = "2.50"

    answer = signup.press("Sign Up", **SIGNUP)

    tenant = Tenant.objects.get(name="Dana Ltd")
    entry = LedgerEntry.objects.get()
    assert (answer.status, answer.location) == (302, reverse("portal:keys"))
    assert Member.objects.get(tenant=tenant).role == Member.Role.OWNER
    assert Member.objects.get(tenant=tenant).user.email == "dana@example.com"
    assert Balance.objects.get(tenant=tenant).available == 2_500_000_000
    assert (entry.kind, entry.amount, entry.reference) == ("grant", 2_500_000_000, f"trial:{tenant.pk}")
    assert answer.landed().status == 200


def test_signup_without_trial_credit_opens_an_empty_wallet(signup: Page, settings: Settings) -> None:
    settings.TRIAL_CREDIT = "0"

    signup.press("Sign Up", **SIGNUP)

    assert Balance.objects.get().available == 0
    assert LedgerEntry.objects.count() == 0


def test_signup_that_fails_half_way_leaves_nothing(signup: Page, tenant: Tenant) -> None:
    wallet = Balance.objects.get(tenant=tenant)
    LedgerEntry.objects.create(balance=wallet, kind="grant", amount=1, reference=f"trial:{tenant.pk + 1}")

    with pytest.raises(IntegrityError):
        signup.press("Sign Up", **SIGNUP)

    assert User.objects.filter(email="dana@example.com").count() == 0
    assert Tenant.objects.filter(name="Dana Ltd").count() == 0
    assert Balance.objects.count() == 1


def test_signup_needs_an_organisation(signup: Page) -> None:
    answer = signup.press("Sign Up", **{**SIGNUP, "organisation": " "})

    assert answer.status == 200
    assert answer.response.context["form"].errors["organisation"] == ["This field is required."]
    assert (User.objects.count(), Tenant.objects.count()) == (0, 0)


def test_closed_signup_says_so_and_has_no_form(browser: Browser, settings: Settings) -> None:
    settings.SIGNUP_OPEN = False

    page = browser.open(reverse("account_signup"))

    assert "currently closed" in page.text
    assert "Sign Up" not in page.buttons


def test_closed_signup_takes_nobody_by_a_forged_form(browser: Browser, settings: Settings) -> None:
    settings.SIGNUP_OPEN = False

    browser.forge(reverse("account_signup"), SIGNUP)

    assert User.objects.count() == 0


def test_closed_signup_is_not_offered_on_the_home_page(browser: Browser, settings: Settings) -> None:
    settings.SIGNUP_OPEN = False

    assert "Sign up" not in browser.open(reverse("home")).links


def test_signups_from_one_address_are_throttled(signup: Page, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"signup": "1/m/ip"}
    second = signup.press("Sign Up", **{**SIGNUP, "password2": "different"})

    answer = second.press("Sign Up", **SIGNUP)

    assert answer.status == 429
    assert "Too many tries" in answer.text
    assert User.objects.count() == 0


def test_signup_remembers_the_language(db: None) -> None:
    browser = Browser(headers={"accept-language": "vi"})

    browser.open(reverse("account_signup")).press("Đăng ký", **SIGNUP)

    assert User.objects.get().language == "vi"


def test_login_and_logout(browser: Browser, alice: User, tenant: Tenant) -> None:
    alice.set_password(PASSWORD)
    alice.save()

    entered = browser.open(reverse("account_login")).press("Sign In", login="alice@example.com", password=PASSWORD)
    left = entered.landed().press("Sign out")

    assert (entered.status, entered.location) == (302, reverse("portal:overview"))
    assert (left.status, left.location) == (302, reverse("home"))
    assert browser.open(reverse("portal:overview")).status == 302


def test_a_forgotten_password_is_reset_by_mail(browser: Browser) -> None:
    user = User.objects.create_user("erin@example.com", PASSWORD)
    browser.open(reverse("account_reset_password")).press("Reset My Password", email="erin@example.com")
    link = re.findall(r"http://testserver(\S+)", str(mail.outbox[0].body))[0]

    form = browser.open(link).landed()
    form.press("Change Password", password1="an-entirely-new-one", password2="an-entirely-new-one")

    user.refresh_from_db()
    assert user.check_password("an-entirely-new-one")
