"""`manage.py add_channel` puts models on offer from a shell."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from billing.models import Price
from routing.models import CatalogueModel, Channel, CostPrice, Route

COST = ("--cost-input", "0.10", "--cost-output", "0.40")
PRICE = ("--price-input", "0.15", "--price-output", "0.60", "--price-cached-input", "0.075")


def _add(*words: str) -> None:
    call_command("add_channel", "Vendor", "--base-url", "https://api.example.com/v1", *words, verbosity=0)


def test_channel_model_route_and_prices_are_made(db: None) -> None:
    _add("--model", "small=vendor-small-v2", "--context", "32000", *COST, *PRICE)

    route = Route.objects.get()
    assert (route.channel.name, route.model.name, route.upstream_name) == ("Vendor", "small", "vendor-small-v2")
    assert route.model.context_window == 32_000
    rates = ("input", "output", "cached_input")
    assert list(CostPrice.objects.values_list(*rates)) == [(100_000_000, 400_000_000, None)]
    assert list(Price.objects.values_list("model", *rates)) == [("small", 150_000_000, 600_000_000, 75_000_000)]


def test_repetition_changes_nothing(db: None) -> None:
    _add("--model", "small", *COST, *PRICE)
    _add("--model", "small", *COST, *PRICE)

    assert (Channel.objects.count(), Route.objects.count()) == (1, 1)
    assert (CostPrice.objects.count(), Price.objects.count()) == (1, 1)


def test_other_price_is_a_new_version(db: None) -> None:
    _add("--model", "small", *COST, *PRICE)
    _add("--model", "small", "--cost-input", "0.20", "--cost-output", "0.40")

    assert list(CostPrice.objects.order_by("version").values_list("version", "input")) == [
        (1, 100_000_000),
        (2, 200_000_000),
    ]
    assert Price.objects.count() == 1


def test_every_kind_has_its_rate(db: None) -> None:
    rates = ("--cost-second", "100", "--price-second", "120", "--price-character", "15", "--price-cache-write", "3.75")
    _add("--model", "small", *rates)

    assert CostPrice.objects.values_list("input", "output", "second", "image").get() == (0, 0, 10**11, None)
    assert Price.objects.values_list("input", "second", "character", "cache_write").get() == (
        0, 12 * 10**10, 15 * 10**9, 3_750_000_000,
    )  # fmt: skip


def test_rates_that_are_not_given_stay_as_they_are(db: None) -> None:
    _add("--model", "small", *COST, "--cost-cache-write", "3.75")
    _add("--model", "small", *COST)

    assert CostPrice.objects.values_list("cache_write", flat=True).get() == 3_750_000_000


def test_channel_without_any_cost_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="needs --cost-input"):
        _add("--model", "small")
    assert not Channel.objects.exists()


def test_secret_comes_out_of_the_named_variable(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_KEY", "sk-vendor-1234567890")

    _add("--model", "small", "--secret-env", "VENDOR_KEY", *COST)

    assert Channel.objects.get().secret == "sk-vendor-1234567890"


def test_secret_of_blanks_is_none(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_KEY", " \n")
    with pytest.raises(CommandError, match="VENDOR_KEY is empty"):
        _add("--model", "small", "--secret-env", "VENDOR_KEY", *COST)
    assert not Channel.objects.exists()


def test_secret_does_not_follow_to_another_host(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_KEY", "sk-vendor-1234567890")
    _add("--model", "small", "--secret-env", "VENDOR_KEY", *COST)

    call_command(
        "add_channel",
        "Vendor",
        "--base-url",
        "https://elsewhere.example.com/v1",
        "--model",
        "small",
        *COST,
        verbosity=0,
    )

    assert Channel.objects.get().secret == ""


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--model", "small", "--cost-input", "-1", "--cost-output", "1"), id="negative"),
        pytest.param(("--model", "small", "--cost-input", "NaN", "--cost-output", "1"), id="not a number"),
        pytest.param(("--model", "small", "--cost-input", "cheap", "--cost-output", "1"), id="words"),
        pytest.param(("--model", "small", "--cost-input", "0.0000000001", "--cost-output", "1"), id="too fine"),
        pytest.param(("--model", "no spaces allowed", *COST), id="model name"),
        pytest.param(("--model", "=upstream", *COST), id="no public name"),
        pytest.param(("--model", "small", *COST, "--price-input", "1"), id="half a price"),
        pytest.param(("--model", "small", *COST, "--secret-env", "SURELY_NOT_SET"), id="empty secret"),
    ],
)
def test_refusal_changes_nothing(db: None, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        _add(*words)

    assert (Channel.objects.count(), CatalogueModel.objects.count(), Price.objects.count()) == (0, 0, 0)


# --- vendors ---------------------------------------------------------------------------------------------------------


def test_vendor_says_what_is_not_given(db: None) -> None:
    call_command("add_channel", "Groq", "--vendor", "groq", "--model", "small", *COST, verbosity=0)

    channel = Channel.objects.get()
    assert (channel.provider, channel.base_url) == ("openai", "https://api.groq.com/openai/v1")
    assert (channel.options, channel.disconnect_policy) == ({"vendor": "groq"}, "drain")


def test_server_of_a_vendor_may_stand_anywhere(db: None) -> None:
    _add("--vendor", "vllm", "--model", "small", *COST)

    channel = Channel.objects.get()
    assert (channel.base_url, channel.options) == ("https://api.example.com/v1", {"vendor": "vllm"})
    assert channel.disconnect_policy == "cancel"


def test_vendor_with_a_dialect_of_its_own_is_spoken_to_in_that(db: None) -> None:
    address = ("--base-url", "https://mine.openai.azure.com")
    call_command("add_channel", "Azure", "--vendor", "azure", *address, "--model", "small", *COST, verbosity=0)

    channel = Channel.objects.get()
    assert (channel.provider, channel.base_url, channel.options) == ("azure", "https://mine.openai.azure.com", None)


@pytest.mark.parametrize("words", [(), ("--vendor", "azure")], ids=["no vendor", "a resource's own address"])
def test_channel_without_an_address_is_refused(db: None, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="needs --base-url"):
        call_command("add_channel", "Vendor", *words, "--model", "small", *COST, verbosity=0)
    assert Channel.objects.count() == 0
