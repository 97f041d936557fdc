"""What vendors ask, as a pinned package of public prices has it (genai-prices), in the terms of our own price rows.

The package's data come with its release; its updater is never called. Only the management command imports this module:
the data take a second to read.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from typing import Final

from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, Provider, StartDateConstraint, TieredPrices

from billing.money import from_decimal
from billing.terms import FEE, Term

SOURCE: Final = f"genai-prices {version('genai-prices')}"
_CURRENCY: Final = "USD"
_RATES: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "audio_hours": "second",
    "input_audio_hours": "second",
    "input_mchars": "character",
}
_HOURS: Final = frozenset(("audio_hours", "input_audio_hours"))
_FINEST: Final = Decimal("0.000000001")
"""A ledger unit, which an hour's price in seconds is rounded to."""
_FEE: Final = "requests_kcount"
_VENDORS: Final = (
    "openai",
    "anthropic",
    "google",
    "deepseek",
    "mistral",
    "x-ai",
    "moonshotai",
    "zai",
    "meta",
    "cohere",
)
"""Whose own models are looked for by a name without a vendor, in this order."""


@dataclass(frozen=True, slots=True)
class VendorPrice:
    """Ledger units of USD by the names of a price's fields, its terms, and what of the vendor's is not carried."""

    rates: Mapping[str, int]
    terms: tuple[Term, ...] = ()
    left_out: tuple[str, ...] = field(default=(), compare=False)


def of_route(base_url: str, upstream_name: str, day: dt.date) -> VendorPrice | None:
    """What the vendor behind an address asks for a model on this day; None for one that the package does not know."""
    for provider in providers:
        if re.match(provider.api_pattern, base_url):
            model = provider.find_model(upstream_name, all_providers=list(providers))
            if model is not None and (price := _converted(model, day)) is not None:
                return price
    return None


def of_model(name: str, day: dt.date) -> VendorPrice | None:
    """What the maker of a model asks, by its public name: `gpt-4o` or `openai/gpt-4o`."""
    vendor, slash, rest = name.partition("/")
    wanted = (vendor,) if slash else _VENDORS
    by_id: dict[str, Provider] = {provider.id: provider for provider in providers}
    for provider_id in wanted:
        provider = by_id.get(provider_id)
        model = provider.find_model(rest if slash else name) if provider is not None else None
        if model is not None and (price := _converted(model, day)) is not None:
            return price
    return None


def _converted(model: ModelInfo, day: dt.date) -> VendorPrice | None:
    """None without any rate, or with one that is finer than a ledger unit. What has no rate is not asked for."""
    always, hourly = _holding(model, day)
    left_out: set[str] = set()
    try:
        rates, tiers = _rates(always, left_out)
        terms = [Term(own, above) for above, own in sorted(tiers.items())]
        for starts, ends, price in hourly:
            own, own_tiers = _rates(price, left_out)
            terms.append(Term(own, 0, starts, ends))
            # In those hours the day's tiers do not hold, unless the hours have some of their own.
            above_these = dict.fromkeys(tiers, own) | own_tiers
            terms += [Term(rates_above, above, starts, ends) for above, rates_above in sorted(above_these.items())]
    except ValueError:
        return None
    if not rates.keys() - {FEE}:
        return None
    return VendorPrice({"input": 0, "output": 0, **rates}, tuple(terms), tuple(sorted(left_out)))


def _holding(model: ModelInfo, day: dt.date) -> tuple[ModelPrice, list[tuple[int, int, ModelPrice]]]:
    """The price of the day, and those of hours within it (minutes of UTC); of several the last one counts."""
    if isinstance(model.prices, ModelPrice):
        return model.prices, []
    always, hourly = model.prices[0].prices, []
    for each in model.prices:
        constraint = each.constraint
        if constraint is None or isinstance(constraint, StartDateConstraint):
            if constraint is None or constraint.start_date <= day:
                always = each.prices
        else:
            hourly.append((_minute(constraint.start_time), _minute(constraint.end_time), each.prices))
    return always, hourly


def _minute(time: dt.time) -> int:
    moment = dt.datetime.combine(dt.date(2000, 1, 2), time if time.tzinfo else time.replace(tzinfo=dt.UTC))
    utc = moment.astimezone(dt.UTC)
    return utc.hour * 60 + utc.minute


def _rates(price: ModelPrice, left_out: set[str]) -> tuple[dict[str, int], dict[int, dict[str, int]]]:
    """The rates, and those above each length of input; raises ValueError for one finer than a ledger unit."""
    rates: dict[str, int] = {}
    tiers: dict[int, dict[str, int]] = {}
    for name, value in vars(price).items():
        if value is None:
            continue
        if name == _FEE and isinstance(value, Decimal):
            rates[FEE] = from_decimal(value / 1000, _CURRENCY)
        elif name not in _RATES:
            left_out.add(name)
        elif isinstance(value, TieredPrices):
            rates[_RATES[name]] = _per_million(name, value.base)
            for tier in value.tiers:
                tiers.setdefault(tier.start, {})[_RATES[name]] = _per_million(name, tier.price)
        else:
            rates[_RATES[name]] = _per_million(name, value)
    return rates, tiers


def _per_million(name: str, value: Decimal) -> int:
    """Ledger units per million; raises ValueError for what is finer."""
    if name in _HOURS:
        value = (value * 1_000_000 / 3_600).quantize(_FINEST, ROUND_HALF_UP)
    return from_decimal(value, _CURRENCY)
