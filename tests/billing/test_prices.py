"""What a usage costs: plain arithmetic, exact, rounded once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kinds import KINDS, NOTHING, Kind, Usage
from billing.money import PER_MILLION, round_half_up
from billing.prices import Tariff, ceiling, cost, lines

RATES = st.integers(0, 10**12)
TARIFFS = st.builds(
    Tariff,
    id=st.just(1),
    currency=st.just("USD"),
    request_fee=st.integers(0, 10**10),
    **{kind.rate: RATES if kind.is_required else st.none() | RATES for kind in KINDS},
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts whose parts are within their wholes."""
    input_ = draw(st.integers(0, 2_000_000))
    cached = draw(st.integers(0, input_))
    written = draw(st.integers(0, input_ - cached))
    heard = draw(st.integers(0, input_ - cached - written))
    output = draw(st.integers(0, 500_000))
    reasoning = draw(st.integers(0, output))
    spoken = draw(st.integers(0, output - reasoning))
    drawn = draw(st.integers(0, output - reasoning - spoken))
    return Usage(
        input=input_,
        cached_input=cached,
        cache_write=written,
        cache_write_1h=draw(st.integers(0, written)),
        input_audio=heard,
        output=output,
        reasoning=reasoning,
        output_audio=spoken,
        output_image=drawn,
        images=draw(st.integers(0, 20)),
        seconds=draw(st.integers(0, 4_000)),
        characters=draw(st.integers(0, 4_096)),
    )


PLAIN = Tariff(id=1, currency="USD", input=2_000_000_000, output=8_000_000_000)
"""2 and 8 USD per million tokens."""
EVERY = Tariff(
    2, "USD", input=10**6, output=2 * 10**6, cached_input=3 * 10**6, cache_write=5 * 10**6, cache_write_1h=10 * 10**6,
    reasoning=7 * 10**6, input_audio=11 * 10**6, output_audio=13 * 10**6, output_image=12 * 10**6,
    image=17 * 10**6, second=23 * 10**6, character=31 * 10**6, request_fee=19,
)  # fmt: skip
"""A rate of its own for every kind, all of them different."""
OF_ALL = Usage(
    input=1000, cached_input=100, cache_write=10, cache_write_1h=3, output=200, reasoning=20, input_audio=1,
    output_audio=2, output_image=5, images=4, seconds=6, characters=7,
)  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(input=1, output=1), 10_000),
        (Usage(input=1000, output=500), 6_000_000),
        (Usage(input=1000), 2_000_000),
        (Usage(output=1), 8_000),
        (NOTHING, 0),
    ],
    ids=["a token each", "many", "no output", "no input", "nothing"],
)
def test_cost_of_plain_text(usage: Usage, expected: int) -> None:
    assert cost(usage, PLAIN) == expected


def test_lines_of_plain_text_are_input_and_output() -> None:
    terms = lines(Usage(input=3, output=2), PLAIN)

    assert [(term.kind.name, term.quantity, term.rate) for term in terms] == [
        ("input", 3, 2_000_000_000), ("output", 2, 8_000_000_000)
    ]  # fmt: skip
    assert [[term.kind.name for term in lines(each, PLAIN)] for each in (Usage(input=1), Usage(output=1))] == [
        ["input"], ["output"]
    ]  # fmt: skip


def one_of(kind: str) -> Usage:
    """One of this kind, which whatever contains it has counted too."""
    wholes, names = {each.name: each.within for each in KINDS}, [kind]
    while wholes[names[-1]]:
        names.append(wholes[names[-1]])
    return Usage(**dict.fromkeys(names, 1))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.is_required], ids=lambda kind: kind.name)
def test_half_a_unit_of_any_kind_goes_up_and_a_millionth_less_goes_down(kind: Kind) -> None:
    own: list[dict[str, Any]] = [{"input": 7, "output": 9, kind.rate: rate} for rate in (500_000, 499_999)]

    assert [cost(one_of(kind.name), Tariff(1, "USD", **rates)) for rates in own] == [1, 0]


