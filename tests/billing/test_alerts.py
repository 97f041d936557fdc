"""What is mailed of a balance that runs low, to whom, and that it is mailed once in each direction."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend

from accounts.models import ApiKey, Member, Tenant, User
from billing import alerts, balances
from billing.models import Balance, BalanceAlert, Price
from tests.records import reservation, usage_record

DOLLAR = 10**9


@pytest.fixture
def wallet(tenant: Tenant) -> Balance:
    """Alice's, with an alert below 3 USD."""
    wallet = balances.open_wallet(tenant)
    alerts.choose(wallet, 3 * DOLLAR)
    return wallet


def leave(wallet: Balance, amount: int) -> None:
    Balance.objects.filter(pk=wallet.pk).update(available=amount)


def subjects() -> list[str]:
    return [str(message.subject) for message in mail.outbox]


def test_each_side_is_mailed_once(wallet: Balance) -> None:
    low, fine = "Alice Ltd: the balance is low", "Alice Ltd: the balance is no longer low"
    for left, expected in (
        (5 * DOLLAR, []), (3 * DOLLAR, []), (3 * DOLLAR - 1, [low]), (2 * DOLLAR, []), (0, []),
        (3 * DOLLAR, [fine]), (9 * DOLLAR, []), (1, [low]),
    ):  # fmt: skip
        mail.outbox.clear()
        leave(wallet, left)
        assert alerts.send() == len(expected)
        assert alerts.send() == 0
        assert subjects() == expected, left


def test_mail_says_what_is_left_and_what_happens(wallet: Balance) -> None:
    leave(wallet, 2_500_000_000)
    alerts.send()
    body = mail.outbox[0].body
    assert "can spend 2.50\N{NO-BREAK SPACE}USD now, less than the 3.00\N{NO-BREAK SPACE}USD" in body
    assert "refused with the code insufficient_quota" in body
    assert "/portal/billing/" in body
    leave(wallet, 4 * DOLLAR)
    alerts.send()
    assert "can spend 4.00\N{NO-BREAK SPACE}USD again" in mail.outbox[1].body


def test_what_requests_in_flight_hold_is_not_spent(wallet: Balance, tenant: Tenant, api_key: ApiKey) -> None:
    reservation(usage_record(tenant, Price.objects.create(model="m", input=1, output=1), api_key))
    leave(wallet, 3 * DOLLAR - 7)
    assert alerts.send() == 0
    leave(wallet, 3 * DOLLAR - 8)
    assert alerts.send() == 1


def test_owners_admins_and_who_pays_are_told_in_their_language(tenant: Tenant, wallet: Balance, bob: User) -> None:
    roles = {Member.Role.ADMIN: "vi", Member.Role.BILLING: "en"}
    for role, language in roles.items():
        user = User.objects.create_user(f"{role}@example.com", language=language)
        Member.objects.create(tenant=tenant, user=user, role=role)
    gone = User.objects.create_user("gone@example.com", is_active=False)
    Member.objects.create(tenant=tenant, user=gone, role=Member.Role.OWNER)
    leave(wallet, 0)

    assert alerts.send() == 1

    assert {message.to[0] for message in mail.outbox} == {
        "alice@example.com", "admin@example.com", "billing@example.com",
    }  # fmt: skip
    (vietnamese,) = (message for message in mail.outbox if message.to == ["admin@example.com"])
    assert "số dư" in vietnamese.subject


@pytest.mark.parametrize(
    ("verification", "told"), [("optional", {"confirmed@example.com", "entered@example.com"}), ("none", None)]
)
def test_address_that_nobody_has_confirmed_gets_no_mail(
    tenant: Tenant, wallet: Balance, settings: Any, verification: str, told: set[str] | None
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = verification
    tenant.members.all().delete()
    for name, addresses in {
        "confirmed": {"confirmed@example.com": True}, "signed-up": {"signed-up@example.com": False},
        "other": {"other@example.com": False, "another@example.com": True}, "entered": {},
    }.items():  # fmt: skip
        user = User.objects.create_user(f"{name}@example.com")
        Member.objects.create(tenant=tenant, user=user, role=Member.Role.OWNER)
        for address, is_confirmed in addresses.items():
            EmailAddress.objects.create(user=user, email=address, verified=is_confirmed)
    leave(wallet, 0)

    assert alerts.send() == 1

    everybody = {f"{name}@example.com" for name in ("confirmed", "signed-up", "other", "entered")}
    assert sorted(message.to[0] for message in mail.outbox) == sorted(told or everybody)


def test_name_of_several_lines_keeps_no_mail_from_anybody(wallet: Balance, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(name="Alice\nBcc: everybody@example.com")
    leave(wallet, 0)

    assert alerts.send() == 1

    assert subjects() == ["Alice Bcc: everybody@example.com: the balance is low"]
    assert mail.outbox[0].bcc == []


def test_suspended_tenant_is_left_in_peace(wallet: Balance, tenant: Tenant) -> None:
    leave(wallet, 0)
    Tenant.objects.filter(pk=tenant.pk).update(status=Tenant.Status.SUSPENDED)
    assert alerts.send() == 0


def test_other_threshold_is_told_of_anew_and_the_same_is_not(wallet: Balance) -> None:
    leave(wallet, DOLLAR)
    alerts.send()
    alerts.choose(wallet, 3 * DOLLAR)
    assert alerts.send() == 0
    alerts.choose(wallet, 2 * DOLLAR)
    assert alerts.send() == 1
    alerts.choose(wallet, None)
    assert not BalanceAlert.objects.exists()


class AwayBackend(BaseEmailBackend):
    def send_messages(self, _messages: object) -> int:
        raise ConnectionRefusedError


def test_mail_that_cannot_be_sent_is_tried_again(wallet: Balance, settings: Any) -> None:
    leave(wallet, 0)
    before, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.AwayBackend"
    assert alerts.send() == 0
    settings.EMAIL_BACKEND = before
    assert alerts.send() == 1


def test_wallet_that_nobody_reads_about_is_noted_all_the_same(wallet: Balance, tenant: Tenant) -> None:
    tenant.members.all().delete()
    leave(wallet, 0)
    assert alerts.send() == 1
    assert alerts.send() == 0
