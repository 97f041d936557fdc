"""Sign-up, which also opens the organisation with its wallet; sign-in and forgotten passwords beside it."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from allauth.account.models import EmailAddress
from allauth.core.internal import ratelimit
from django.core import mail
from django.core.cache import cache
from django.db import IntegrityError
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Member, Tenant, User
from billing import trials
from billing.models import Balance, LedgerEntry, Trial, TrialPlace
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


def confirm(browser: Browser) -> Page:
    """Opens the link of the newest mail and presses its button; the page where that ends."""
    link = re.findall(r"http://127.0.0.1:8000(\S+confirm-email\S+)", str(mail.outbox[-1].body))[0]
    return browser.open(link).press("Confirm").landed()


def person(email: str, network: str = "203.0.113.7", *, organisation: str = "") -> Browser:
    """Somebody who has signed up from an address, and has not confirmed theirs."""
    browser = Browser(REMOTE_ADDR=network)
    form = SIGNUP | {"email": email, "organisation": organisation or email}
    assert browser.open(reverse("account_signup")).press("Sign Up", **form).status == 302
    return browser


def credit(email: str) -> int:
    return Balance.objects.get(tenant__members__user__email=email).available


def test_signup_opens_the_tenant_and_lands_on_the_keys(signup: Page) -> None:
    answer = signup.press("Sign Up", **SIGNUP)

    tenant = Tenant.objects.get(name="Dana Ltd")
    assert (answer.status, answer.location) == (302, reverse("portal:keys"))
    assert Member.objects.get(tenant=tenant).role == Member.Role.OWNER
    assert Member.objects.get(tenant=tenant).user.email == "dana@example.com"
    assert "Your trial credit comes once you have confirmed your e-mail address." in answer.landed().text


def test_trial_credit_waits_for_the_address_to_be_confirmed(signup: Page, settings: Settings) -> None:
    settings.TRIAL_CREDIT = "2.50"
    home = signup.press("Sign Up", **SIGNUP).landed().click("Overview")
    before = (credit("dana@example.com"), LedgerEntry.objects.count())

    confirmed = confirm(signup.browser)

    tenant, entry = Tenant.objects.get(), LedgerEntry.objects.get()
    assert before == (0, 0)
    assert "open the link in the mail" in home.text
    assert (entry.kind, entry.amount, entry.reference) == ("grant", 2_500_000_000, f"trial:{tenant.pk}")
    assert credit("dana@example.com") == 2_500_000_000
    assert "Your trial credit is in the wallet." in confirmed.text
    assert "open the link in the mail" not in signup.browser.open(reverse("portal:overview")).text


def test_where_mails_are_not_sent_the_trial_credit_comes_with_signup(signup: Page, settings: Settings) -> None:
    settings.TRIAL_AFTER_CONFIRMATION, settings.TRIAL_CREDIT = False, "2.50"

    signup.press("Sign Up", **SIGNUP)

    tenant, entry = Tenant.objects.get(), LedgerEntry.objects.get()
    assert Balance.objects.get().available == 2_500_000_000
    assert (entry.kind, entry.amount, entry.reference) == ("grant", 2_500_000_000, f"trial:{tenant.pk}")


def test_signup_without_trial_credit_opens_an_empty_wallet(signup: Page, settings: Settings) -> None:
    settings.TRIAL_CREDIT = "0"

    signup.press("Sign Up", **SIGNUP)
    page = confirm(signup.browser)

    assert Balance.objects.get().available == 0
    assert LedgerEntry.objects.count() == 0
    assert "trial credit" not in page.text


@pytest.mark.parametrize(
    "other",
    ["dana+2@gmail.com", "Da.Na@Gmail.com", "DANA@googlemail.com", "d.a.n.a+x+y@gmail.com"],
)
def test_one_person_has_one_trial_credit_however_the_address_is_written(db: None, other: str) -> None:
    confirm(person("dana@gmail.com"))

    page = confirm(person(other, "198.51.100.7"))

    assert (credit("dana@gmail.com"), credit(other.lower())) == (5 * 10**9, 0)
    assert "There is no trial credit for this address" in page.text


def test_an_address_that_was_changed_and_is_free_again_brings_no_second_credit(db: None) -> None:
    dana = person("dana@example.com")
    confirm(dana)
    dana.open(reverse("account_email")).press("Add Email", email="new@example.com")
    confirm(dana)
    old = EmailAddress.objects.get(email="dana@example.com")
    EmailAddress.objects.filter(email="new@example.com").update(primary=False)
    old.delete()
    User.objects.filter(email="dana@example.com").update(email="new@example.com")
    cache.clear()  # another mail to the same address is sent after some minutes

    confirm(person("dana@example.com", "198.51.100.7"))

    assert (credit("new@example.com"), credit("dana@example.com")) == (5 * 10**9, 0)


def test_a_second_address_is_its_owners_and_brings_nobody_else_a_credit(db: None) -> None:
    dana = person("dana@example.com")
    confirm(dana)
    dana.open(reverse("account_email")).press("Add Email", email="second@example.com")
    confirm(dana)
    assert LedgerEntry.objects.count() == 1
    EmailAddress.objects.filter(email="second@example.com").delete()
    cache.clear()  # another mail to the same address is sent after some minutes

    confirm(person("second@example.com", "198.51.100.7"))

    assert credit("second@example.com") == 0


def test_made_up_addresses_bring_nothing_until_a_real_one_is_confirmed(db: None) -> None:
    dana = person("made-up@example.com")
    dana.open(reverse("account_email")).press("Add Email", email="dana@example.com")
    confirm(dana)
    assert credit("made-up@example.com") == 5 * 10**9

    confirm(person("dana+2@example.com", "198.51.100.7"))

    assert credit("dana+2@example.com") == 0


def test_a_member_who_confirms_brings_the_tenant_nothing(tenant: Tenant, bob: User) -> None:
    browser = Browser(bob)
    browser.open(reverse("account_email")).press("Add Email", email="bob2@example.com")

    confirm(browser)

    assert Balance.objects.get().available == 5 * 10**9
    assert LedgerEntry.objects.filter(reference__startswith="trial:").count() == 0


def test_an_owner_whom_the_operator_opened_a_tenant_for_has_no_trial_credit(alices: Browser) -> None:
    alices.open(reverse("account_email")).press("Add Email", email="alice2@example.com")

    confirm(alices)

    assert LedgerEntry.objects.filter(reference__startswith="trial:").count() == 0


@pytest.mark.parametrize(
    ("addresses", "elsewhere"),
    [
        pytest.param([f"203.0.113.{n}" for n in (1, 77, 254)], "203.0.114.1", id="IPv4"),
        pytest.param(["2001:db8:1::1", "2001:db8:1:2::1", "2001:db8:1:ffff::9"], "2001:db8:2::1", id="IPv6"),
        pytest.param(["203.0.113.1", "::ffff:203.0.113.9", "203.0.113.200"], "203.0.112.200", id="mapped"),
    ],
)
def test_a_network_has_so_many_trial_credits_a_day(
    db: None, settings: Settings, addresses: list[str], elsewhere: str
) -> None:
    settings.TRIALS_PER_NETWORK = 2
    pages = [confirm(person(f"p{n}@example.com", address)) for n, address in enumerate(addresses)]
    confirm(person("far@example.com", elsewhere))

    assert ["by itself" in page.text for page in pages] == [False, False, True]
    assert [credit(f"{name}@example.com") for name in ("p0", "p1", "p2", "far")] == [5 * 10**9] * 2 + [0, 5 * 10**9]


def test_what_waited_for_its_network_comes_by_itself_once(db: None, settings: Settings) -> None:
    settings.TRIALS_PER_NETWORK = 1
    for name in ("first", "second", "third"):
        confirm(person(f"{name}@example.com"))
    assert [trials.grant_queued(), credit("second@example.com")] == [0, 0]

    TrialPlace.objects.update(taken_at=timezone.now() - dt.timedelta(days=1))

    assert [trials.grant_queued(), trials.grant_queued()] == [1, 0]
    assert [credit(f"{name}@example.com") for name in ("first", "second", "third")] == [5 * 10**9, 5 * 10**9, 0]


def test_a_link_that_is_used_twice_grants_once(db: None) -> None:
    dana = person("dana@example.com")
    link = re.findall(r"http://127.0.0.1:8000(\S+confirm-email\S+)", str(mail.outbox[-1].body))[0]
    one, two = Browser().open(link), Browser().open(link)

    for page in (one, two):
        page.press("Confirm")

    assert LedgerEntry.objects.count() == 1
    assert "open the link" not in dana.open(reverse("portal:overview")).text


def test_signup_that_fails_half_way_leaves_nothing(signup: Page, tenant: Tenant, settings: Settings) -> None:
    settings.TRIAL_AFTER_CONFIRMATION = False
    wallet = Balance.objects.get(tenant=tenant)
    LedgerEntry.objects.create(balance=wallet, kind="grant", amount=1, reference=f"trial:{tenant.pk + 1}")

    with pytest.raises(IntegrityError):
        signup.press("Sign Up", **SIGNUP)

    assert User.objects.filter(email="dana@example.com").count() == 0
    assert Tenant.objects.filter(name="Dana Ltd").count() == 0
    assert Balance.objects.count() == 1


def test_confirmation_that_fails_half_way_can_be_tried_again(signup: Page) -> None:
    signup.press("Sign Up", **SIGNUP)
    tenant = Tenant.objects.get()
    wallet = Balance.objects.get()
    in_the_way = LedgerEntry.objects.create(balance=wallet, kind="grant", amount=1, reference=f"trial:{tenant.pk}")

    with pytest.raises(IntegrityError):
        confirm(signup.browser)

    assert EmailAddress.objects.get().verified is False
    assert Trial.objects.get().state == "waiting"
    assert in_the_way.balance.available == 0


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


@pytest.mark.parametrize(
    ("addresses", "statuses"),
    [
        pytest.param(["2001:db8:1:2::1", "2001:db8:1:2:9::7"], [200, 429], id="one customer of IPv6"),
        pytest.param(["2001:db8:1:2::1", "2001:db8:1:3::1"], [200, 200], id="two customers of IPv6"),
    ],
)
def test_throttles_count_customers(db: None, settings: Settings, addresses: list[str], statuses: list[int]) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "1/m/ip"}
    browsers = [Browser(REMOTE_ADDR=address) for address in addresses]

    pages = [
        each.open(reverse("account_login")).press("Sign In", login="a@example.com", password="wrong")
        for each in browsers
    ]

    assert [page.status for page in pages] == statuses


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


def test_links_in_mails_lead_to_the_site_whatever_host_was_asked_for(db: None, settings: Settings) -> None:
    User.objects.create_user("erin@example.com", PASSWORD)
    settings.ALLOWED_HOSTS = ["*"]
    browser = Browser(HTTP_HOST="evil.example")
    for email in ("erin@example.com", "nobody@example.com"):
        browser.open(reverse("account_reset_password")).press("Reset My Password", email=email)
    browser.open(reverse("account_signup")).press("Sign Up", **SIGNUP)

    bodies = [str(each.body) for each in mail.outbox]
    assert [len(re.findall(r"http://127.0.0.1:8000/accounts/\S+", body)) for body in bodies] == [1, 1, 1]
    assert "evil.example" not in "".join(bodies)


@pytest.mark.parametrize(("action", "most"), [("reset_password", 120), ("confirm_email", 10)])
def test_who_asks_for_mails_to_an_address_fills_no_mailbox(action: str, most: int) -> None:
    rates = ratelimit.get_rates(app="allauth.account", action=action)

    assert min(rate.amount * 86_400 / rate.duration for rate in rates if rate.per == "key") == most


def test_a_forgotten_password_is_reset_by_mail(browser: Browser) -> None:
    user = User.objects.create_user("erin@example.com", PASSWORD)
    browser.open(reverse("account_reset_password")).press("Reset My Password", email="erin@example.com")
    link = re.findall(r"http://127.0.0.1:8000(\S+)", str(mail.outbox[0].body))[0]

    form = browser.open(link).landed()
    form.press("Change Password", password1="an-entirely-new-one", password2="an-entirely-new-one")

    user.refresh_from_db()
    assert user.check_password("an-entirely-new-one")