def test_input_alone_costs_what_it_costs() -> None:
    embeddings = Tariff(id=1, currency="USD", input=130_000_000, output=0)
    assert cost(Usage(input=1_000_000), embeddings) == 130_000_000


def test_flat_fee_counts_whatever_was_used() -> None:
    tariff = Tariff(id=1, currency="USD", input=10**9, output=10**9, request_fee=500)
    assert [cost(usage, tariff) for usage in (NOTHING, Usage(input=99), Usage(input=99, output=1))] == [
        500, 99_500, 100_500,
    ]  # fmt: skip


def test_every_kind_at_its_own_rate() -> None:
    terms = lines(OF_ALL, EVERY)

    assert [(term.kind.name, term.quantity, term.rate) for term in terms] == [
        ("input", 889, 10**6),
        ("cached_input", 100, 3 * 10**6),
        ("cache_write", 7, 5 * 10**6),
        ("cache_write_1h", 3, 10 * 10**6),
        ("input_audio", 1, 11 * 10**6),
        ("output", 173, 2 * 10**6),
        ("reasoning", 20, 7 * 10**6),
        ("output_audio", 2, 13 * 10**6),
        ("output_image", 5, 12 * 10**6),
        ("images", 4, 17 * 10**6),
        ("seconds", 6, 23 * 10**6),
        ("characters", 7, 31 * 10**6),
    ]
    assert cost(OF_ALL, EVERY) == 889 + 300 + 35 + 30 + 11 + 346 + 140 + 26 + 60 + 68 + 138 + 217 + 19


@pytest.mark.parametrize(
    ("kind", "rate"),
    [
        ("input", 2_000_000_000),
        ("cached_input", 2_000_000_000),
        ("cache_write", 2_000_000_000),
        ("cache_write_1h", 2_000_000_000),
        ("input_audio", 2_000_000_000),
        ("output", 8_000_000_000),
        ("reasoning", 8_000_000_000),
        ("output_audio", 8_000_000_000),
        ("output_image", 8_000_000_000),
        ("images", 0),
        ("seconds", 0),
        ("characters", 0),
    ],
)
def test_kind_without_a_rate_costs_what_its_whole_costs(kind: str, rate: int) -> None:
    assert PLAIN.rate(kind) == rate


def test_cache_write_of_an_hour_without_a_rate_costs_what_other_writes_cost() -> None:
    tariff = Tariff(id=1, currency="USD", input=2_000_000, output=0, cache_write=3_000_000)
    usage = Usage(input=10, cache_write=4, cache_write_1h=3)

    assert tariff.rate("cache_write_1h") == 3_000_000
    assert cost(usage, tariff) == 6 * 2 + 4 * 3


def test_kinds_without_a_rate_cost_what_their_whole_costs() -> None:
    assert cost(OF_ALL, PLAIN) == cost(Usage(input=1000, output=200), PLAIN)


def test_what_no_rate_covers_is_told() -> None:
    assert [kind.name for kind in PLAIN.unpriced] == ["images", "seconds", "characters"]
    assert (
        EVERY.unpriced == Tariff(id=1, currency="USD", input=0, output=0, image=0, second=0, character=0).unpriced == ()
    )


def test_zero_is_a_price() -> None:
    tariff = Tariff(id=1, currency="USD", input=2_000_000, output=0, cached_input=0)
    assert (cost(Usage(input=100, cached_input=40, output=5), tariff), tariff.rate("cached_input")) == (120, 0)


def test_many_small_terms_are_rounded_together() -> None:
    """Three terms of 0.4 are 1.2, not three times nothing."""
    tariff = Tariff(id=1, currency="USD", input=400_000, output=400_000, cached_input=400_000)
    assert cost(Usage(input=2, cached_input=1, output=1), tariff) == 1


@pytest.mark.parametrize(
    "rates",
    [{"input": 1}, {"output": 1}, {"input": 1, "output": 1, "images": 1}],
    ids=["no output", "no input", "unknown"],
)
def test_tariff_needs_input_and_output_and_knows_no_other_rates(rates: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="a tariff has the rates"):
        Tariff(1, "USD", **rates)


