"""What is mailed of quotas, to whom, and that it is mailed once."""

from __future__ import annotations

import datetime as dt
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from accounts.models import ApiKey, Member, Tenant, User
from billing import notices, quotas
from billing.amounts import LARGEST
from billing.models import Balance, Quota

AMOUNT = 100_000


@pytest.fixture
def quota(tenant: Tenant) -> Quota:
    return quotas.grant(tenant, amount=AMOUNT, period="month")


def use(quota: Quota, used: int) -> None:
    row = quotas.balance_of(quota, timezone.now())
    Balance.objects.filter(pk=row.pk).update(available=row.credit_line - used)


def subjects() -> list[str]:
    return [str(message.subject) for message in mail.outbox]


def test_each_threshold_is_mailed_once(quota: Quota) -> None:
    for used, expected in (
        (49_999, []), (50_000, ["50"]), (50_000, []), (79_999, []), (80_000, ["80"]), (99_999, []), (100_000, ["100"]),
        (100_001, []),
    ):  # fmt: skip
        mail.outbox.clear()
        use(quota, used)
        notices.send()
        notices.send()
        assert [subject.split(" ")[0] for subject in subjects()] == expected, used


def test_who_jumps_over_thresholds_is_told_of_the_highest(quota: Quota) -> None:
    use(quota, 90_000)
    assert notices.send() == 1
    assert subjects() == ["80 % of a quota is used: Alice Ltd, per month"]
    body = mail.outbox[0].body
    assert (
        "of 0.0001\N{NO-BREAK SPACE}USD that Alice Ltd may spend per month, 0.00009\N{NO-BREAK SPACE}USD are spent"
        in body
    )
    assert "refused with the code quota_exceeded" in body
    assert "The next period begins on" in body


def test_next_period_begins_untold(quota: Quota) -> None:
    use(quota, 60_000)
    notices.send()
    old = Balance.objects.get(quota=quota)
    assert old.starts_at is not None
    Balance.objects.filter(pk=old.pk).update(starts_at=old.starts_at - dt.timedelta(days=40), ends_at=old.starts_at)
    use(quota, 60_000)
    mail.outbox.clear()
    assert notices.send() == 1


def test_soft_quota_counts_against_its_amount(tenant: Tenant) -> None:
    soft = quotas.grant(tenant, amount=AMOUNT, period="day", is_hard=False)
    use(soft, 250_000)
    notices.send()
    assert subjects() == ["100 % of a quota is used: Alice Ltd, per day"]
    assert "nothing is refused" in mail.outbox[0].body


@pytest.mark.parametrize("about", ["tenant", "member", "key"])
def test_owners_admins_and_whose_it_is_are_told(
    tenant: Tenant, alice: User, bob: User, api_key: ApiKey, about: str
) -> None:
    admin = User.objects.create_user("admin@example.com", language="vi")
    Member.objects.create(tenant=tenant, user=admin, role=Member.Role.ADMIN)
    gone = User.objects.create_user("gone@example.com", is_active=False)
    Member.objects.create(tenant=tenant, user=gone, role=Member.Role.OWNER)
    assert Member.objects.get(tenant=tenant, user=bob).role == Member.Role.DEVELOPER
    ApiKey.objects.filter(pk=api_key.pk).update(created_by=bob)
    api_key.refresh_from_db()
    subjects_: dict[str, dict[str, Any]] = {"member": {"user": bob}, "key": {"api_key": api_key}}
    use(quotas.grant(tenant, amount=AMOUNT, period="month", **subjects_.get(about, {})), AMOUNT)

    notices.send()

    told = {message.to[0] for message in mail.outbox}
    assert told == {alice.email, admin.email} | ({bob.email} if about != "tenant" else set())
    (vietnamese,) = (message for message in mail.outbox if message.to == [admin.email])
    assert "hạn mức" in vietnamese.subject.lower()


def test_ended_quota_and_quota_of_nothing_are_silent(tenant: Tenant, quota: Quota) -> None:
    use(quota, AMOUNT)
    quotas.end(quota)
    quotas.balance_of(quotas.grant(tenant, amount=0, period="day"), timezone.now())
    assert notices.send() == 0


class AwayBackend(BaseEmailBackend):
    def send_messages(self, _messages: object) -> int:
        raise ConnectionRefusedError


def test_mail_that_cannot_be_sent_is_tried_again(quota: Quota, settings: Any) -> None:
    use(quota, AMOUNT)
    before = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = f"{__name__}.AwayBackend"
    assert notices.send() == 0
    settings.EMAIL_BACKEND = before
    assert notices.send() == 1
    assert len(mail.outbox) == 1


def test_quota_of_the_largest_amount_keeps_nobody_from_being_told(tenant: Tenant, quota: Quota) -> None:
    vast = quotas.grant(tenant, amount=LARGEST, period="total")
    use(vast, LARGEST // 10)
    use(quota, AMOUNT)
    assert notices.send() == 1
    use(vast, LARGEST // 2)
    assert notices.send() == 1


class PickyBackend(BaseEmailBackend):
    """Refuses one address for good."""

    def send_messages(self, messages: Any) -> int:
        if any("alice" in address for message in messages for address in message.to):
            raise SMTPRecipientsRefused({})
        mail.outbox.extend(messages)
        return len(messages)


def test_refused_address_keeps_the_mail_from_nobody_else_and_is_not_tried_for_ever(
    tenant: Tenant, quota: Quota, settings: Any
) -> None:
    admin = User.objects.create_user("admin@example.com")
    Member.objects.create(tenant=tenant, user=admin, role=Member.Role.ADMIN)
    settings.EMAIL_BACKEND = f"{__name__}.PickyBackend"
    use(quota, AMOUNT)
    assert [notices.send(), notices.send()] == [1, 0]
    assert [message.to for message in mail.outbox] == [[admin.email]]
