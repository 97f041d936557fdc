"""Whoever guesses at an account from everywhere keeps its owner out of no browser in which he has been before."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.urls import reverse
from pytest_django import Settings

from accounts.models import User
from tests.pages import Browser, Page

PASSWORD = "a-long-enough-passphrase"
LOCKED = "Too many failed login attempts"


@pytest.fixture(autouse=True)
def fresh_rate_limits() -> None:
    cache.clear()


@pytest.fixture
def erin(db: None) -> User:
    return User.objects.create_user("erin@example.com", PASSWORD)


def enter(browser: Browser, email: str = "erin@example.com", password: str = PASSWORD) -> Page:
    return browser.open(reverse("account_login")).press("Sign In", login=email, password=password)


def known(*users: User) -> Browser:
    """A browser in which they have signed in, one after the other, and out again."""
    browser = Browser(REMOTE_ADDR="198.51.100.1")
    for user in users:
        enter(browser, user.email).landed().press("Sign out")
    return browser


def guess(times: int, email: str = "erin@example.com") -> Page:
    """Wrong passwords, each from an address of its own; what the last one got."""
    pages = [enter(Browser(REMOTE_ADDR=f"203.0.113.{n}"), email, "wrong") for n in range(1, times + 1)]
    return pages[-1]


def test_owner_signs_in_where_he_has_been_before_while_others_guess(erin: User) -> None:
    browser = known(erin)
    refused = guess(8)

    stranger, owner = enter(Browser()), enter(browser)

    assert (LOCKED in refused.text, LOCKED in stranger.text) == (True, True)
    assert (owner.status, owner.location) == (302, reverse("portal:overview"))


def test_another_way_to_write_the_address_is_the_same_account(erin: User) -> None:
    browser = known(erin)
    guess(6)

    assert enter(browser, "ERIN@example.com").status == 302


def test_known_browser_has_five_tries_of_its_own(erin: User) -> None:
    browser = known(erin)
    wrong = [enter(browser, password="wrong") for _try in range(5)]

    refused, elsewhere = enter(browser), enter(Browser())

    assert [LOCKED in page.text for page in wrong] == [False] * 5
    assert LOCKED in refused.text
    assert elsewhere.status == 302


def test_browser_that_knows_one_account_is_a_stranger_to_another(erin: User) -> None:
    frank = User.objects.create_user("frank@example.com", PASSWORD)
    browser = known(frank)
    guess(6)

    assert LOCKED in enter(browser, erin.email).text


def test_browser_knows_several_accounts(erin: User) -> None:
    frank = User.objects.create_user("frank@example.com", PASSWORD)
    browser = known(erin, frank)
    guess(6, erin.email)
    guess(6, frank.email)

    assert enter(browser, frank.email).landed().press("Sign out").status == 302
    assert enter(browser, erin.email).status == 302


@pytest.mark.parametrize("forged", ["", "-", "0-1", "a:b:c", "{value}x", "x{value}"])
def test_browser_that_made_its_mark_itself_is_a_stranger(erin: User, forged: str) -> None:
    browser = known(erin)
    browser.cookies["device"] = forged.format(value=browser.cookies["device"].value)
    guess(6)

    assert LOCKED in enter(browser).text


def test_mark_is_out_of_reach_of_scripts_and_of_plain_http(erin: User, settings: Settings) -> None:
    settings.SESSION_COOKIE_SECURE = True
    browser = Browser()
    mark = enter(browser).response.cookies["device"]

    assert (mark["httponly"], mark["secure"], mark["samesite"], mark["path"]) == (True, True, "Lax", "/accounts/")


def test_forgotten_password_opens_a_new_browser_while_others_guess(erin: User) -> None:
    browser = Browser(REMOTE_ADDR="198.51.100.1")
    browser.open(reverse("account_reset_password")).press("Reset My Password", email=erin.email)
    link = re.findall(r"http://127.0.0.1:8000(\S+)", str(mail.outbox[0].body))[0]
    form = browser.open(link).landed()
    guess(6)

    inside = form.press("Change Password", password1="an-entirely-new-one", password2="an-entirely-new-one")
    inside.landed().press("Sign out")
    guess(6)
    again = enter(browser, password="an-entirely-new-one")

    assert again.status == 302
