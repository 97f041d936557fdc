"""What reconciliation compares, what it keeps of a break, and that it mends nothing."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import ApiKey, Tenant, User
from billing import balances, breaks, reconciliation, rollups
from billing.models import (
    ArchivedUse,
    Balance,
    Break,
    Price,
    Reconciliation,
    UsageArchive,
    UsageRecord,
    UsageRollup,
)
from tests.records import NOON, reservation, usage_record

Record = Callable[..., UsageRecord]


@pytest.fixture
def record(tenant: Tenant, api_key: ApiKey) -> Record:
    """Records a request and takes its cost from the wallet, as the writer does."""
    price = Price.objects.create(model="gpt-test", input=1_000_000_000, output=2_000_000_000)

    def write(**fields: object) -> UsageRecord:
        made = usage_record(tenant, price, api_key, **fields)
        wallet = Balance.objects.get(pk=made.legs[0])
        Balance.objects.filter(pk=wallet.pk).update(available=wallet.available - made.cost)
        return made

    return write


def findings() -> list[tuple[str, str, int]]:
    return [
        (result.check, finding.subject, finding.difference)
        for result in reconciliation.compared()
        for finding in result.findings
    ]


def tamper(wallet: Balance, by: int) -> None:
    Balance.objects.filter(pk=wallet.pk).update(available=Balance.objects.get(pk=wallet.pk).available + by)


def archived_until(moment: dt.datetime) -> UsageArchive:
    """As if every record of a request that began before this moment had been taken out."""
    return UsageArchive.objects.create(table="billing_usagerecord_old", ends=moment, records=1)


@pytest.fixture
def wallet(tenant: Tenant) -> Balance:
    return balances.open_wallet(tenant)


def test_before_the_first_request_nothing_is_rolled_up(tenant: Tenant) -> None:
    assert (rollups.advance(), rollups.complete_until()) == (0, None)
    assert findings() == []


def test_right_books_have_no_break(tenant: Tenant, record: Record) -> None:
    record(cost=5)
    rollups.advance()
    rollups.advance()

    assert findings() == []
    run = reconciliation.run()
    assert run.found == 0
    assert run.compared == {
        "identity": 1,
        "usage": 1,
        "roll-ups": 1,
        "documents": 0,
        "lots": 0,
        "providers": 0,
    }
    assert not breaks.is_frozen(tenant.pk)


@pytest.mark.parametrize("by", [1, -1])
def test_balance_that_was_moved_by_hand_is_found(wallet: Balance, by: int) -> None:
    tamper(wallet, by)
    assert findings() == [("identity", f"balance {wallet.pk}", by)]


def test_what_requests_in_flight_hold_is_in_the_wallet(wallet: Balance, record: Record) -> None:
    reservation(record(cost=5))
    tamper(wallet, -7)

    assert findings() == []


def test_request_that_was_taken_from_another_wallet_is_found(
    tenant: Tenant, stranger_tenant: Tenant, record: Record
) -> None:
    strangers = balances.open_wallet(stranger_tenant)
    record(cost=7, legs=[strangers.pk])

    assert findings() == [
        ("usage", f"tenant {tenant.pk}: what its requests cost its wallet", -7),
        ("usage", f"tenant {stranger_tenant.pk}: what its requests cost its wallet", 7),
    ]


@pytest.mark.parametrize(("column", "difference"), [("cost", 3), ("input_tokens", 3), ("requests", 3)])
def test_rollup_that_says_something_else_is_found(tenant: Tenant, record: Record, column: str, difference: int) -> None:
    record(cost=5)
    rollups.advance()
    row = UsageRollup.objects.get()
    UsageRollup.objects.filter(pk=row.pk).update(**{column: getattr(row, column) + difference})

    assert findings() == [("roll-ups", f"tenant {tenant.pk}: {column} rolled up", difference)]


def test_use_that_is_archived_was_used(tenant: Tenant, wallet: Balance, record: Record) -> None:
    record(cost=5)
    ArchivedUse.objects.create(archive=archived_until(NOON), balance=wallet, cost=7)
    tamper(wallet, -7)

    assert findings() == []


def test_rollup_of_an_archived_month_is_compared_with_nothing(record: Record) -> None:
    record(cost=5)
    rollups.advance()
    UsageRollup.objects.update(cost=8)
    assert len(findings()) == 1

    archived_until(NOON + dt.timedelta(hours=1))

    assert findings() == []


def test_record_that_is_not_rolled_up_is_found(tenant: Tenant, record: Record) -> None:
    record(cost=5)
    rollups.advance()
    UsageRollup.objects.all().delete()
    assert findings() == [("roll-ups", f"tenant {tenant.pk}: requests rolled up", -1)]


@pytest.mark.parametrize(
    ("theirs", "difference"),
    [
        pytest.param(10_000, 0, id="the same"),
        pytest.param(10_101, 0, id="a hundredth more"),
        pytest.param(10_102, 102, id="a little more than that"),
        pytest.param(9_900, 0, id="a hundredth less"),
        pytest.param(9_899, -101, id="a little less than that"),
        pytest.param(10_850, 850, id="more"),
        pytest.param(2_800, -7_200, id="less"),
        pytest.param(0, -10_000, id="nothing"),
    ],
)
def test_p13_bill_of_a_provider_that_differs_from_ours_is_found_by_channel(
    record: Record, theirs: int, difference: int
) -> None:
    yesterday = timezone.now() - dt.timedelta(days=1)
    for of_channel, reported in (("told", theirs), ("right", 10_000), ("silent", None)):
        record(
            settled_at=yesterday, channel=of_channel, provider_cost=10_000, provider_currency="USD",
            reported_cost=reported,
        )  # fmt: skip
    today = timezone.now().astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for other in (timezone.now(), today, today - dt.timedelta(days=1, microseconds=1)):
        record(settled_at=other, channel="other", provider_cost=1, provider_currency="USD", reported_cost=99)
    record(settled_at=yesterday, channel="dong", provider_cost=1, provider_currency="VND", reported_cost=99)

    wanted = [("providers", f"channel told: what its upstream reported on {yesterday:%Y-%m-%d}", difference)]
    assert findings() == (wanted if difference else [])


def test_break_of_a_channel_freezes_no_tenant(tenant: Tenant, record: Record) -> None:
    yesterday = timezone.now() - dt.timedelta(days=1)
    record(settled_at=yesterday, channel="told", provider_cost=1, provider_currency="USD", reported_cost=2)
    assert reconciliation.run().found == 1
    assert not breaks.is_frozen(tenant.pk)


def test_daily_run_is_one_of_all_processes(tenant: Tenant) -> None:
    runs = [reconciliation.run_daily(NOON + dt.timedelta(hours=hours)) for hours in (0, 11, 12, 36)]

    assert [run is not None for run in runs] == [True, False, True, True]
    assert Reconciliation.objects.count() == 3


def test_break_is_alarmed_once_and_freezes_its_tenant_alone(
    tenant: Tenant, stranger_tenant: Tenant, wallet: Balance, caplog: pytest.LogCaptureFixture
) -> None:
    tamper(wallet, 5)
    with caplog.at_level(logging.ERROR):
        first, second = reconciliation.run(), reconciliation.run()

    kept = Break.objects.get()
    assert (kept.check_name, kept.tenant, kept.difference) == ("identity", tenant, 5)
    assert kept.last_seen_at > kept.first_seen_at
    assert len([each for each in caplog.records if "the books break" in each.message]) == 1
    assert (first.found, second.found) == (1, 1)
    assert breaks.is_frozen(tenant.pk)
    assert not breaks.is_frozen(stranger_tenant.pk)


def test_break_does_not_end_by_itself(tenant: Tenant, wallet: Balance) -> None:
    tamper(wallet, 5)
    reconciliation.run()
    tamper(wallet, -5)

    assert reconciliation.run().found == 0
    assert breaks.is_frozen(tenant.pk)


def test_person_closes_a_break_with_a_reason_and_once(tenant: Tenant, wallet: Balance, operator: User) -> None:
    tamper(wallet, 5)
    reconciliation.run()
    [kept] = Break.objects.all()
    with pytest.raises(ValueError, match="reason"):
        breaks.close([kept], by=operator, reason="  ")
    assert breaks.is_frozen(tenant.pk)

    assert breaks.close([kept], by=operator, reason=" a slip ") == 1
    assert breaks.close([kept], by=operator, reason="again") == 0

    kept.refresh_from_db()
    assert (kept.reason, kept.closed_by) == ("a slip", operator)
    assert not breaks.is_frozen(tenant.pk)


def test_closed_break_opens_again_only_if_it_changes(tenant: Tenant, wallet: Balance, operator: User) -> None:
    tamper(wallet, 5)
    reconciliation.run()
    breaks.close(list(Break.objects.all()), by=operator, reason="known")

    reconciliation.run()
    assert not breaks.is_frozen(tenant.pk)
    tamper(wallet, 1)
    reconciliation.run()
    assert breaks.is_frozen(tenant.pk)
    assert [each.difference for each in Break.objects.order_by("pk")] == [5, 6]


def test_verify_says_every_check_and_fails_on_any(
    wallet: Balance, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    record(cost=5)
    rollups.advance()
    call_command("verify")
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines()] == [*list(reconciliation.CHECKS), "verified"]

    UsageRollup.objects.update(cost=6)
    with pytest.raises(CommandError, match="1 of 3 figures"):
        call_command("verify")
    assert "cost rolled up: expected 5, found 6" in capsys.readouterr().err
    assert not Break.objects.exists()
    assert not Reconciliation.objects.exists()
