"""The administration opens to operators who have proved a second factor in this session."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core.cache import cache
from django.urls import reverse
from pytest_django import Settings

from accounts.models import User
from tests.pages import Browser, Page

PASSWORD = "a-long-enough-passphrase"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture(autouse=True)
def _required(settings: Settings) -> None:
    cache.clear()
    settings.ADMIN_SECOND_FACTOR = True


@pytest.fixture
def olga(operator: User) -> User:
    """The operator, with a password."""
    operator.set_password(PASSWORD)
    operator.save()
    return operator


def code(secret: str = SECRET) -> str:
    """What the authenticator's display shows now."""
    return str(format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time()))))


def sign_in(browser: Browser, user: User) -> Page:
    door = browser.open("/admin/routing/channel/").landed()
    return door.press("Sign In", login=user.email, password=PASSWORD)


def test_operator_without_one_is_led_to_set_it_up_and_comes_in_with_it(olga: User, browser: Browser) -> None:
    asked = sign_in(browser, olga).landed()
    form = asked.press("Confirm", password=PASSWORD).landed()
    assert "The administration asks for a second factor" in asked.text
    secret = form.response.context["form"].secret

    form.press("Activate", code=code(secret))
    cache.clear()  # half a minute later there is another code
    again = browser.open("/admin/routing/channel/").landed()
    page = again.press("Confirm", code=code(secret)).landed()

    assert (page.status, page.url) == (200, "/admin/routing/channel/")


def test_operator_signs_in_with_password_and_code(olga: User, browser: Browser) -> None:
    TOTP.activate(olga, SECRET)

    asked = sign_in(browser, olga).landed()
    wrong = asked.press("Sign In", code="000000")
    page = wrong.press("Sign In", code=code()).landed()

    assert wrong.status == 200
    assert (page.status, page.url) == (200, "/admin/routing/channel/")


def test_recovery_code_opens_once(olga: User, browser: Browser) -> None:
    TOTP.activate(olga, SECRET)
    recovery = RecoveryCodes.activate(olga).get_unused_codes()[0]

    page = sign_in(browser, olga).landed().press("Sign In", code=recovery).landed()
    other = Browser()
    again = sign_in(other, olga).landed().press("Sign In", code=recovery)

    assert (page.status, page.url) == (200, "/admin/routing/channel/")
    assert (again.status, other.open("/admin/").status) == (200, 302)


def test_session_from_before_proves_it_first(desk: Browser, operator: User) -> None:
    TOTP.activate(operator, SECRET)

    answer = desk.open("/admin/accounts/tenant/")

    assert (answer.status, answer.location) == (
        302,
        "/accounts/2fa/reauthenticate/?next=%2Fadmin%2Faccounts%2Ftenant%2F",
    )


def test_password_is_not_offered_on_the_way_to_the_administration(olga: User) -> None:
    TOTP.activate(olga, SECRET)
    desk = Browser(olga)

    page = desk.open("/admin/accounts/tenant/").landed()
    by_hand = desk.open("/accounts/reauthenticate/?next=/admin/accounts/tenant/")

    assert ("Use your password" in page.text, "Alternative options" in page.text) == (False, False)
    assert by_hand.location == "/accounts/2fa/reauthenticate/?next=%2Fadmin%2Faccounts%2Ftenant%2F"


def test_password_is_offered_where_it_is_enough(olga: User, settings: Settings) -> None:
    TOTP.activate(olga, SECRET)
    desk = Browser(olga)
    own_page = desk.open("/accounts/2fa/reauthenticate/?next=/portal/").text
    settings.ADMIN_SECOND_FACTOR = False

    demo = desk.open("/accounts/2fa/reauthenticate/?next=/admin/").text

    assert ("Use your password" in own_page, "Use your password" in demo) == (True, True)


def test_forged_form_changes_nothing_without_one(desk: Browser, operator: User, alice: User) -> None:
    answer = desk.forge(reverse("admin:accounts_user_delete", args=(alice.pk,)), {"post": "yes"})

    assert (answer.status, answer.location) == (302, "/accounts/2fa/totp/activate/?next=%2Fadmin%2F")
    assert User.objects.filter(pk=alice.pk).exists()


def test_one_that_was_removed_opens_nothing_any_more(olga: User, browser: Browser) -> None:
    TOTP.activate(olga, SECRET)
    sign_in(browser, olga).landed().press("Sign In", code=code())
    assert browser.open("/admin/").status == 200

    Authenticator.objects.all().delete()

    assert browser.open("/admin/").location.startswith("/accounts/2fa/totp/activate/")


def test_margins_are_behind_it_too(desk: Browser) -> None:
    assert desk.open(reverse("margins")).status == 302


def test_demo_goes_without(desk: Browser, settings: Settings) -> None:
    settings.ADMIN_SECOND_FACTOR = False

    assert desk.open("/admin/").status == 200
