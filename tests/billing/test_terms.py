"""Prices that depend on the length of the input and the hour: read, written, and reckoned in another way."""

from __future__ import annotations

import datetime as dt
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import terms
from billing.kinds import KINDS, Usage
from billing.models import Price
from billing.money import PER_MILLION
from billing.prices import Tariff, ceiling, cost, fee, lines
from billing.terms import BadTerms, Term
from tests.billing.test_prices import usages

LONG = Term({"input": 6, "output": 22}, above=200_000)
NIGHT = Term({"input": 1, "request_fee": 5}, starts=16 * 60 + 30, ends=30)
LONG_NIGHT = Term({"input": 2}, above=200_000, starts=16 * 60 + 30, ends=30)
OWN: dict[str, Any] = {"input": 3, "output": 15, "cached_input": None, "request_fee": 0}
NAMES = [*(kind.rate for kind in KINDS), "request_fee"]
NOON, MIDNIGHT = 12 * 3600.0, 20 * 86_400.0
SHORT, LENGTHY = Usage(input=200_000, output=10), Usage(input=200_001, output=10)


def tariff(*own_terms: Term) -> Tariff:
    return terms.tariff_of(1, "USD", OWN, own_terms)


def test_above_a_length_the_whole_request_costs_the_other_rates() -> None:
    price = tariff(LONG)
    assert price.for_input(200_000) == price
    assert (price.for_input(200_001).input, price.for_input(200_001).output) == (6, 22)
    in_millions = terms.tariff_of(1, "USD", {"input": 3_000_000, "output": 15_000_000}, [
        Term({"input": 6_000_000}, above=200_000)
    ])  # fmt: skip
    assert cost(SHORT, in_millions) == 3 * 200_000 + 150
    assert cost(LENGTHY, in_millions) == 6 * 200_001 + 150
    assert [line.rate for line in lines(LENGTHY, in_millions)] == [6_000_000, 15_000_000]


def test_of_several_lengths_the_longest_that_is_passed_holds() -> None:
    price = tariff(Term({"input": 9}, above=1_000_000), LONG)
    assert [price.for_input(tokens).input for tokens in (1, 200_001, 1_000_000, 1_000_001)] == [3, 6, 6, 9]


def test_lengths_begin_at_a_single_token_and_no_length_is_no_tier() -> None:
    price = tariff(Term({"input": 9}, above=1))
    assert [price.for_input(tokens).input for tokens in (0, 1, 2)] == [3, 3, 9]
    assert tariff(NIGHT).at(MIDNIGHT).tiers == ()


def test_hours_are_half_open_and_pass_midnight() -> None:
    price = tariff(NIGHT)
    minutes = {"16:29": 3, "16:30": 1, "23:59": 1, "00:00": 1, "00:29": 1, "00:30": 3, "12:00": 3}
    for clock, expected in minutes.items():
        hour, minute = map(int, clock.split(":"))
        assert price.at(MIDNIGHT + hour * 3600 + minute * 60 + 59.9).input == expected, clock
    assert price.at(MIDNIGHT).request_fee == 5
    assert fee(SHORT, price.at(MIDNIGHT)) == 5


def test_moment_is_utc_whatever_the_process_thinks_of_its_zone() -> None:
    price = Price(input=3, output=15, terms=terms.stored([NIGHT]))
    in_hanoi = dt.datetime(2026, 3, 1, 23, 30, tzinfo=dt.timezone(dt.timedelta(hours=7)))
    assert price.tariff_at(in_hanoi).input == 1
    assert price.tariff_at(in_hanoi - dt.timedelta(minutes=1)).input == 3


def test_where_several_terms_hold_the_length_decides_then_the_hours() -> None:
    price = tariff(LONG_NIGHT, NIGHT, LONG)
    night, day = price.at(MIDNIGHT), price.at(NOON)
    assert (night.for_input(1).input, night.for_input(200_001).input, night.for_input(200_001).output) == (1, 2, 22)
    assert (day.for_input(1).input, day.for_input(200_001).input) == (3, 6)


def test_price_without_terms_is_the_same_at_any_hour_and_length() -> None:
    price = tariff()
    assert price == Tariff(1, "USD", **OWN)
    assert price.at(MIDNIGHT) is price
    assert price.for_input(10**9) is price


