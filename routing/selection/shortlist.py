"""The few of a model's many routes that can come first, found without a close look at each.

A route that is well, can say the request and lets it in differs from its neighbours in its price alone. So the prices
of a model's routes stand in columns, and what a request costs on each is one pass over them; only routes that are in
trouble, limited or in another dialect are looked at one by one. What comes of it is ranked as ever (rank.py).
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from billing.kinds import NOTHING
from billing.money import PER_MILLION
from billing.prices import Tariff
from routing.selection.health import UNMET, Health
from routing.selection.rank import MOST_OUT, MOST_READY, Demand, expected_cost, lot
from routing.selection.reasons import Reason

MANY: Final = 16
"""Routes of a model; up to as many are looked at one by one."""
WANTED: Final = MOST_READY + 4
"""So many are ranked: some may go out while others are tried."""


class Lane(Protocol):
    """What a channel is to this."""

    @property
    def id(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def weight(self) -> int: ...
    @property
    def concurrency(self) -> int | None: ...


class Way(Protocol):
    """What a route is to this; `fault` says why it can never be used."""

    @property
    def id(self) -> int: ...
    @property
    def channel(self) -> Lane: ...
    @property
    def cost(self) -> Tariff | None: ...
    @property
    def fault(self) -> Reason | None: ...


W = TypeVar("W", bound=Way)


class Shortlist(msgspec.Struct, Generic[W], frozen=True):
    """The routes to rank, those that are out among them, and how many more there are, by reason or "ready"."""

    routes: list[W]
    left_out: Counter[str]


class Faults(msgspec.Struct, Generic[W], frozen=True):
    """Why a route cannot be asked for this request at its endpoint; those of one kind have the same reason."""

    endpoint: str
    kind: Callable[[W], Hashable]
    of: Callable[[W], Reason | None]


class Field(Generic[W]):
    """A model's routes in columns, made once for a catalogue."""

    def __init__(self, routes: Sequence[W]) -> None:
        usable = [route for route in routes if route.fault is None and route.cost is not None]
        # Nearly in the order of what they will cost, so that sorting what they cost is quick.
        usable.sort(key=lambda route: (-route.channel.priority, _rates(route)))
        self._usable = usable
        self._never = [(route.fault or Reason.NO_COST_PRICE, route) for route in routes if route not in usable]
        self._places = {route.id: place for place, route in enumerate(usable)}
        self._terms = [(cost.input, cost.output, cost.request_fee * PER_MILLION) for cost in map(_cost, usable)]
        self._has_tiers = any(_cost(route).tiers for route in usable)
        self._groups = [
            range(places[0], places[-1] + 1)
            for _priority, same in groupby(range(len(usable)), key=lambda place: usable[place].channel.priority)
            for places in [list(same)]
        ]
        self._of_channel: defaultdict[int, list[int]] = defaultdict(list)
        for place, route in enumerate(usable):
            self._of_channel[route.channel.id].append(place)
        self._limited = [place for place, route in enumerate(usable) if route.channel.concurrency is not None]
        self._alike: dict[str, list[list[int]]] = {}

    def shortlist(
        self,
        demand: Demand,
        prefix: int,
        now: float,
        health: Health,
        faults: Faults[W],
        draw: Callable[[], float] = random.random,
    ) -> Shortlist[W]:
        """What a demand that is about costs alone (`is_about_costs`), and fits the model, is ranked over."""
        out = self._out(now, health, faults)
        costs = self._costs(demand, prefix, now, health)
        ready: list[int] = []
        for group in self._groups:
            places = [place for place in group if place not in out] if out else group
            ready += self._cheapest(places, costs, WANTED - len(ready), draw)
            if len(ready) >= WANTED:
                break
        shown, left_out = self._few(out)
        more = len(self._usable) - len(out) - len(ready)
        return Shortlist([*map(self._usable.__getitem__, ready), *shown], left_out + Counter(ready=more))

    def _few(self, out: Mapping[int, Reason]) -> tuple[list[W], Counter[str]]:
        """A few of the routes that are out for each reason, and how many more there are."""
        shut = [(out[place], self._usable[place]) for place in sorted(out)]
        seen: Counter[str] = Counter()
        few: list[W] = []
        for reason, route in (*shut, *self._never):
            seen[reason] += 1
            if seen[reason] <= MOST_OUT:
                few.append(route)
        return few, Counter({reason: count - MOST_OUT for reason, count in seen.items() if count > MOST_OUT})

    def _out(self, now: float, health: Health, faults: Faults[W]) -> dict[int, Reason]:
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

    def _kinds(self, faults: Faults[W]) -> list[list[int]]:
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

    def _costs(self, demand: Demand, prefix: int, now: float, health: Health) -> list[int]:
        """By place, the ledger units that the request is expected to cost."""
        asked, said = demand.expected_input, demand.expected_output
        costs = (
            [expected_cost(demand, _cost(route)) for route in self._usable]
            if self._has_tiers
            else [(asked * input_ + said * output + fee) // PER_MILLION for input_, output, fee in self._terms]
        )
        for route_id in health.told_apart(self._places.keys(), prefix, now):
            place, state = self._places[route_id], health.routes.get(route_id, UNMET)
            share = health.cached_share(prefix, route_id, now)
            costs[place] = expected_cost(demand, _cost(self._usable[place]), state.success_rate, share)
        return costs

    def _cheapest(
        self, places: Sequence[int], costs: Sequence[int], wanted: int, draw: Callable[[], float]
    ) -> list[int]:  # fmt: skip
        """So many of one priority; of those that cost as much as the dearest of them, some by lot."""
        if len(places) <= wanted:
            return [*places]
        most = sorted([costs[place] for place in places])[wanted - 1]
        found = [place for place in places if costs[place] <= most]
        if len(found) <= wanted:
            return found
        cheaper = [place for place in found if costs[place] < most]
        tied = [place for place in found if costs[place] == most]
        return cheaper + heapq.nlargest(wanted - len(cheaper), tied, key=lambda place: self._lot(place, draw))

    def _lot(self, place: int, draw: Callable[[], float]) -> float:
        return lot(self._usable[place].channel.weight, draw)


def is_about_costs(demand: Demand) -> bool:
    """Whether nothing but what a route costs, and whether it is well, tells the routes of a model apart."""
    names_channels = demand.only or demand.ignore or demand.order
    return not names_channels and demand.strategy == "cheapest" and demand.beside is NOTHING


def _cost(route: Way) -> Tariff:
    cost = route.cost
    assert cost is not None  # noqa: S101 - asked of usable routes alone
    return cost


def _rates(route: Way) -> int:
    cost = _cost(route)
    return cost.input + cost.output
