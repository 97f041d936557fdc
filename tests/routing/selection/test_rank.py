"""The choice of the channel: the least expected cost among what is ready, and every reason to be out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kinds import Usage
from billing.prices import Tariff
from routing.selection.rank import Candidate, Decision, Demand, expected_cost, rank
from routing.selection.reasons import CONSTRAINTS, LACKS, WORDS, Reason

DEMAND = Demand(expected_input=1000, expected_output=500)


def tariff(input_: int, output: int, **rates: Any) -> Tariff:
    """Rates in nano-dollars per token."""
    return Tariff(id=1, currency="USD", input=input_ * 1_000_000, output=output * 1_000_000, **rates)


def candidate(route: int, cost: Tariff | None = None, **members: Any) -> Candidate:
    defaults: dict[str, Any] = {"channel": f"Channel {route}", "upstream_model": "up", "cost": cost or tariff(2, 8)}
    return Candidate(route_id=route, **{**defaults, **members})


def ranked(*candidates: Candidate, demand: Demand = DEMAND) -> Decision:
    return rank(demand, candidates, lambda: 0.5)


# --- expected cost ---------------------------------------------------------------------------------------------------


def test_expected_cost_is_input_and_output_at_their_prices() -> None:
    assert expected_cost(DEMAND, tariff(2, 8)) == 1000 * 2 + 500 * 8


def test_fee_is_part_of_the_expected_cost() -> None:
    assert expected_cost(DEMAND, tariff(2, 8, request_fee=7)) == 6007


def test_cached_share_is_counted_at_its_own_price() -> None:
    cost = tariff(2, 8, cached_input=500_000)
    assert expected_cost(DEMAND, cost, cached_share=0.5) == 500 * 2 + 250 + 500 * 8


def test_cached_share_without_a_price_of_its_own_costs_what_input_costs() -> None:
    assert expected_cost(DEMAND, tariff(2, 8), cached_share=0.5) == 6000


def test_cached_input_may_be_free() -> None:
    assert expected_cost(DEMAND, tariff(2, 8, cached_input=0), cached_share=1.0) == 4000


def test_expected_cost_is_divided_by_the_chance_of_an_answer() -> None:
    assert expected_cost(DEMAND, tariff(2, 8), success_rate=0.5) == 12_000


def test_route_that_never_answers_has_a_finite_cost() -> None:
    assert expected_cost(DEMAND, tariff(2, 8), success_rate=0.0) == 600_000


# --- the choice ------------------------------------------------------------------------------------------------------


def test_cheapest_is_chosen_and_the_others_follow_in_order() -> None:
    decision = ranked(candidate(1, tariff(3, 8)), candidate(2, tariff(1, 8)), candidate(3, tariff(2, 8)))
    assert decision.order == [2, 3, 1]
    assert [verdict.state for verdict in decision.candidates] == ["chosen", "ready", "ready"]
    assert [verdict.expected_cost for verdict in decision.candidates] == [5000, 6000, 7000]


def test_zero_is_a_price() -> None:
    assert ranked(candidate(1, tariff(1, 1)), candidate(2, tariff(0, 0))).order == [2, 1]


def test_unknown_is_no_price() -> None:
    decision = rank(DEMAND, [Candidate(route_id=1, channel="a", upstream_model="up", cost=None)])
    assert (decision.order, decision.candidates[0].state, decision.candidates[0].reason) == ([], "out", "no_cost_price")


def test_warm_cache_wins_exactly_while_it_is_cheaper() -> None:
    warm = candidate(1, tariff(10, 0, cached_input=1_000_000), cached_share=0.9)  # 1000 * (1 + 0.9) = 1900
    assert ranked(warm, candidate(2, tariff(2, 0))).order == [1, 2]
    assert ranked(warm, candidate(2, Tariff(id=1, currency="USD", input=1_899_000, output=0))).order == [2, 1]


def test_flaky_route_loses_to_a_slightly_dearer_one() -> None:
    assert ranked(candidate(1, tariff(2, 8), success_rate=0.5), candidate(2, tariff(3, 8))).order == [2, 1]


@pytest.mark.parametrize(
    ("rate", "stored"), [(1.0, 1.0), (0.0, 0.0), (0.9994, 0.999), (0.9996, 1.0), (0.1236, 0.124), (0.1234, 0.123)]
)
def test_success_rate_is_kept_to_three_places(rate: float, stored: float) -> None:
    (verdict,) = ranked(candidate(1, success_rate=rate)).candidates
    assert verdict.success_rate == stored


def test_higher_priority_comes_first_whatever_it_costs() -> None:
    assert ranked(candidate(1, tariff(0, 0)), candidate(2, tariff(9, 9), priority=1)).order == [2, 1]


def test_order_of_the_request_comes_before_priority_and_price() -> None:
    demand = Demand(1000, 500, order=("channel 3", "channel 1"))
    candidates = candidate(1), candidate(2, tariff(0, 0), priority=9), candidate(3, tariff(9, 9))
    assert ranked(*candidates, demand=demand).order == [3, 1, 2]


def test_fastest_is_chosen_where_asked_for() -> None:
    demand = Demand(1000, 500, strategy="fastest")
    decision = ranked(candidate(1, tariff(0, 0), latency=2.0), candidate(2, latency=1.0), demand=demand)
    assert (decision.order, decision.strategy) == ([2, 1], "fastest")


def test_decision_tells_the_tokens_that_were_expected() -> None:
    decision = ranked(candidate(1, cached_share=0.25))
    assert (decision.expected.input, decision.expected.cached_input, decision.expected.output) == (1000, 250, 500)


def test_nobody_to_choose_from_is_a_decision_too() -> None:
    assert (ranked().order, ranked().candidates, ranked().constraint()) == ([], (), None)


# --- ties ------------------------------------------------------------------------------------------------------------


def test_ties_are_shared_by_weight() -> None:
    draw = random.Random(7).random
    pair = [candidate(1, weight=3), candidate(2, weight=1)]
    first = Counter(rank(DEMAND, pair, draw).order[0] for _ in range(4000))
    assert 2850 < first[1] < 3150


def test_weight_zero_comes_last_in_a_tie() -> None:
    draw = random.Random(7).random
    pair = [candidate(1, weight=0), candidate(2, weight=1)]
    assert {rank(DEMAND, pair, draw).order[0] for _ in range(100)} == {2}


def test_lot_decides_only_ties() -> None:
    draws = iter([0.0, 0.999])
    assert rank(DEMAND, [candidate(1, tariff(1, 1)), candidate(2, tariff(2, 2))], lambda: next(draws)).order == [1, 2]


def test_same_draws_make_the_same_decision() -> None:
    routes = [candidate(number, weight=number % 3) for number in range(1, 10)]
    assert rank(DEMAND, routes, random.Random(5).random) == rank(DEMAND, routes, random.Random(5).random)


# --- out -------------------------------------------------------------------------------------------------------------

EVERYTHING = frozenset(LACKS)
TOOLS = frozenset(["tools"])
NO_TOOLS = EVERYTHING - TOOLS
MISFITS: dict[Reason, tuple[Demand, dict[str, Any]]] = {
    **{
        reason: (Demand(1, 1, capabilities=frozenset([name])), {"capabilities": EVERYTHING - {name}})
        for name, reason in LACKS.items()
    },
    Reason.CONTEXT_TOO_SHORT: (Demand(1, 1, needs_context=101), {"context_window": 100}),
    Reason.OVER_MAX_PRICE: (Demand(1, 1, is_over_max_price=True), {}),
    Reason.EXCLUDED_BY_REQUEST: (Demand(1, 1, ignore=frozenset(["channel 1"])), {}),
    Reason.NO_ENDPOINT: (Demand(1, 1), {"fault": Reason.NO_ENDPOINT}),
    Reason.NOT_EXPRESSIBLE: (Demand(1, 1), {"fault": Reason.NOT_EXPRESSIBLE}),
}
FAULTS = [reason for reason in Reason if reason not in MISFITS]


def test_every_reason_of_the_closed_list_is_tested_here() -> None:
    assert set(MISFITS) == CONSTRAINTS
    assert set(MISFITS) | set(FAULTS) == set(Reason) == set(WORDS)


@pytest.mark.parametrize("reason", MISFITS)
def test_route_that_does_not_fit_is_out_with_the_reason(reason: Reason) -> None:
    demand, members = MISFITS[reason]
    decision = ranked(candidate(1, **members), demand=demand)
    (verdict,) = decision.candidates
    assert (verdict.state, verdict.reason, verdict.expected_cost, decision.order) == ("out", reason, None, [])
    assert decision.constraint() == reason


@pytest.mark.parametrize("reason", FAULTS)
def test_route_with_a_fault_is_out_with_it(reason: Reason) -> None:
    decision = ranked(candidate(1, fault=reason), candidate(2))
    assert [(verdict.state, verdict.reason) for verdict in decision.candidates] == [("chosen", None), ("out", reason)]


def test_fault_is_told_before_a_misfit() -> None:
    decision = ranked(
        candidate(1, fault=Reason.BREAKER_OPEN, capabilities=NO_TOOLS),
        demand=Demand(1, 1, capabilities=TOOLS),
    )
    assert decision.candidates[0].reason == "breaker_open"


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [({"capabilities": TOOLS}, Reason.NO_TOOLS), ({"is_over_max_price": True}, Reason.EXCLUDED_BY_REQUEST)],
    ids=["tools", "price"],
)
def test_what_a_model_cannot_do_is_told_before_whom_the_request_excludes(
    lacking: dict[str, Any], reason: Reason
) -> None:
    demand = Demand(1, 1, ignore=frozenset(["channel 1"]), **lacking)
    assert ranked(candidate(1, capabilities=NO_TOOLS), demand=demand).candidates[0].reason == reason


def test_only_leaves_nothing_else() -> None:
    decision = ranked(candidate(1), candidate(2), demand=Demand(1, 1, only=frozenset(["channel 2"])))
    assert decision.order == [2]


def test_ignore_wins_over_only() -> None:
    names = frozenset(["channel 1"])
    assert ranked(candidate(1), demand=Demand(1, 1, only=names, ignore=names)).order == []


def test_context_that_just_fits_is_ready() -> None:
    assert ranked(candidate(1, context_window=100), demand=Demand(1, 1, needs_context=100)).order == [1]


@pytest.mark.parametrize("passing", [Reason.BREAKER_OPEN, Reason.RESTING, Reason.CHANNEL_BUSY])
def test_constraint_is_told_only_where_nothing_passing_stood_in_the_way(passing: Reason) -> None:
    demand = Demand(1, 1, capabilities=TOOLS)
    assert ranked(candidate(1, capabilities=NO_TOOLS), candidate(2, fault=passing), demand=demand).constraint() is None


def test_constraint_is_told_beside_routes_that_are_out_for_good() -> None:
    demand = Demand(1, 1, capabilities=TOOLS)
    routes = (
        candidate(1, fault=Reason.CHANNEL_DISABLED),
        candidate(2, capabilities=NO_TOOLS),
        candidate(3, fault=Reason.NO_COST_PRICE),
    )
    assert ranked(*routes, demand=demand).constraint() == "no_tools"
    assert ranked(candidate(1, fault=Reason.CHANNEL_DISABLED), demand=demand).constraint() is None


# --- in general ------------------------------------------------------------------------------------------------------

rate = st.integers(0, 10**12)
tariffs = st.builds(
    Tariff,
    id=st.just(1),
    currency=st.just("USD"),
    input=rate,
    output=rate,
    cached_input=st.none() | rate,
    request_fee=st.integers(0, 10**9),
)
candidates_ = st.builds(
    Candidate,
    route_id=st.integers(1, 10**6),
    channel=st.sampled_from(["a", "B", "c"]),
    upstream_model=st.just("up"),
    cost=st.none() | tariffs,
    priority=st.integers(-1, 1),
    weight=st.integers(0, 5),
    fault=st.none() | st.sampled_from(FAULTS),
    success_rate=st.floats(0, 1),
    cached_share=st.floats(0, 1),
    capabilities=st.sampled_from([EVERYTHING, NO_TOOLS]),
)
demands = st.builds(
    Demand,
    expected_input=st.integers(0, 10**6),
    expected_output=st.integers(0, 10**6),
    capabilities=st.sampled_from([frozenset[str](), TOOLS]),
    ignore=st.frozensets(st.sampled_from(["a", "b"])),
)


def is_usable(route: Candidate, demand: Demand) -> bool:
    fits = demand.capabilities <= route.capabilities and route.channel.lower() not in demand.ignore
    return route.fault is None and route.cost is not None and fits


def costs(routes: list[Candidate], demand: Demand) -> Iterator[int]:
    return (
        expected_cost(demand, route.cost, route.success_rate, route.cached_share)
        for route in routes
        if route.cost is not None
    )


@given(demands, st.lists(candidates_, max_size=8, unique_by=lambda route: route.route_id), st.randoms())
def test_chosen_has_the_least_expected_cost_of_the_best_tier_that_is_ready(
    demand: Demand, routes: list[Candidate], lots: random.Random
) -> None:
    decision = rank(demand, routes, lots.random)
    usable = [route for route in routes if is_usable(route, demand)]
    tier = max((route.priority for route in usable), default=None)
    least = min(costs([route for route in usable if route.priority == tier], demand), default=None)
    chosen = [verdict for verdict in decision.candidates if verdict.state == "chosen"]

    assert [verdict.expected_cost for verdict in chosen] == [least][: len(usable)]
    assert [verdict.priority for verdict in chosen] == [tier][: len(usable)]
    assert sorted(decision.order) == sorted(route.route_id for route in usable)
    assert Counter(verdict.route for verdict in decision.candidates) == Counter(route.route_id for route in routes)
    assert all((verdict.reason is None) == (verdict.state != "out") for verdict in decision.candidates)


def test_what_no_token_contains_is_expected_too() -> None:
    by_second = Tariff(1, "USD", input=0, output=0, second=3_000_000)
    by_picture = Tariff(2, "USD", input=0, output=0, image=50_000_000)
    demand = Demand(expected_input=0, expected_output=0, beside=Usage(seconds=10, images=2))
    dear, cheap = (Candidate(place, str(place), "up", cost) for place, cost in enumerate((by_picture, by_second)))

    decision = rank(demand, [dear, cheap])

    assert [(each.channel, each.expected_cost) for each in decision.candidates] == [("1", 30), ("0", 100)]
