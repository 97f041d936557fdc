"""The page of one request: its price sum, its decision in words, its attempts."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import keys
from accounts.models import Tenant, User
from billing.models import Balance, Price, UsageRecord
from billing.prices import cost
from portal import decisions
from portal.decisions import ChannelNames
from portal.request import price_sum

SHOWN = ChannelNames(shown=True, channels=())
REASONS = (
    "channel_disabled", "route_disabled", "no_cost_price", "no_secret", "no_tools", "no_images", "no_json_schema",
    "context_too_short", "breaker_open", "resting", "channel_busy", "over_max_price", "excluded_by_request",
)  # fmt: skip


def candidate(channel: str, state: str = "ready", **fields: Any) -> dict[str, Any]:
    given = {
        "route": 1,
        "channel": channel,
        "upstream_model": "upstream-name",
        "state": state,
        "reason": None,
        "expected_cost": 100,
        "currency": "USD",
        "success_rate": 1.0,
        "priority": 0,
        "weight": 1,
    }
    return given | fields


def attempt(channel: str, outcome: str = "answered", **fields: Any) -> dict[str, Any]:
    given = {
        "channel": channel,
        "upstream_model": "upstream-name",
        "outcome": outcome,
        "status": 200,
        "detail": "secret-host.internal refused key sk-upstream",
        "started_ms": 3,
        "duration_ms": 900,
    }
    return given | fields


def decision(*candidates: dict[str, Any]) -> dict[str, Any]:
    expected = {"input": 1200, "cached_input": 300, "output": 50}
    return {"strategy": "cheapest", "expected": expected, "candidates": list(candidates)}


def sentences(*candidates: dict[str, Any]) -> list[str]:
    explained = decisions.explain(decision(*candidates), [], SHOWN)
    assert explained is not None
    return [str(each.sentence) for each in explained.candidates]


@pytest.fixture
def alices(client: Client, alice: User, tenant: Tenant) -> Client:
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def record(tenant: Tenant) -> Callable[..., UsageRecord]:
    """Writes a usage record of Alice's tenant at 1 and 2 USD per million tokens, 0.5 USD for cached input."""
    price = Price.objects.create(model="gpt-test", input=1_000_000_000, cached_input=500_000_000, output=2_000_000_000)
    api_key = keys.issue(tenant=tenant, name="production").api_key
    started_at = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)

    def write(**fields: Any) -> UsageRecord:
        given = {
            "id": uuid.uuid4(),
            "tenant": tenant,
            "legs": [Balance.objects.get(tenant=tenant).pk],
            "api_key": api_key,
            "endpoint": "chat/completions",
            "requested_model": "gpt-test",
            "model": "gpt-test",
            "price": price,
            "currency": "USD",
            "outcome": "success",
            "status": 200,
            "usage_source": "upstream",
            "input_tokens": 100,
            "cached_input_tokens": 40,
            "output_tokens": 10,
            "cost": 100_000,
            "held": 300_000,
            "claimed_cost": 100_000,
            "attempts": [attempt("blue")],
            "decision": decision(candidate("blue", "chosen"), candidate("green", expected_cost=150)),
            "started_at": started_at,
            "settled_at": started_at + dt.timedelta(seconds=1),
            "duration_ms": 1000,
        }
        return UsageRecord.objects.create(**(given | fields))

    return write


def page(client: Client, record: UsageRecord) -> str:
    return client.get(reverse("portal:request", args=[record.pk])).content.decode()


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


def test_rounding_is_a_line_of_its_own(alices: Client, record: Callable[..., UsageRecord]) -> None:
    odd = Price.objects.create(model="odd", input=1_500_000, output=1_000_000)

    written = record(price=odd, input_tokens=1, cached_input_tokens=0, output_tokens=1, cost=3, claimed_cost=3)

    assert price_sum(written).rounding_millionths == 500_000
    assert "0.0000000025 " in page(alices, written)
    assert "Rounded once" in page(alices, written)


def test_the_fee_is_a_line_of_its_own(alices: Client, record: Callable[..., UsageRecord]) -> None:
    flat = Price.objects.create(model="flat", input=0, output=0, request_fee=5_000)

    written = record(price=flat, cost=5_000, claimed_cost=5_000)

    assert price_sum(written).not_charged == 0
    assert "Fee per request" in page(alices, written)


def test_a_request_that_produced_nothing_shows_that_it_was_not_charged(
    alices: Client, record: Callable[..., UsageRecord]
) -> None:
    written = record(output_tokens=0, cost=0, claimed_cost=0, outcome="upstream_error", status=502)

    assert price_sum(written).not_charged == -80_000
    assert "Nothing was produced: not charged" in page(alices, written)


def test_usage_beyond_hold_and_balance_shows_that_it_was_written_off(
    alices: Client, record: Callable[..., UsageRecord]
) -> None:
    written = record(held=70_000, cost=75_000)

    total = price_sum(written)
    assert (total.not_charged, total.taken_beyond, total.given_back) == (-25_000, 5_000, 0)
    assert "More than your balance could pay: written off" in page(alices, written)
    assert "Nothing was produced" not in page(alices, written)


def test_usage_beyond_the_hold_shows_what_was_taken(alices: Client, record: Callable[..., UsageRecord]) -> None:
    written = record(held=70_000)

    total = price_sum(written)
    assert (total.cost, total.not_charged, total.taken_beyond, total.given_back) == (100_000, 0, 30_000, 0)
    shown = page(alices, written)
    assert "Taken beyond the hold when it was settled" in shown
    assert "0.00003 <span" in shown
    assert "Given back" not in shown
    assert "written off" not in shown


