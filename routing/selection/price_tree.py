"""Prices by what a request costs there, the cheapest first, without a look at each of them. Pure.

A price is a point, what input and what output costs, and a request a direction: its cheapest price is a corner of the
points' lower hull, found by halving. Halves of halves have hulls too, so that after the cheapest the next one is found
in the few halves that can hold it, also where prices rise for input as they fall for output and none is dear for all.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from billing.money import PER_MILLION
from billing.prices import Tariff
from routing.selection.rank import Demand, expected_cost

_FEW: Final = 6
"""So many prices are looked at one by one."""
Point = tuple[int, int]
"""Ledger units per million tokens of input, of output."""


class Priced(Protocol):
    @property
    def cost(self) -> Tariff: ...


P = TypeVar("P", bound=Priced)


class Half(msgspec.Struct, Generic[P], frozen=True):
    """Some prices: the hull of what their tokens cost, and the least of their fees."""

    hull: list[Point]
    least_fee: int
    halves: list[Half[P]]
    """Empty where the prices are few: they are in `prices` then."""
    prices: list[P]

    def least(self, asked: int, said: int) -> int:
        """What so many tokens cost nowhere less than, in ledger units."""
        hull = self.hull
        if len(hull) == 1:  # as everywhere where output's price rises with input's
            cheap_in, cheap_out = hull[0]
            return (asked * cheap_in + said * cheap_out) // PER_MILLION + self.least_fee

        def rises(place: int) -> bool:
            (here_in, here_out), (next_in, next_out) = hull[place], hull[place + 1]
            return asked * (next_in - here_in) + said * (next_out - here_out) >= 0

        cheap_in, cheap_out = hull[bisect_left(range(len(hull) - 1), True, key=rises)]
        return (asked * cheap_in + said * cheap_out) // PER_MILLION + self.least_fee


def halved(prices: Sequence[P]) -> Half[P]:
    """The tree of prices that are in the order of what input, then of what output costs; there is at least one."""
    if len(prices) <= _FEW:
        points = [(price.cost.input, price.cost.output) for price in prices]
        return Half(_hull(points), min(price.cost.request_fee for price in prices), [], list(prices))
    middle = len(prices) // 2
    halves = [halved(prices[:middle]), halved(prices[middle:])]
    points = [point for half in halves for point in half.hull]
    return Half(_hull(points), min(half.least_fee for half in halves), halves, [])


def _hull(points: list[Point]) -> list[Point]:
    """The corners that are cheapest for some request: input rises and output falls along them, ever less steeply."""
    hull: list[Point] = []
    for point in points:
        if hull and point[1] >= hull[-1][1]:
            continue
        while len(hull) > 1 and not _turns(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _turns(first: Point, corner: Point, last: Point) -> bool:
    """Whether the corner lies below the line from the first to the last."""
    along, down = corner[0] - first[0], corner[1] - first[1]
    return along * (last[1] - corner[1]) > down * (last[0] - corner[0])


def ascending(tree: Half[P], demand: Demand) -> Iterator[tuple[int, P]]:
    """What the request is expected to cost at each price, the cheapest first; without prices by length of the input."""
    asked, said = demand.expected_input, demand.expected_output
    number = count(0, -1)  # of what costs the same the newest first: down to a price, not across all halves
    ahead: list[tuple[int, int, Half[P] | P]] = [(0, next(number), tree)]
    while ahead:
        cost, _number, found = heapq.heappop(ahead)
        if not isinstance(found, Half):
            yield cost, found
            continue
        for half in found.halves:
            heapq.heappush(ahead, (half.least(asked, said), next(number), half))
        for price in found.prices:
            heapq.heappush(ahead, (expected_cost(demand, price.cost), next(number), price))
