"""The few of many routes: what comes of them is what would come of all."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kinds import Usage
from billing.prices import Tariff
from routing.selection.health import Health, RouteHealth
from routing.selection.rank import MOST_OUT, MOST_READY, Candidate, Decision, Demand, kept, rank
from routing.selection.reasons import Reason
from routing.selection.shortlist import MANY, WANTED, Faults, RoutesByPrice, is_about_costs

NOW = 1_000_000.0
PREFIX = 7
DEMAND = Demand(expected_input=1_000, expected_output=100)


@dataclass(frozen=True)
class Channel:
    id: int
    priority: int = 0
    weight: int = 1
    concurrency: int | None = None
    kind: str = "a"


@dataclass(frozen=True)
class Route:
    id: int
    channel: Channel
    cost: Tariff | None
    fault: Reason | None = None


def tariff(rate: int, request_fee: int = 0, cached_input: int | None = None) -> Tariff:
    return Tariff(1, "USD", request_fee=request_fee, input=rate, output=2 * rate, cached_input=cached_input)


def route(number: int, rate: int = 1_000_000, fault: Reason | None = None, **channel: int | str | None) -> Route:
    return Route(number, Channel(number, **channel), tariff(rate), fault)  # type: ignore[arg-type]


def faults(*kinds: str) -> Faults[Route]:
    """Channels of these kinds cannot be asked."""
    return Faults(
        "chat", lambda each: each.channel.kind, lambda each: Reason.NO_ENDPOINT if each.channel.kind in kinds else None
    )


def by_all(demand: Demand, routes: list[Route], health: Health, none: Faults[Route]) -> Decision:
    """The decision over every route, each looked at."""
    return kept(rank(demand, [_candidate(each, health, none) for each in routes], lambda: 0.5))


def by_few(demand: Demand, routes: list[Route], health: Health, none: Faults[Route]) -> Decision:
    short = RoutesByPrice(routes).shortlist(demand, PREFIX, NOW, health, none, lambda: 0.5)
    return kept(rank(demand, [_candidate(each, health, none) for each in short.routes], lambda: 0.5), short.left_out)


def _candidate(each: Route, health: Health, none: Faults[Route]) -> Candidate:
    state = health.routes[each.id]
    return Candidate(
        each.id,
        f"c{each.channel.id}",
        "m",
        each.cost,
        priority=each.channel.priority,
        weight=each.channel.weight,
        fault=each.fault or none.of(each) or health.reason_out(each.id, each.channel.id, each.channel.concurrency, NOW),
        success_rate=state.success_rate,
        cached_share=health.cached_share(PREFIX, each.id, NOW),
    )


def ready(decision: Decision) -> list[tuple[int | None, int]]:
    return [(each.expected_cost, each.priority) for each in decision.candidates if each.state != "out"]


def out(decision: Decision) -> Counter[str]:
    """Routes that are out, by reason, shown or not."""
    shown = Counter(str(each.reason) for each in decision.candidates if each.reason)
    return shown + Counter({str(name): count for name, count in decision.left_out.items() if name != "ready"})


def trouble(state: RouteHealth, kind: int) -> None:
    if kind == 0:
        state.failed(NOW - 99)
    else:
        state.rest(NOW - 50, 60 if kind == 1 else 0)


channels = st.builds(
    Channel,
    id=st.integers(1, 40),
    priority=st.integers(0, 2),
    weight=st.integers(0, 3),
    concurrency=st.sampled_from([None, None, 1]),
    kind=st.sampled_from(["a", "a", "b"]),
)
rates = st.integers(0, 30).map(lambda rate: rate * 400_000)
tariffs = st.builds(
    Tariff,
    st.just(1),
    st.just("USD"),
    input=rates,
    output=rates | st.integers(0, 90_000_000),
    request_fee=st.sampled_from([0, 0, 1_000]),
    cached_input=st.just(100_000),
)
demands = st.builds(Demand, st.integers(0, 200_000), st.integers(0, 200_000))
routes_ = st.builds(
    Route,
    id=st.integers(1, 10_000),
    channel=channels,
    cost=tariffs,
    fault=st.sampled_from([None, None, None, Reason.CHANNEL_DISABLED, Reason.NO_COST_PRICE]),
)


@given(
    st.lists(routes_, min_size=MANY + 1, max_size=90, unique_by=lambda each: each.id),
    demands,
    st.randoms(),
    st.sampled_from(["", "b"]),
)
def test_few_give_the_decision_that_all_would_give(
    routes: list[Route], demand: Demand, lots: random.Random, unasked: str
) -> None:
    health = Health(0.2)
    for each in lots.sample(routes, len(routes) // 3):
        trouble(health.routes[each.id], lots.randrange(3))
        health.note_trouble(each.id)
    for each in lots.sample(routes, len(routes) // 5):
        health.channels[each.channel.id].in_flight = 1
    served = lots.choice(routes)
    for _time in range(2):
        health.note_served(PREFIX, served.id, NOW, 0.9)

    few, all_ = by_few(demand, routes, health, faults(unasked)), by_all(demand, routes, health, faults(unasked))

    assert ready(few) == ready(all_)
    assert out(few) == out(all_)
    assert few.left_out.get("ready", 0) == all_.left_out.get("ready", 0)
    assert (few.constraint(), few.strategy, bool(few.order)) == (all_.constraint(), all_.strategy, bool(all_.order))


def test_few_are_looked_at_and_the_others_counted() -> None:
    routes = [route(number, 1_000_000 + 10_000 * number) for number in range(500)]
    routes += [route(number, fault=Reason.CHANNEL_DISABLED) for number in range(500, 600)]

    short = RoutesByPrice(routes).shortlist(DEMAND, PREFIX, NOW, Health(0.2), faults())

    assert [each.id for each in short.routes] == [*range(WANTED), 500, 501]
    assert short.left_out == {"ready": 500 - WANTED, Reason.CHANNEL_DISABLED: 100 - MOST_OUT}


def test_lower_priorities_fill_what_the_higher_ones_leave() -> None:
    routes = [route(number, 9_000_000, priority=5) for number in range(3)]
    routes += [route(number, 1_000_000 + 10_000 * number) for number in range(10, 90)]

    short = RoutesByPrice(routes).shortlist(DEMAND, PREFIX, NOW, Health(0.2), faults())

    assert [each.id for each in short.routes] == [0, 1, 2, *range(10, 10 + WANTED - 3)]


def test_of_those_that_cost_the_same_all_have_their_turn_by_weight() -> None:
    routes = [route(number, weight=3 if number < 50 else 1) for number in range(100)]
    field, lots = RoutesByPrice(routes), random.Random(5)

    met = Counter(
        each.id
        for _time in range(2_000)
        for each in field.shortlist(DEMAND, PREFIX, NOW, Health(0.2), faults(), lots.random).routes
    )

    assert len(met) == 100
    heavy = sum(count for number, count in met.items() if number < 50)
    assert 2.0 < heavy / (met.total() - heavy) < 3.2


def test_cheaper_one_never_loses_its_place_to_a_lot() -> None:
    routes = [route(0, 999_000), *(route(number) for number in range(1, 200))]

    for _time in range(50):
        assert 0 in [each.id for each in RoutesByPrice(routes).shortlist(DEMAND, 0, NOW, Health(0.2), faults()).routes]


def test_price_by_length_counts_as_for_this_request() -> None:
    long = Tariff(2, "USD", input=9_000_000, output=9_000_000)
    tiered = Route(1, Channel(1), Tariff(1, "USD", input=1, output=1, tiers=((500, long),)))
    routes = [tiered, *(route(number) for number in range(2, 60))]

    short = RoutesByPrice(routes).shortlist(DEMAND, PREFIX, NOW, Health(0.2), faults())

    assert tiered not in short.routes
    assert tiered in RoutesByPrice(routes).shortlist(Demand(100, 100), PREFIX, NOW, Health(0.2), faults()).routes


def test_route_that_has_recovered_is_no_longer_looked_at() -> None:
    health = Health(0.2)
    health.routes[5].failed(NOW)
    health.note_trouble(5)
    assert health.troubled({5, 6}, NOW) == [5]

    for second in range(300):
        health.routes[5].succeeded(NOW + second, 0.1)

    assert health.troubled({5, 6}, NOW + 300) == []


def test_channel_that_was_sent_to_rest_shuts_its_routes_out_and_lets_them_in_again() -> None:
    health = Health(0.2)
    field = RoutesByPrice([route(number, 1_000_000 + 10_000 * number) for number in range(60)])
    health.rest_channel(0, -1.0)
    back = health.channels[0].resting_until

    assert field.shortlist(DEMAND, PREFIX, back - 0.5, health, faults()).routes[-1].id == 0
    assert field.shortlist(DEMAND, PREFIX, back + 0.5, health, faults()).routes[0].id == 0


@pytest.mark.parametrize(
    "demand",
    [
        Demand(1, 1, only=frozenset({"a"})),
        Demand(1, 1, ignore=frozenset({"a"})),
        Demand(1, 1, order=("a",)),
        Demand(1, 1, strategy="fastest"),
        Demand(1, 1, beside=Usage(images=1)),
    ],
)
def test_demand_that_is_about_more_than_costs_is_told(demand: Demand) -> None:
    assert not is_about_costs(demand)
    assert is_about_costs(DEMAND)


def test_as_many_are_ranked_as_are_shown() -> None:
    assert WANTED >= MOST_READY
