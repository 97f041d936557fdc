"""Whoever guesses at codes, with the user's password, keeps him out of no browser in which he has given a right one."""

from __future__ import annotations

from typing import Final

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.core.cache import cache
from django.urls import reverse

from accounts.models import User
from tests.pages import Browser, Page

PASSWORD: Final = "a-long-enough-passphrase"
LOCKED: Final = "Too many failed login attempts"
WRONG: Final = "000000"


@pytest.fixture(autouse=True)
def fresh_rate_limits() -> None:
    cache.clear()


@pytest.fixture
def erin(db: None) -> User:
    return secured(User.objects.create_user("erin@example.com", PASSWORD))


@pytest.fixture
def frank(db: None) -> User:
    """Without a second factor."""
    return User.objects.create_user("frank@example.com", PASSWORD)


def secured(user: User) -> User:
    """The user with a second factor of his own, in the place of another."""
    Authenticator.objects.filter(user=user).delete()
    TOTP.activate(user, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    RecoveryCodes.activate(user)
    return user


def right(user: User) -> str:
    """A code that opens, once: no display's, which is another one half a minute later."""
    kept = Authenticator.objects.get(user=user, type=Authenticator.Type.RECOVERY_CODES)
    return str(RecoveryCodes(kept).get_unused_codes()[0])


def enter(browser: Browser, user: User, *codes: str) -> list[Page]:
    """What these codes bring, one after the other, behind the right password."""
    door = browser.open(reverse("account_login")).press("Sign In", login=user.email, password=PASSWORD).landed()
    return [door.press("Sign In", code=code) for code in codes]


def known(user: User) -> Browser:
    """A browser in which the user has signed in, and out again; nobody has tried anything since."""
    browser = Browser(REMOTE_ADDR="198.51.100.1")
    enter(browser, user, right(user))[0].landed().press("Sign out")
    cache.clear()
    return browser


def guess(user: User, times: int = 6) -> Page:
    """Wrong codes, each from an address of its own; what the last one got."""
    pages = [enter(Browser(REMOTE_ADDR=f"203.0.113.{n}"), user, WRONG) for n in range(1, times + 1)]
    return pages[-1][0]


def is_locked(browser: Browser, user: User) -> bool:
    """Whether a right code is refused there."""
    (page,) = enter(browser, user, right(user))
    assert (page.status == 200) == (LOCKED in page.text)
    return page.status == 200


def test_owner_gets_in_where_he_has_given_a_right_code_before(erin: User) -> None:
    browser = known(erin)
    refused = guess(erin)

    assert LOCKED in refused.text
    assert (is_locked(Browser(), erin), is_locked(browser, erin)) == (True, False)


def test_strangers_have_five_tries_all_together(erin: User) -> None:
    known(erin)

    assert LOCKED not in guess(erin, 5).text
    assert is_locked(Browser(), erin)


def test_known_browser_has_five_tries_of_its_own(erin: User) -> None:
    browser = known(erin)

    *wrong, refused = enter(browser, erin, *[WRONG] * 5, right(erin))

    assert [LOCKED in page.text for page in wrong] == [False] * 5
    assert LOCKED in refused.text
    assert not is_locked(Browser(), erin)


def test_right_code_gives_a_known_browser_its_tries_back(erin: User) -> None:
    browser = known(erin)
    *_wrong, inside = enter(browser, erin, *[WRONG] * 4, right(erin))
    inside.landed().press("Sign out")

    again = enter(browser, erin, *[WRONG] * 4)

    assert [LOCKED in page.text for page in again] == [False] * 4


def test_code_opens_once_in_a_known_browser_too(erin: User) -> None:
    browser, code = known(erin), right(erin)
    (first,) = enter(browser, erin, code)
    first.landed().press("Sign out")

    (second,) = enter(browser, erin, code)

    assert (first.status, second.status, LOCKED in second.text) == (302, 200, False)


def test_browser_from_before_there_was_a_second_factor_is_a_stranger(frank: User) -> None:
    """Whoever knew the password then could have as many of those as he liked."""
    browser = Browser()
    door = browser.open(reverse("account_login"))
    door.press("Sign In", login=frank.email, password=PASSWORD).landed().press("Sign out")
    guess(secured(frank))

    assert is_locked(browser, frank)


def test_browser_that_knows_a_factor_that_was_replaced_is_a_stranger(erin: User) -> None:
    browser = known(erin)
    guess(secured(erin))

    assert is_locked(browser, erin)


def test_browser_that_knows_another_users_factor_is_a_stranger(erin: User, frank: User) -> None:
    browser = known(secured(frank))
    guess(erin)

    assert is_locked(browser, erin)


def test_open_session_proves_its_factor_again_while_others_guess(erin: User) -> None:
    browser = Browser()
    enter(browser, erin, right(erin))
    guess(erin)

    page = browser.open(reverse("mfa_reauthenticate")).press("Confirm", code=right(erin))

    assert page.status == 302
