"""The page of one request: its price sum, its decision, its attempts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import ApiKey, Tenant, User
from billing import balances, corrections, ledger
from billing.models import LedgerEntry, Price, UsageRecord
from billing.prices import cost
from portal.request import price_sum
from tests.pages import Browser
from tests.records import attempt, candidate, decision, usage_record


@pytest.fixture
def record(tenant: Tenant, api_key: ApiKey) -> Callable[..., UsageRecord]:
    """Writes a usage record of Alice's tenant at 1 and 2 USD per million tokens, 0.5 USD for cached input."""
    price = Price.objects.create(model="gpt-test", input=1_000_000_000, cached_input=500_000_000, output=2_000_000_000)
    given = {
        "input_tokens": 100,
        "cached_input_tokens": 40,
        "output_tokens": 10,
        "cost": 100_000,
        "held": 300_000,
        "attempts": [attempt("blue")],
        "decision": decision(candidate("blue", "chosen"), candidate("green", expected_cost=150)),
    }
    return partial(usage_record, tenant, price, api_key, **given)


def page(browser: Browser, record: UsageRecord) -> str:
    return browser.open(reverse("portal:request", args=[record.pk])).text


def test_the_price_sum_adds_up_line_by_line(record: Callable[..., UsageRecord]) -> None:
    written = record()

    total = price_sum(written)

    assert [(str(term.label), term.quantity, term.rate, term.amount) for term in total.terms] == [
        ("Input", 60, 1_000_000_000, 60_000_000_000),
        ("Cached input", 40, 500_000_000, 20_000_000_000),
        ("Output", 10, 2_000_000_000, 20_000_000_000),
    ]
    assert (total.exact_millionths, total.rounding_millionths, total.not_charged) == (100_000_000_000, 0, 0)
    assert (total.cost, total.given_back) == (100_000, 200_000)
    assert total.cost == cost(written.usage, written.price.tariff)


