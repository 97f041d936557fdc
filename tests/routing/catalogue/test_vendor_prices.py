"""The vendors' prices: what the pinned package says, what differs from ours, and what is taken over by itself."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from genai_prices import calc_price
from genai_prices.types import Usage as VendorUsage
from hypothesis import given
from hypothesis import strategies as st

from billing import terms
from billing.kinds import Usage
from billing.models import Price
from billing.money import to_decimal
from billing.prices import cost
from routing.catalogue import vendors
from routing.catalogue.models import CatalogueModel, Channel, CostPrice, Route

DAY = dt.date(2026, 11, 26)
_numbers = itertools.count(1)


def fields(price: vendors.VendorPrice) -> dict[str, Any]:
    return {
        name: price.rates.get(name) for name in ("input", "output", "cached_input", "cache_write", "cache_write_1h")
    }


# --- what the package says -------------------------------------------------------------------------------------------


def test_price_of_a_day_is_that_days() -> None:
    before, after = (vendors.of_model("o3", day) for day in (dt.date(2025, 6, 9), dt.date(2025, 6, 10)))
    assert before is not None
    assert after is not None
    assert (before.rates["input"], after.rates["input"]) == (10 * 10**9, 2 * 10**9)


@pytest.mark.parametrize(
    ("base_url", "name", "vendor"),
    [
        ("https://api.openai.com/v1", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("https://api.deepseek.com", "deepseek-chat", "deepseek/deepseek-chat"),
        ("https://api.openai.com/v1", "nobody-knows-it", None),
        ("https://llm.example/v1", "gpt-4o", None),
    ],
)
def test_vendor_of_a_route_is_told_by_its_address(base_url: str, name: str, vendor: str | None) -> None:
    assert vendors.of_route(base_url, name, DAY) == (vendor and vendors.of_model(vendor, DAY))


def test_writes_to_the_cache_for_an_hour_have_their_own_rate() -> None:
    price = vendors.of_model("claude-sonnet-4-5", DAY)
    assert price is not None
    rates = [price.rates[name] for name in ("input", "cache_write", "cache_write_1h")]
    assert rates == [3 * 10**9, 3_750_000_000, 6 * 10**9]
    assert "cache_write_1h_mtok" not in price.left_out


@pytest.mark.parametrize(
    ("base_url", "name", "rates"),
    [
        pytest.param("https://api.openai.com/v1", "tts-1", {"character": 15 * 10**9}, id="characters"),
        pytest.param(
            "https://api.groq.com/openai/v1", "whisper-large-v3", {"second": 30_833_333_333}, id="hours as seconds"
        ),
        pytest.param("https://api.openai.com/v1", "text-embedding-3-small", {"input": 20_000_000}, id="input alone"),
    ],
)
def test_what_is_counted_otherwise_has_its_rate(base_url: str, name: str, rates: dict[str, int]) -> None:
    price = vendors.of_route(base_url, name, DAY)
    assert price is not None
    assert price.rates == {"input": 0, "output": 0, **rates}


def test_name_alone_is_its_makers_model() -> None:
    assert vendors.of_model("gpt-4o", DAY) == vendors.of_model("openai/gpt-4o", DAY)
    assert vendors.of_model("nobody-knows-it", DAY) is None
    assert vendors.of_model("nobody/gpt-4o", DAY) is None


@given(
    name=st.sampled_from(["gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "deepseek-chat", "o3"]),
    counts=st.tuples(st.integers(0, 400_000), st.integers(0, 100_000)),
    cached=st.floats(0, 1),
    minute=st.integers(0, 1439),
)
def test_what_it_costs_by_our_terms_is_what_the_package_reckons(
    name: str, counts: tuple[int, int], cached: float, minute: int
) -> None:
    price = vendors.of_model(name, DAY)
    assert price is not None
    moment = dt.datetime.combine(DAY, dt.time(minute // 60, minute % 60), dt.UTC)
    input_, output = counts
    usage = Usage(input=input_, output=output, cached_input=int(input_ * cached))
    ours = terms.tariff_of(1, "USD", fields(price), price.terms).at(moment.timestamp())
    counted = VendorUsage(input_tokens=input_, output_tokens=output, cache_read_tokens=usage.cached_input)
    theirs = calc_price(counted, name, genai_request_timestamp=moment).total_price
    assert abs(to_decimal(cost(usage, ours), "USD") - theirs) <= Decimal("0.000000001")


# --- what is taken over ----------------------------------------------------------------------------------------------

in_database = pytest.mark.django_db
GPT = {"input": 2_500_000_000, "output": 10_000_000_000, "cached_input": 1_250_000_000}


def ours(source: str | None = "genai-prices 0.0.1", **changes: Any) -> Price:
    CatalogueModel.objects.get_or_create(name="gpt-4o")
    return Price.objects.create(model="gpt-4o", source=source, **(GPT | changes))


def route_of(**changes: Any) -> Route:
    model, _new = CatalogueModel.objects.get_or_create(name=f"own-{next(_numbers)}")
    channel = Channel.objects.create(name="openai", provider="openai", base_url="https://api.openai.com/v1")
    route = Route.objects.create(channel=channel, model=model, upstream_name="gpt-4o")
    if changes:
        CostPrice.objects.create(route=route, source="genai-prices 0.0.1", **(GPT | changes))
    return route


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    call_command("prices", *words, "--on", str(DAY))
    return capsys.readouterr().out


@in_database
@pytest.mark.parametrize(
    ("changes", "words", "is_applied"),
    [
        ({}, "", False),
        ({"input": 3_000_000_000}, "gpt-4o: falls", True),
        ({"input": 2_000_000_000}, "rises: waits", False),
        ({"input": 3_000_000_000, "output": 9_000_000_000}, "rises: waits", False),
        ({"cached_input": 0}, "becomes free or no longer free: waits", False),
        ({"request_fee": 5}, "becomes free or no longer free: waits", False),
        ({"input": 26_000_000_000}, "more than tenfold: waits", False),
        ({"input": 25_000_000_000}, "gpt-4o: falls", True),
        ({"terms": [{"rates": {"input": 1}, "above": 5}]}, "other terms: waits", False),
        ({"source": None, "input": 3_000_000_000}, "set by hand: left alone", False),
    ],
)  # fmt: skip
def test_falls_are_taken_over_and_the_rest_waits(
    capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str, is_applied: bool
) -> None:
    ours(**changes)
    told = run(capsys, "diff")
    assert words in told
    assert Price.objects.count() == 1

    assert f"{int(is_applied)} applied" in run(capsys, "apply")
    assert Price.objects.count() == 1 + is_applied
    newest = Price.objects.order_by("version").last()
    assert newest is not None
    if is_applied:
        assert (newest.tariff.input, newest.source) == (2_500_000_000, vendors.SOURCE)
        assert "0 differ" in run(capsys, "apply")


@in_database
def test_what_waits_is_taken_over_when_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    ours(input=1)
    assert "input: 0.000000001 -> 2.5" in run(capsys, "diff")
    assert "1 applied" in run(capsys, "apply", "--accept", "gpt-4o")
    assert Price.objects.count() == 2


@in_database
def test_p11_price_set_by_hand_cannot_be_accepted_away(capsys: pytest.CaptureFixture[str]) -> None:
    ours(source=None, input=1)
    with pytest.raises(CommandError, match="nothing to accept for gpt-4o"):
        call_command("prices", "apply", "--accept", "gpt-4o")
    assert Price.objects.count() == 1


@in_database
def test_cost_prices_follow_the_vendor_behind_the_channel(capsys: pytest.CaptureFixture[str]) -> None:
    route = route_of(output=11_000_000_000)
    assert f"{route}: falls" in run(capsys, "apply")
    newest = route.cost_prices.order_by("version").last()
    assert newest is not None
    assert (newest.tariff.output, newest.source) == (10_000_000_000, vendors.SOURCE)


@in_database
def test_new_price_waits_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    route = route_of()
    assert f"{route}: new: waits for a person" in run(capsys, "apply")
    assert not route.cost_prices.exists()
    run(capsys, "apply", "--accept", str(route))
    assert route.cost_prices.get().tariff.input == 2_500_000_000


@in_database
def test_what_the_package_does_not_know_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    CatalogueModel.objects.create(name="llama-at-home")
    Price.objects.create(model="llama-at-home", input=1, output=1, source="genai-prices 0.0.1")
    assert "0 differ" in run(capsys, "apply")


@in_database
def test_two_dates_of_the_package_tell_what_changed_between_them(capsys: pytest.CaptureFixture[str]) -> None:
    CatalogueModel.objects.create(name="o3")
    call_command("prices", "apply", "--on", "2025-06-09", "--accept", "o3")
    capsys.readouterr()
    call_command("prices", "diff", "--on", "2025-06-09")
    assert "0 differ" in capsys.readouterr().out
    call_command("prices", "apply", "--on", "2025-06-10")
    told = capsys.readouterr().out
    assert "o3: falls" in told
    assert "input: 10 -> 2" in told
