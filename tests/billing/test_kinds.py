"""The table of usage kinds, and that a new kind is one line in it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from billing.kinds import KINDS, NOTHING, Usage
from billing.models import Price, UsageRecord
from billing.prices import Tariff
from routing.models import CostPrice


def test_table_is_as_prices_and_records_have_it() -> None:
    assert [(kind.name, kind.within, kind.unit, kind.rate, kind.column, kind.is_required) for kind in KINDS] == [
        ("input", "", "tokens", "input", "input_tokens", True),
        ("cached_input", "input", "tokens", "cached_input", "cached_input_tokens", False),
        ("cache_write", "input", "tokens", "cache_write", "cache_write_tokens", False),
        ("cache_write_1h", "cache_write", "tokens", "cache_write_1h", "cache_write_1h_tokens", False),
        ("input_audio", "input", "tokens", "input_audio", "input_audio_tokens", False),
        ("output", "", "tokens", "output", "output_tokens", True),
        ("reasoning", "output", "tokens", "reasoning", "reasoning_tokens", False),
        ("output_audio", "output", "tokens", "output_audio", "output_audio_tokens", False),
        ("output_image", "output", "tokens", "output_image", "output_image_tokens", False),
        ("images", "", "images", "image", "images", False),
        ("seconds", "", "seconds", "second", "seconds", False),
        ("characters", "", "characters", "character", "characters", False),
    ]


def test_kind_comes_after_the_one_that_contains_it() -> None:
    names = [kind.name for kind in KINDS]

    assert all(kind.within in names[: names.index(kind.name)] for kind in KINDS if kind.within)


def test_usage_travels_without_what_was_not_used() -> None:
    usage = Usage(input=3, cached_input=1)

    assert msgspec.json.encode(usage) == b'{"input":3,"cached_input":1}'
    assert msgspec.json.decode(b'{"input":3,"cached_input":1}', type=Usage) == usage
    assert msgspec.json.encode(NOTHING) == b"{}"


@pytest.mark.parametrize("model", [Price, CostPrice])
def test_row_of_a_price_is_a_tariff(model: type[Price | CostPrice]) -> None:
    own: dict[str, Any] = {kind.rate: number for number, kind in enumerate(KINDS, 1)}

    assert model(pk=7, currency="VND", request_fee=9, **own).tariff == Tariff(7, "VND", request_fee=9, **own)


def test_row_of_a_record_has_its_usage() -> None:
    counts = {kind.name: number for number, kind in enumerate(KINDS, 1)}
    record = UsageRecord(**{kind.column: number for number, kind in enumerate(KINDS, 1)})

    assert record.usage == Usage(**counts)