def test_rounding_is_a_line_of_its_own(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    odd = Price.objects.create(model="odd", input=1_500_000, output=1_000_000)

    written = record(price=odd, input_tokens=1, cached_input_tokens=0, output_tokens=1, cost=3, claimed_cost=3)

    assert price_sum(written).rounding_millionths == 500_000
    assert "0.0000000025 " in page(alices, written)
    assert "Rounded once" in page(alices, written)


def test_the_fee_is_a_line_of_its_own(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    flat = Price.objects.create(model="flat", input=0, output=0, request_fee=5_000)

    written = record(price=flat, cost=5_000, claimed_cost=5_000)

    assert price_sum(written).not_charged == 0
    assert "Fee per request" in page(alices, written)


@pytest.mark.parametrize(("zone", "times"), [("UTC", 0), ("Asia/Ho_Chi_Minh", 1)])
def test_begin_is_said_in_utc_beside_the_tenants_own_time(
    alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord], zone: str, times: int
) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(time_zone=zone)

    assert page(alices, record()).count(f"{zone} \N{MIDDLE DOT} 2026-03-01 12:00:00 UTC") == times


def test_a_request_that_produced_nothing_shows_that_it_was_not_charged(
    alices: Browser, record: Callable[..., UsageRecord]
) -> None:
    written = record(output_tokens=0, cost=0, claimed_cost=0, outcome="upstream_error", status=502)

    assert price_sum(written).not_charged == -80_000
    assert "Nothing was produced: not charged" in page(alices, written)


def test_usage_beyond_hold_and_balance_shows_that_it_was_written_off(
    alices: Browser, record: Callable[..., UsageRecord]
) -> None:
    written = record(held=70_000, cost=75_000, claimed_cost=100_000)

    total = price_sum(written)
    assert (total.not_charged, total.taken_beyond, total.given_back) == (-25_000, 5_000, 0)
    assert "More than your balance could pay: written off" in page(alices, written)
    assert "Nothing was produced" not in page(alices, written)


def test_usage_beyond_the_hold_shows_what_was_taken(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    written = record(held=70_000)

    total = price_sum(written)
    assert (total.cost, total.not_charged, total.taken_beyond, total.given_back) == (100_000, 0, 30_000, 0)
    shown = page(alices, written)
    assert "Taken beyond the hold when it was settled" in shown
    assert "0.00003 <span" in shown
    assert "Given back" not in shown
    assert "written off" not in shown


def test_usage_within_the_hold_shows_what_was_given_back(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    written = record()

    total = price_sum(written)
    assert (total.taken_beyond, total.given_back) == (0, 200_000)
    assert "Given back when it was settled" in page(alices, written)
    assert "beyond the hold" not in page(alices, written)


@pytest.mark.parametrize(
    ("amount", "booked", "total"), [(-30_000, "0.00003", "0.00013"), (10_000, "0.00001", "0.00009")]
)
def test_what_was_booked_later_is_a_line_of_its_own(
    alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord], amount: int, booked: str, total: str
) -> None:
    wallet = balances.open_wallet(tenant)
    ledger.post(balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=10**9, reference="a grant")
    written = record(outcome="recovered", legs=[wallet.pk])
    reference = corrections.reference(written.id.hex, wallet.pk)
    ledger.post(balance=wallet, kind=LedgerEntry.Kind.ADJUSTMENT, amount=amount, reference=reference)

    text = page(alices, written)

    assert "Booked later, when its end was known" in text
    assert booked in text
    assert total in text


def test_the_amounts_of_a_sum_line_up(record: Callable[..., UsageRecord]) -> None:
    assert price_sum(record()).places == 5


def test_the_page_takes_five_queries(
    alices: Browser, record: Callable[..., UsageRecord], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    written = record()

    with django_assert_num_queries(5):  # session, user, memberships, record with its price, key
        page(alices, written)


def test_the_detail_for_operators_is_never_shown(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    written = record(attempts=[attempt("blue", "bad_status", status=500), attempt("green")])

    shown = page(alices, written)

    assert "green" in shown
    assert "secret-host" not in shown
    assert "sk-upstream" not in shown


def test_hidden_channels_are_numbered(alices: Browser, record: Callable[..., UsageRecord], settings: Settings) -> None:
    settings.SHOW_CHANNELS = False
    written = record(channel="green", attempts=[attempt("green", "connect_failed"), attempt("blue")])

    shown = page(alices, written)

    assert "channel 1" in shown
    assert "channel 2 did not answer; channel 1 did." in shown
    assert "blue" not in shown
    assert "green" not in shown
    assert "upstream-name" not in shown
    assert 'title="0.00000015 USD"' not in shown


def test_what_the_operator_pays_is_not_shown(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    shown = page(alices, record())

    assert 'title="0.00000015 USD"' not in shown
    assert "Costs are for the usage expected beforehand" not in shown


def test_what_the_operator_pays_is_shown_where_the_operator_says_so(
    alices: Browser, record: Callable[..., UsageRecord], settings: Settings
) -> None:
    settings.SHOW_COSTS = True

    shown = page(alices, record())

    assert 'title="0.00000015 USD"' in shown
    assert "Costs are for the usage expected beforehand" in shown


def test_a_request_of_another_tenant_is_not_found(
    charlie: User, stranger_tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    assert Browser(charlie).open(reverse("portal:request", args=[record().pk])).status == 404


@pytest.mark.parametrize("role", ["owner", "admin", "developer", "billing"])
def test_every_member_reads_a_request(bob: User, tenant: Tenant, record: Callable[..., UsageRecord], role: str) -> None:
    bob.memberships.update(role=role)
    assert Browser(bob).open(reverse("portal:request", args=[record().pk])).status == 200


def test_a_recovered_request_says_that_no_decision_was_stored(
    alices: Browser, record: Callable[..., UsageRecord]
) -> None:
    written = record(decision={}, attempts=[], outcome="recovered", usage_source="estimated")

    assert "No decision was stored" in page(alices, written)