def test_ceiling_counts_a_term_only_where_it_can_be_reached() -> None:
    price = terms.tariff_of(1, "USD", {"input": 10**6, "output": 10**6}, [
        Term({"input": 2 * 10**6, "output": 3 * 10**6}, above=100)
    ])  # fmt: skip
    assert ceiling(100, 10, price) == 110
    assert ceiling(101, 10, price) == 232


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(usage=usages(), data=st.data())
def test_no_usage_passes_the_ceiling_of_its_bounds(usage: Usage, data: st.DataObject) -> None:
    above = data.draw(st.integers(1, 2_000_000))
    rates = data.draw(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 10**10), min_size=1))
    price = terms.tariff_of(1, "USD", {"input": 10**9, "output": 4 * 10**9}, [Term(rates, above)])
    beside = Usage(images=usage.images, seconds=usage.seconds, characters=usage.characters)
    assert cost(usage, price) <= ceiling(usage.input, usage.output, price, beside)


# --- against a calculation of its own, with exact fractions ---


def a_price(draw: random.Random) -> tuple[dict[str, Any], list[Term]]:
    own: dict[str, Any] = {kind.rate: draw.choice([None, 0, draw.randrange(10**11)]) for kind in KINDS}
    own |= {"input": draw.randrange(10**11), "output": draw.randrange(10**11), "request_fee": draw.randrange(10**9)}
    found: list[Term] = []
    for above in draw.sample([0, 1000, 128_000, 200_000], draw.randrange(4)):
        cuts = sorted(draw.sample(range(24 * 60), 4))
        hours = [(cuts[0], cuts[1]), (cuts[2], cuts[3])] if draw.random() < 0.5 else [(cuts[3], cuts[0])]
        for starts, ends in [*hours, (0, 0)] if above else hours:
            names = draw.sample(NAMES, draw.randrange(1, 5))
            found.append(Term({name: draw.randrange(10**11) for name in names}, above, starts, ends))
    draw.shuffle(found)
    return own, found


def a_usage(draw: random.Random) -> Usage:
    counts: dict[str, int] = {}
    for whole in ("input", "output"):
        parts = [kind.name for kind in KINDS if kind.within == whole]
        counts[whole] = draw.choice([0, 1, 1000, 1001, 128_001, 200_000, 200_001, draw.randrange(400_000)])
        rest = counts[whole]
        for part in parts:
            counts[part] = draw.randrange(rest + 1) if draw.random() < 0.5 else 0
            rest -= counts[part]
    counts["cache_write_1h"] = draw.randrange(counts["cache_write"] + 1)
    return Usage(
        images=draw.randrange(3), seconds=draw.randrange(100), characters=draw.randrange(100), **counts
    )  # fmt: skip


def expected_cost(own: dict[str, Any], own_terms: list[Term], usage: Usage, minute: int) -> int:
    """Told once more, without any of the code that is tested but for the table of kinds."""

    def is_in(term: Term) -> bool:
        if term.starts == term.ends:
            return True
        minutes = (
            range(term.starts, term.ends) if term.starts < term.ends else [*range(term.starts, 1440), *range(term.ends)]
        )
        return minute in minutes

    reached = max((term.above for term in own_terms if is_in(term) and usage.input > term.above), default=0)
    rates = dict(own)
    for above in (0, reached) if reached else (0,):
        for has_hours in (False, True):
            for term in own_terms:
                if term.above == above and is_in(term) and (term.starts != term.ends) == has_hours:
                    rates.update(term.rates)

    def rate(name: str) -> int:
        kind = next(each for each in KINDS if each.name == name)
        value = rates.get(kind.rate)
        return value if value is not None else rate(kind.within) if kind.within else 0

    total = Fraction(0)
    for kind in KINDS:
        within = sum(getattr(usage, part.name) for part in KINDS if part.within == kind.name)
        total += Fraction((getattr(usage, kind.name) - within) * rate(kind.name), PER_MILLION)
    return int(total + Fraction(1, 2)) + int(rates["request_fee"])


