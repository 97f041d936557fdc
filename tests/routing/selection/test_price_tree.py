"""Prices in the order of what a request costs there, few of them looked at."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.prices import Tariff
from routing.selection.price_tree import ascending, halved
from routing.selection.rank import Demand, expected_cost


@dataclass
class Price:
    """A price that counts how often it is looked at."""

    tariff: Tariff
    looks: int = 0

    @property
    def cost(self) -> Tariff:
        self.looks += 1
        return self.tariff


def price(rate_in: int, rate_out: int, fee: int = 0) -> Price:
    return Price(Tariff(1, "USD", input=rate_in, output=rate_out, request_fee=fee))


def in_order(prices: list[Price]) -> list[Price]:
    return sorted(prices, key=lambda each: (each.tariff.input, each.tariff.output))


small, large = st.integers(0, 20), st.integers(0, 10**12)
tokens = st.integers(0, 3) | st.integers(0, 2_000_000)


@given(st.lists(st.builds(price, small | large, small | large, small), min_size=1, max_size=80), tokens, tokens)
def test_all_come_the_cheapest_first(prices: list[Price], asked: int, said: int) -> None:
    demand = Demand(asked, said)

    found = list(ascending(halved(in_order(prices)), demand))

    assert [cost for cost, _price in found] == sorted(expected_cost(demand, each.tariff) for each in prices)
    assert all(cost == expected_cost(demand, each.tariff) for cost, each in found)
    assert len({id(each) for _cost, each in found}) == len(prices)


@pytest.mark.parametrize(
    "prices",
    [
        pytest.param([price(1_000_000 + 7_919 * n, 9_000_000 - 7_907 * n) for n in range(1_000)], id="a line"),
        pytest.param([price(1_000_000 + n * n, (1_000 - n) * (1_000 - n)) for n in range(1_000)], id="a curve"),
        pytest.param([price(10**9 + n * 10**6, 10**12 // (n + 1)) for n in range(1_000)], id="a hyperbola"),
        pytest.param([price(100_000_000 + n, 600_000_000) for n in range(1_000)], id="the same after rounding"),
        pytest.param([price(n * 10_000, n * 20_000) for n in range(1_000)], id="rising together"),
        pytest.param([price(n * 7_919 % 1_009 * 10**6, n * 9_729 % 1_013 * 10**6) for n in range(1_000)], id="strewn"),
    ],
)
@pytest.mark.parametrize(("asked", "said"), [(1_000, 1_000), (9_000, 100), (100, 4_000), (1_000, 998), (20, 30)])
def test_few_of_a_thousand_are_looked_at(prices: list[Price], asked: int, said: int) -> None:
    tree = halved(in_order(prices))
    for each in prices:
        each.looks = 0

    first = list(islice(ascending(tree, Demand(asked, said)), 12))

    assert len(first) == 12
    assert sum(each.looks for each in prices) <= 120