def test_usage_within_the_hold_shows_what_was_given_back(alices: Client, record: Callable[..., UsageRecord]) -> None:
    written = record()

    total = price_sum(written)
    assert (total.taken_beyond, total.given_back) == (0, 200_000)
    assert "Given back when it was settled" in page(alices, written)
    assert "beyond the hold" not in page(alices, written)


def test_the_amounts_of_a_sum_line_up(record: Callable[..., UsageRecord]) -> None:
    assert price_sum(record()).places == 5


def test_the_page_takes_five_queries(
    alices: Client, record: Callable[..., UsageRecord], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    written = record()

    with django_assert_num_queries(5):  # session, user, memberships, record with its price, key
        page(alices, written)


def test_the_detail_for_operators_is_never_shown(alices: Client, record: Callable[..., UsageRecord]) -> None:
    written = record(attempts=[attempt("blue", "bad_status", status=500), attempt("green")])

    shown = page(alices, written)

    assert "green" in shown
    assert "secret-host" not in shown
    assert "sk-upstream" not in shown


def test_hidden_channels_are_numbered(alices: Client, record: Callable[..., UsageRecord], settings: Settings) -> None:
    settings.SHOW_CHANNELS = False
    written = record(channel="green", attempts=[attempt("green", "connect_failed"), attempt("blue")])

    shown = page(alices, written)

    assert "channel 1" in shown
    assert "channel 2 did not answer; channel 1 did." in shown
    assert "blue" not in shown
    assert "green" not in shown
    assert "upstream-name" not in shown
    assert 'title="0.00000015 USD"' not in shown


def test_expected_costs_are_shown_with_the_channels(alices: Client, record: Callable[..., UsageRecord]) -> None:
    assert 'title="0.00000015 USD"' in page(alices, record())


def test_a_request_of_another_tenant_is_not_found(
    client: Client, charlie: User, stranger_tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    client.force_login(charlie, backend="django.contrib.auth.backends.ModelBackend")

    assert client.get(reverse("portal:request", args=[record().pk])).status_code == 404


@pytest.mark.parametrize("role", ["owner", "admin", "developer", "billing"])
def test_every_member_reads_a_request(
    client: Client, bob: User, tenant: Tenant, record: Callable[..., UsageRecord], role: str
) -> None:
    bob.memberships.update(role=role)
    client.force_login(bob, backend="django.contrib.auth.backends.ModelBackend")

    assert client.get(reverse("portal:request", args=[record().pk])).status_code == 200


def test_a_recovered_request_says_that_no_decision_was_stored(
    alices: Client, record: Callable[..., UsageRecord]
) -> None:
    written = record(decision={}, attempts=[], outcome="recovered", usage_source="estimated")

    assert "No decision was stored" in page(alices, written)


def test_the_chosen_one_comes_first_and_who_was_out_last() -> None:
    explained = decisions.explain(
        decision(
            candidate("out", "out", reason="resting", expected_cost=None),
            candidate("dear", expected_cost=300),
            candidate("cheap", "chosen"),
            candidate("middle", expected_cost=200),
        ),
        [],
        SHOWN,
    )

    assert explained is not None
    assert [each.name for each in explained.candidates] == ["cheap", "middle", "dear", "out"]
    assert explained.summary == (
        "4 routes were considered, 3 of them could serve the request. The cheapest healthy channel was wanted."
    )


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        pytest.param({"expected_cost": 159}, "Ready, but dearer by 59 %.", id="dearer"),
        pytest.param({"expected_cost": 100}, "Ready at the same expected cost; weights decided.", id="a tie"),
        pytest.param(
            {"expected_cost": 1},
            "Ready and cheaper, but the strategy preferred the chosen one.",
            id="cheaper",
        ),
        pytest.param(
            {"expected_cost": 1, "priority": -1},
            "Ready, but in a later tier: tried only if the earlier tier fails.",
            id="later tier",
        ),
    ],
)
def test_how_the_others_stand_to_the_chosen_one(other: dict[str, Any], sentence: str) -> None:
    assert sentences(candidate("a", "chosen"), candidate("b", **other)) == [
        "Chosen. It answers 100 % of requests.",
        f"{sentence} It answers 100 % of requests.",
    ]


def test_a_chance_is_never_rounded_up_to_certainty() -> None:
    assert sentences(candidate("a", "chosen", success_rate=0.9999)) == ["Chosen. It answers 99.9 % of requests."]


@pytest.mark.parametrize("language", ["en", "vi"])
def test_every_reason_has_words_of_its_own(language: str) -> None:
    with translation.override(language):
        words = sentences(*(candidate(reason, "out", reason=reason, expected_cost=None) for reason in REASONS))

    assert len(set(words)) == len(REASONS)
    assert "Out." not in words


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        pytest.param(["answered"], "", id="the first answered"),
        pytest.param(["connect_failed", "answered"], "blue did not answer; green did.", id="failover"),
        pytest.param(["bad_status", "idle_timeout"], "None of those that were tried answered.", id="none"),
        pytest.param(["broken_stream"], "", id="broke off"),
        pytest.param(["cancelled"], "", id="the client left"),
    ],
)
def test_the_summary_says_what_came_of_the_choice(tried: list[str], words: str) -> None:
    attempts = [attempt(channel, outcome) for channel, outcome in zip(("blue", "green"), tried, strict=False)]

    explained = decisions.explain(decision(candidate("blue", "chosen")), decisions.attempts(attempts, SHOWN), SHOWN)

    assert explained is not None
    assert explained.summary.partition("was wanted.")[2].strip() == words