@pytest.mark.parametrize("seed", range(20))
def test_cost_is_that_of_an_independent_calculation(seed: int) -> None:
    draw = random.Random(seed)
    for _turn in range(100):
        own, own_terms = a_price(draw)
        usage, minute = a_usage(draw), draw.randrange(1440)
        price = terms.tariff_of(7, "USD", own, own_terms).at(86_400 * draw.randrange(30_000) + minute * 60 + 30)
        assert cost(usage, price) == expected_cost(own, own_terms, usage, minute), (own, own_terms, usage, minute)
        exact = sum(line.exact_millionths for line in lines(usage, price))
        assert (2 * exact + PER_MILLION) // (2 * PER_MILLION) + fee(usage, price) == cost(usage, price)


# --- as people write them ---

TEXT = """above 200000: input 6, output 22.5
16:30-00:30: input 0.135, request_fee 0.001
above 200000, 16:30-00:30: cached_input 0"""


def test_text_is_read_and_written_back() -> None:
    read = terms.read(f"\n  {TEXT}\n\n", "USD")
    assert read == [
        Term({"input": 6 * 10**9, "output": 225 * 10**8}, above=200_000),
        Term({"input": 135_000_000, "request_fee": 1_000_000}, starts=990, ends=30),
        Term({"cached_input": 0}, above=200_000, starts=990, ends=30),
    ]
    assert terms.write(read, "USD") == TEXT
    assert terms.loaded(terms.stored(read)) == tuple(read)
    assert terms.read("", "USD") == []
    assert terms.stored([]) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("input 6", "colon"),
        ("above 200000 input 6", "colon"),
        ("above: input 6", "condition"),
        ("above 0: input 6", "always"),
        ("below 5: input 6", "condition"),
        ("above __: input 6", "condition"),
        ("above 1__0: input 6", "condition"),
        ("16:30: input 6", "condition"),
        ("24:01-02:00: input 6", "time of the day"),
        ("16:61-17:00: input 6", "condition"),
        ("16:30-16:30: input 6", "ends when it begins"),
        ("24:00-24:00: input 6", "ends when it begins"),
        ("24:00-00:00: input 6", "ends when it begins"),
        ("10:00-12:00, 14:00-16:00: input 6", "a line for each"),
        ("above 5, above 6: input 6", "a line for each"),
        ("above 5, 10:00-12:00, above 0: input 6", "a line for each"),
        ("above 5: ", "rate"),
        ("above 5: tokens 6", "rate"),
        ("above 5: input 6, input 7", "each once"),
        ("above 5: input six", "amount"),
        ("above 5: input -1", "below zero"),
        ("above 5: input NaN", "amount"),
        ("above 5: input 0.0000000001", "amount"),
        ("above 5: input 99999999999999", "too large"),
        ("above 5: input 1000000000.000000001", "too large"),
        ("above 5: input 1\nabove 5: output 2", "same time"),
        ("10:00-12:00: input 1\n11:59-13:00: input 2", "same time"),
        ("22:00-02:00: input 1\n01:00-03:00: input 2", "same time"),
        ("\n".join(f"above {number + 1}: input 1" for number in range(13)), "12 terms"),
    ],
)
def test_text_that_cannot_be_meant_says_why(text: str, word: str) -> None:
    with pytest.raises(BadTerms, match=word):
        terms.read(text, "USD")


def test_hours_may_follow_one_another_and_lie_beside_a_length() -> None:
    assert (
        len(
            terms.read(
                "10:00-12:00: input 1\n12:00-24:00: input 2\nabove 9: input 3\nabove 9, 10:00-11:00: input 4", "USD"
            )
        )
        == 4
    )


def test_twelve_terms_of_the_largest_rate_can_be_meant() -> None:
    text = "\n".join(f"above {number + 1}: input 1000000000" for number in range(12))
    assert [term.rates for term in terms.read(text, "USD")] == [{"input": 10**18}] * 12


def test_hours_from_the_end_of_a_day_are_those_of_the_next_one() -> None:
    before, after = terms.read("23:00-00:00: input 1\n24:00-02:00: input 2", "USD")
    assert after == Term({"input": 2 * 10**9}, starts=0, ends=120)
    assert [term.holds_at(0) for term in (before, after)] == [False, True]


@pytest.mark.parametrize("hours", ["00:00-10:00", "10:00-24:00", "23:59-00:01"])
def test_hours_are_written_back(hours: str) -> None:
    assert terms.write(terms.read(f"{hours}: input 1", "USD"), "USD") == f"{hours}: input 1"