def test_tariffs_are_values() -> None:
    same = Tariff(id=1, currency="USD", input=2_000_000_000, output=8_000_000_000, image=None)

    assert (same == PLAIN, hash(same) == hash(PLAIN)) == (True, True)
    assert Tariff(id=1, currency="USD", input=2_000_000_000, output=8_000_000_000, request_fee=1) != PLAIN
    assert (PLAIN.input, PLAIN.output) == (2_000_000_000, 8_000_000_000)


def test_highest_rates_are_those_of_a_kind_and_of_what_is_within_it() -> None:
    assert (EVERY.highest_input, EVERY.highest_output) == (11 * 10**6, 13 * 10**6)
    assert (PLAIN.highest_input, PLAIN.highest_output) == (2_000_000_000, 8_000_000_000)


@given(usage=usages(), tariff=TARIFFS)
def test_cost_is_the_exact_sum_rounded_once(usage: Usage, tariff: Tariff) -> None:
    terms = lines(usage, tariff)
    exact = sum((Fraction(term.quantity * term.rate, PER_MILLION) for term in terms), Fraction(0))
    rounded = round_half_up(exact.numerator, exact.denominator)

    assert sum(term.exact_millionths for term in terms) == exact * PER_MILLION
    assert cost(usage, tariff) == rounded + tariff.request_fee


@given(usage=usages(), tariff=TARIFFS)
def test_lines_account_for_everything_once(usage: Usage, tariff: Tariff) -> None:
    terms = lines(usage, tariff)

    assert all(term.quantity > 0 for term in terms)
    assert len({term.kind.name for term in terms}) == len(terms)
    beside = usage.images + usage.seconds + usage.characters
    assert sum(term.quantity for term in terms) == usage.input + usage.output + beside


@given(usage=usages(), tariff=TARIFFS, more=st.integers(0, 1000), kind=st.sampled_from(["input", "output", "images"]))
def test_more_never_costs_less(usage: Usage, tariff: Tariff, more: int, kind: str) -> None:
    grown = msgspec.structs.replace(usage, **{kind: getattr(usage, kind) + more})

    assert cost(grown, tariff) >= cost(usage, tariff)


@given(usage=usages(), tariff=TARIFFS, spare_input=st.integers(0, 1_000_000), spare_output=st.integers(0, 1_000_000))
def test_ceiling_is_never_less_than_any_text_within_its_bounds_costs(
    usage: Usage, tariff: Tariff, spare_input: int, spare_output: int
) -> None:
    text = msgspec.structs.replace(usage, images=0, seconds=0, characters=0)

    assert ceiling(usage.input + spare_input, usage.output + spare_output, tariff) >= cost(text, tariff)


@given(tariff=TARIFFS, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(1, 10**6))
def test_ceiling_is_reached_where_all_kinds_cost_the_same(
    tariff: Tariff, input_tokens: int, output_tokens: int
) -> None:
    flat = Tariff(id=1, currency="USD", input=tariff.input, output=tariff.output, request_fee=tariff.request_fee)
    bound = ceiling(input_tokens, output_tokens, flat)

    assert bound - cost(Usage(input=input_tokens, output=output_tokens), flat) in {0, 1}


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens", "expected"), [(0, 0, 19), (1, 0, 30), (0, 1, 32), (10, 20, 110 + 260 + 19)]
)
def test_ceiling_is_at_the_highest_rates_and_the_fee(input_tokens: int, output_tokens: int, expected: int) -> None:
    assert ceiling(input_tokens, output_tokens, EVERY) == expected


def test_ceiling_is_rounded_up() -> None:
    assert ceiling(1, 0, Tariff(id=1, currency="USD", input=1, output=0)) == 1


def test_ceiling_has_the_fee_once_and_what_no_token_contains() -> None:
    assert ceiling(10, 20, EVERY, Usage(images=3)) == 110 + 260 + 19 + 51
