"""The few of a model's many routes that can come first, found without a close look at each.

A route that is well, can say the request and lets it in differs from its neighbours in its price alone. So a model's
routes are kept by their prices, and the dear ones are not looked at (price_tree.py). Routes in trouble, limited, or in
another dialect are looked at one by one. What comes of it is ranked as ever (rank.py), but that a lot is only drawn
among the routes of one price where many cost the same after rounding.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import attrgetter, itemgetter
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from billing.kinds import NOTHING
from billing.prices import Tariff
from routing.selection.health import UNMET, Health
from routing.selection.price_tree import Half, ascending, halved
from routing.selection.rank import MOST_OUT, MOST_READY, Demand, expected_cost, lot
from routing.selection.reasons import Reason

MANY: Final = 16
"""Routes of a model; up to as many are looked at one by one."""
WANTED: Final = MOST_READY
"""So many are ranked: those that are shown. No request tries as many."""


class ChannelFacts(Protocol):
    """What is asked of a channel."""

    @property
    def id(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def weight(self) -> int: ...
    @property
    def concurrency(self) -> int | None: ...


class RouteFacts(Protocol):
    """What is asked of a route; one without a cost price has a fault, which says why it can never be used."""

    @property
    def id(self) -> int: ...
    @property
    def channel(self) -> ChannelFacts: ...
    @property
    def cost(self) -> Tariff | None: ...
    @property
    def fault(self) -> Reason | None: ...


R = TypeVar("R", bound=RouteFacts)


_cost_of = attrgetter("cost")


class Shortlist(msgspec.Struct, Generic[R], frozen=True):
    """The routes to rank, those that are out among them, and how many more there are, by reason or "ready"."""

    routes: list[R]
    left_out: dict[str, int]


class Faults(msgspec.Struct, Generic[R], frozen=True):
    """Why a route cannot be asked for this request at its endpoint; those of one kind have the same reason."""

    endpoint: str
    kind: Callable[[R], Hashable]
    of: Callable[[R], Reason | None]


class _Price(msgspec.Struct, frozen=True):
    """One cost price of one priority, and the places of the routes that have it."""

    cost: Tariff
    places: list[int]
    is_even: bool
    """Whether they have the same weight."""


class _Tied(msgspec.Struct, frozen=True):
    """Places that cost the same."""

    cost: int
    places: list[int]
    is_even: bool


class RoutesByPrice(Generic[R]):
    """A model's routes by their prices, made once for a catalogue."""

    def __init__(self, routes: Sequence[R]) -> None:
        self._usable = usable = [route for route in routes if route.fault is None]
        self._never = [(route.fault, route) for route in routes if route.fault is not None]
        self._places = {route.id: place for place, route in enumerate(usable)}
        self._has_tiers = any(_cost(route).tiers for route in usable)
        by_priority: defaultdict[int, list[int]] = defaultdict(list)
        self._of_channel: defaultdict[int, list[int]] = defaultdict(list)
        for place, route in enumerate(usable):
            by_priority[route.channel.priority].append(place)
            self._of_channel[route.channel.id].append(place)
        self._groups = [
            (priority, halved(self._prices(by_priority[priority]))) for priority in sorted(by_priority, reverse=True)
        ]
        self._limited = [place for place, route in enumerate(usable) if route.channel.concurrency is not None]
        self._alike: dict[str, list[list[int]]] = {}

    def _prices(self, places: list[int]) -> list[_Price]:
        """The prices of some routes, by what input, then what output costs."""
        by_terms: defaultdict[Hashable, list[int]] = defaultdict(list)
        for place in places:
            cost = _cost(self._usable[place])
            by_terms[cost.input, cost.output, cost.request_fee, cost.tiers].append(place)
        prices: list[_Price] = []
        for alike in by_terms.values():
            weights = {self._usable[place].channel.weight for place in alike}
            prices.append(_Price(_cost(self._usable[alike[0]]), alike, len(weights) == 1))
        return sorted(prices, key=lambda price: (price.cost.input, price.cost.output))

    def shortlist(
        self,
        demand: Demand,
        prefix: int,
        now: float,
        health: Health,
        faults: Faults[R],
        draw: Callable[[], float] = random.random,
    ) -> Shortlist[R]:
        """What a demand that is about costs alone (`is_about_costs`), and fits the model, is ranked over."""
        out = self._out(now, health, faults)
        apart = self._apart(demand, prefix, now, health)
        ready: list[int] = []
        for priority, prices in self._groups:
            own = {
                place: cost for place, cost in apart.items() if self._priority(place) == priority and place not in out
            }
            tied = self._tied(prices, demand, own, out.keys() | apart.keys())
            ready += self._cheapest(tied, WANTED - len(ready), draw)
            if len(ready) >= WANTED:
                break
        shown, left_out = self._few(out)
        more = len(self._usable) - len(out) - len(ready)
        if more:
            left_out["ready"] = more
        return Shortlist([*map(self._usable.__getitem__, ready), *shown], left_out)

    def _few(self, out: Mapping[int, Reason]) -> tuple[list[R], dict[str, int]]:
        """A few of the routes that are out for each reason, and how many more there are."""
        if not out and not self._never:
            return [], {}
        shut = [(out[place], self._usable[place]) for place in sorted(out)]
        seen: Counter[str] = Counter()
        few: list[R] = []
        for reason, route in (*shut, *self._never):
            seen[reason] += 1
            if seen[reason] <= MOST_OUT:
                few.append(route)
        return few, {reason: count - MOST_OUT for reason, count in seen.items() if count > MOST_OUT}

    def _out(self, now: float, health: Health, faults: Faults[R]) -> dict[int, Reason]:
        """By place, why a route cannot be used just now."""
        usable = self._usable
        out: dict[int, Reason] = {}
        for places in self._kinds(faults):
            reason = faults.of(usable[places[0]])
            if reason is not None:
                out.update(dict.fromkeys(places, reason))
        for place in self._suspects(health, now):
            channel = usable[place].channel
            reason = health.reason_out(usable[place].id, channel.id, channel.concurrency, now)
            if reason is not None:
                out.setdefault(place, reason)
        return out

    def _kinds(self, faults: Faults[R]) -> list[list[int]]:
        """The places of each kind of route at an endpoint."""
        found = self._alike.get(faults.endpoint)
        if found is None:
            places: defaultdict[Hashable, list[int]] = defaultdict(list)
            for place, route in enumerate(self._usable):
                places[faults.kind(route)].append(place)
            found = self._alike[faults.endpoint] = list(places.values())
        return found

    def _suspects(self, health: Health, now: float) -> Iterator[int]:
        """The places of routes that may be out by what this process has seen."""
        yield from self._limited
        for route_id in health.troubled(self._places.keys(), now):
            yield self._places[route_id]
        for channel_id in health.resting & self._of_channel.keys():
            yield from self._of_channel[channel_id]

    def _apart(self, demand: Demand, prefix: int, now: float, health: Health) -> dict[int, int]:
        """By place, what the request is expected to cost where that is not what the price says."""
        costs: dict[int, int] = {}
        for route_id in health.told_apart(self._places.keys(), prefix, now):
            place, state = self._places[route_id], health.routes.get(route_id, UNMET)
            share = health.cached_share(prefix, route_id, now)
            costs[place] = expected_cost(demand, _cost(self._usable[place]), state.success_rate, share)
        return costs

    def _tied(
        self, prices: Half[_Price], demand: Demand, own: Mapping[int, int], without: AbstractSet[int]
    ) -> Iterator[_Tied]:
        """The routes of one priority by what the request costs there, the cheapest first, `own` costs among them."""
        by_price = self._by_price(prices, demand, without)
        if not own:
            return by_price
        apart = [_Tied(cost, [place], is_even=True) for place, cost in own.items()]
        return heapq.merge(sorted(apart, key=_cost_of), by_price, key=_cost_of)

    def _by_price(self, prices: Half[_Price], demand: Demand, without: AbstractSet[int]) -> Iterator[_Tied]:
        found = ascending(prices, demand)
        for cost, price in sorted(found, key=itemgetter(0)) if self._has_tiers else found:
            places = [place for place in price.places if place not in without] if without else price.places
            if places:
                yield _Tied(cost, places, price.is_even)

    def _cheapest(self, tied: Iterator[_Tied], wanted: int, draw: Callable[[], float]) -> list[int]:
        """So many of one priority; of those that cost as much as the dearest of them, some by lot."""
        chosen: list[int] = []
        alike: list[_Tied] = []
        count = 0
        for some in tied:
            if count >= wanted:
                break
            if alike and some.cost > alike[0].cost:
                chosen += [place for each in alike for place in each.places]
                alike = []
            alike.append(some)
            count += len(some.places)
        places = [place for each in alike for place in each.places]
        if count > wanted:
            is_even = len(alike) == 1 and alike[0].is_even
            places = self._drawn(places, wanted - len(chosen), draw, is_even=is_even)
        return chosen + places

    def _priority(self, place: int) -> int:
        return self._usable[place].channel.priority

    def _drawn(self, tied: list[int], wanted: int, draw: Callable[[], float], *, is_even: bool) -> list[int]:
        """So many by lot: a partial shuffle where all have the same weight."""
        if not is_even:
            return heapq.nlargest(wanted, tied, key=lambda place: lot(self._usable[place].channel.weight, draw))
        for first in range(wanted):
            other = first + int(draw() * (len(tied) - first))
            tied[first], tied[other] = tied[other], tied[first]
        return tied[:wanted]


def is_about_costs(demand: Demand) -> bool:
    """Whether nothing but what a route costs, and whether it is well, tells the routes of a model apart."""
    names_channels = demand.only or demand.ignore or demand.order
    return not names_channels and demand.strategy == "cheapest" and demand.beside is NOTHING


def _cost(route: RouteFacts) -> Tariff:
    cost = route.cost
    assert cost is not None  # noqa: S101 - asked of usable routes alone
    return cost
