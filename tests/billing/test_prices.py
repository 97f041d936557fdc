"""What a usage costs: exact, rounded once, and never more than what was held for it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.money import PER_MILLION, round_half_up
from billing.prices import NOTHING, Line, Tariff, Usage, ceiling, cost, lines

RATES = st.integers(0, 10**12)
OWN_RATES = st.none() | RATES
TARIFFS = st.builds(
    Tariff,
    id=st.just(1),
    currency=st.just("USD"),
    input=RATES,
    output=RATES,
    cached_input=OWN_RATES,
    cache_write=OWN_RATES,
    reasoning=OWN_RATES,
    input_audio=OWN_RATES,
    output_audio=OWN_RATES,
    request_fee=st.integers(0, 10**10),
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
    return Usage(input_, cached, written, output, reasoning, heard, spoken)


PLAIN = Tariff(id=1, currency="USD", input=2_000_000_000, output=8_000_000_000)
"""2 and 8 USD per million tokens."""


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(input=1, output=1), 10_000),
        (Usage(input=1000, output=500), 6_000_000),
        (Usage(input=1000), 0),
        (Usage(output=1), 8_000),
        (NOTHING, 0),
    ],
    ids=["a token each", "many", "no output", "no input", "nothing"],
)
def test_cost_of_plain_text(usage: Usage, expected: int) -> None:
    assert cost(usage, PLAIN) == expected


def test_every_kind_at_its_own_rate() -> None:
    tariff = Tariff(1, "USD", 10**6, 10**6 * 2, 10**6 * 3, 10**6 * 5, 10**6 * 7, 10**6 * 11, 10**6 * 13, 10**6 * 17, 19)
    usage = Usage(
        input=1000, cached_input=100, cache_write=10, output=200, reasoning=20, input_audio=1, output_audio=2, images=4
    )

    assert lines(usage, tariff) == [
        Line("input", 889, 10**6),
        Line("cached_input", 100, 3 * 10**6),
        Line("cache_write", 10, 5 * 10**6),
        Line("input_audio", 1, 11 * 10**6),
        Line("output", 178, 2 * 10**6),
        Line("reasoning", 20, 7 * 10**6),
        Line("output_audio", 2, 13 * 10**6),
        Line("image", 4, 17 * 10**6),
    ]
    assert cost(usage, tariff) == 889 + 300 + 50 + 11 + 356 + 140 + 26 + 68 + 19


def test_kinds_without_a_price_cost_what_their_whole_costs() -> None:
    usage = Usage(input=1000, cached_input=100, cache_write=10, output=200, reasoning=20, input_audio=1, output_audio=2)
    assert cost(usage, PLAIN) == cost(Usage(input=1000, output=200), PLAIN)


def test_zero_is_a_price() -> None:
    tariff = Tariff(id=1, currency="USD", input=2_000_000, output=0, cached_input=0)
    assert cost(Usage(input=100, cached_input=40, output=5), tariff) == 120


def test_nothing_produced_costs_not_even_the_fee() -> None:
    tariff = Tariff(id=1, currency="USD", input=10**9, output=10**9, request_fee=500)
    assert (cost(Usage(input=99), tariff), cost(Usage(input=99, output=1), tariff)) == (0, 100_500)


def test_many_small_terms_are_rounded_together() -> None:
    """Three terms of 0.4 are 1.2, not three times nothing."""
    tariff = Tariff(id=1, currency="USD", input=400_000, output=400_000, cached_input=400_000)
    assert cost(Usage(input=2, cached_input=1, output=1), tariff) == 1


@given(usage=usages(), tariff=TARIFFS)
def test_cost_is_the_exact_sum_rounded_once(usage: Usage, tariff: Tariff) -> None:
    terms = lines(usage, tariff)
    exact = sum((Fraction(term.quantity * term.rate, PER_MILLION) for term in terms), Fraction(0))
    rounded = round_half_up(exact.numerator, exact.denominator)

    assert sum(term.exact_millionths for term in terms) == exact * PER_MILLION
    assert cost(usage, tariff) == (rounded + tariff.request_fee if usage.output else 0)


@given(usage=usages(), tariff=TARIFFS)
def test_lines_account_for_every_token(usage: Usage, tariff: Tariff) -> None:
    terms = lines(usage, tariff)

    assert all(term.quantity > 0 for term in terms)
    assert len({term.kind for term in terms}) == len(terms)
    assert sum(term.quantity for term in terms) == usage.input + usage.output


@given(usage=usages(), tariff=TARIFFS, more=st.integers(0, 1000))
def test_more_tokens_never_cost_less(usage: Usage, tariff: Tariff, more: int) -> None:
    assume(usage.output)
    prompted = Usage(
        usage.input + more, usage.cached_input, usage.cache_write, usage.output, usage.reasoning, usage.input_audio,
        usage.output_audio,
    )  # fmt: skip
    answered = Usage(
        usage.input, usage.cached_input, usage.cache_write, usage.output + more, usage.reasoning, usage.input_audio,
        usage.output_audio,
    )  # fmt: skip

    assert cost(prompted, tariff) >= cost(usage, tariff)
    assert cost(answered, tariff) >= cost(usage, tariff)


@given(usage=usages(), tariff=TARIFFS, spare_input=st.integers(0, 1_000_000), spare_output=st.integers(0, 1_000_000))
def test_most_is_never_less_than_any_usage_within_its_bounds_costs(
    usage: Usage, tariff: Tariff, spare_input: int, spare_output: int
) -> None:
    bound = ceiling(input_tokens=usage.input + spare_input, output_tokens=usage.output + spare_output, tariff=tariff)

    assert bound >= cost(usage, tariff)


@given(tariff=TARIFFS, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(1, 10**6))
def test_most_is_reached_where_all_kinds_cost_the_same(tariff: Tariff, input_tokens: int, output_tokens: int) -> None:
    flat = Tariff(id=1, currency="USD", input=tariff.input, output=tariff.output, request_fee=tariff.request_fee)
    bound = ceiling(input_tokens=input_tokens, output_tokens=output_tokens, tariff=flat)

    assert bound - cost(Usage(input=input_tokens, output=output_tokens), flat) in {0, 1}
