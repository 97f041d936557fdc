"""Choosing the channel: which route answers this request at the least expected cost, and why. Pure.

The expected cost of a request on a route is what its tokens are expected to cost there, divided by the chance that
the route answers. Zero is a price; unknown is not. Every candidate is kept in the decision with its expected cost and
state, and if it is out, with exactly one reason from a closed list.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from math import floor
from typing import Any, Final, Literal, Protocol

import msgspec

from billing.kinds import NOTHING, Usage
from billing.money import PER_MILLION
from billing.prices import Tariff, lines
from routing.selection.reasons import CONSTRAINTS, LACKS, PERMANENT, Reason

Strategy = Literal["cheapest", "fastest"]


class Demand(msgspec.Struct, frozen=True):
    """What a request asks of a route, and what it is expected to use there. Token counts."""

    expected_input: int
    expected_output: int
    capabilities: frozenset[str] = frozenset()
    """What a route must be able to do (`LACKS`)."""
    needs_context: int = 0
    only: frozenset[str] = frozenset()
    """Channel names in lower case; empty allows all."""
    ignore: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()
    """Channel names that come first, in this order."""
    is_over_max_price: bool = False
    strategy: Strategy = "cheapest"
    beside: Usage = NOTHING
    """What else it is expected to use: kinds that no token contains."""


class Candidate(msgspec.Struct, frozen=True):
    """A route as selection sees it, with what this process knows of its health just now."""

    route_id: int
    channel: str
    upstream_model: str
    cost: Tariff | None
    priority: int = 0
    weight: int = 1
    fault: Reason | None = None
    """Out whatever is asked: disabled, without a price, open breaker, resting, busy."""
    success_rate: float = 1.0
    cached_share: float = 0.0
    """The share of this request's input that the route is expected to have in its prompt cache."""
    latency: float = 0.0
    """Seconds to the first byte, learned; 0 if unknown."""
    capabilities: frozenset[str] = frozenset(LACKS)
    context_window: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """One candidate in a decision. `expected_cost` is in ledger units of `currency`, None if out or unknown."""

    route: int
    channel: str
    upstream_model: str
    state: Literal["chosen", "ready", "out"]
    reason: Reason | None
    expected_cost: int | None
    currency: str
    success_rate: float
    priority: int
    weight: int


class Expected(msgspec.Struct, frozen=True):
    input: int
    cached_input: int
    output: int


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every candidate, the usable ones first and in the order they will be tried."""

    strategy: Strategy
    expected: Expected
    candidates: tuple[Verdict, ...]
    left_out: Mapping[str, int] = {}
    """Of a decision as it is kept: how many more candidates there were, by their reason, or "ready"."""

    @property
    def order(self) -> list[int]:
        """The ids of the routes to try, best first."""
        return [verdict.route for verdict in self.candidates if verdict.state != "out"]

    def constraint(self) -> Reason | None:
        """The reason in the request that shut routes out, if nothing but such reasons stood in the way."""
        reasons = [verdict.reason for verdict in self.candidates]
        lasting = [reason for reason in reasons if reason not in PERMANENT]
        if lasting and all(reason in CONSTRAINTS for reason in lasting):
            return lasting[0]
        return None


def rank(demand: Demand, candidates: Sequence[Candidate], draw: Callable[[], float] = random.random) -> Decision:
    """The decision for one request.

    `draw` returns a number in [0, 1) and only settles ties, in proportion to the weights.
    """
    if len(candidates) == 1:
        return _alone(demand, candidates[0])
    ready: list[tuple[Candidate, int]] = []
    out: list[Verdict] = []
    for candidate in candidates:
        reason = candidate.fault or _misfit(demand, candidate)
        if reason is not None or candidate.cost is None:
            out.append(_verdict(candidate, "out", reason or Reason.NO_COST_PRICE, None))
        else:
            cost = expected_cost(demand, candidate.cost, candidate.success_rate, candidate.cached_share)
            ready.append((candidate, cost))
    if not ready:
        return Decision(demand.strategy, Expected(demand.expected_input, 0, demand.expected_output), tuple(out))
    if len(ready) > 1:
        ready.sort(key=lambda entry: _position(demand, entry[0], entry[1], draw))
    chosen, expected = ready[0]
    verdicts = [_verdict(chosen, "chosen", None, expected)]
    if len(ready) > 1:
        verdicts += [_verdict(candidate, "ready", None, expected) for candidate, expected in ready[1:]]
    cached = floor(demand.expected_input * chosen.cached_share)
    use = Expected(demand.expected_input, cached, demand.expected_output)
    return Decision(demand.strategy, use, (*verdicts, *out))


def _alone(demand: Demand, candidate: Candidate) -> Decision:
    """The same where there is nothing to choose from."""
    reason = candidate.fault or _misfit(demand, candidate)
    if reason is not None or candidate.cost is None:
        verdict, cached = _verdict(candidate, "out", reason or Reason.NO_COST_PRICE, None), 0
    else:
        expected = expected_cost(demand, candidate.cost, candidate.success_rate, candidate.cached_share)
        verdict = _verdict(candidate, "chosen", None, expected)
        cached = floor(demand.expected_input * candidate.cached_share)
    return Decision(demand.strategy, Expected(demand.expected_input, cached, demand.expected_output), (verdict,))


MOST_READY: Final = 8
"""The chosen route and those that would have been next."""
MOST_OUT: Final = 2
"""Of each reason."""


def kept(decision: Decision, left_out: Mapping[str, int] = {}) -> Decision:
    """As it is stored and shown: the best, a few of each reason, and how many more there were; `left_out` are others.

    A model with a thousand routes would write 180 kB with each of its requests, which takes PostgreSQL 90 times as
    long. What is left out follows from the catalogue, the demand and the health at that moment.
    """
    if len(decision.candidates) <= MOST_READY + MOST_OUT and not left_out:
        return decision
    more, seen = dict(left_out), dict[str, int]()
    few: list[Verdict] = []
    for verdict in decision.candidates:
        name = verdict.reason or "ready"
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= (MOST_OUT if verdict.state == "out" else MOST_READY):
            few.append(verdict)
        else:
            more[name] = more.get(name, 0) + 1
    return msgspec.structs.replace(decision, candidates=tuple(few), left_out=more)


def expected_cost(demand: Demand, cost: Tariff, success_rate: float = 1.0, cached_share: float = 0.0) -> int:
    """Ledger units that this request is expected to cost on a route, its chance of failing included."""
    if cost.tiers:
        cost = cost.for_input(demand.expected_input)
    tokens: float = demand.expected_input * cost.input + demand.expected_output * cost.output
    if demand.beside is not NOTHING:
        tokens += sum(line.exact_millionths for line in lines(demand.beside, cost))
    if cached_share:
        tokens += demand.expected_input * cached_share * (cost.rate("cached_input") - cost.input)
    return floor((tokens / PER_MILLION + cost.request_fee) / max(success_rate, 0.01))


class Abilities(Protocol):
    """What a route can do, which its model says."""

    @property
    def capabilities(self) -> frozenset[str]: ...
    @property
    def context_window(self) -> int: ...


def misfit(demand: Demand, able: Abilities) -> Reason | None:
    """The first thing in the request that no route of its model can do or is allowed to."""
    if not demand.capabilities <= able.capabilities:
        return next(LACKS[name] for name in LACKS if name in demand.capabilities - able.capabilities)
    if able.context_window and demand.needs_context > able.context_window:
        return Reason.CONTEXT_TOO_SHORT
    return Reason.OVER_MAX_PRICE if demand.is_over_max_price else None


def _misfit(demand: Demand, candidate: Candidate) -> Reason | None:
    """The first thing in the request that this route cannot do or is not allowed to."""
    reason = misfit(demand, candidate)
    if (demand.only or demand.ignore) and reason in {None, Reason.OVER_MAX_PRICE}:
        name = candidate.channel.lower()
        if name in demand.ignore or (demand.only and name not in demand.only):
            return Reason.EXCLUDED_BY_REQUEST
    return reason


def _position(demand: Demand, candidate: Candidate, expected: int, draw: Callable[[], float]) -> tuple[Any, ...]:
    """Sorts before others: what the caller ordered, higher priority, then by strategy; ties by weighted lot."""
    name = candidate.channel.lower()
    asked = demand.order.index(name) if name in demand.order else len(demand.order)
    measure = candidate.latency if demand.strategy == "fastest" else expected
    return (asked, -candidate.priority, measure, -lot(candidate.weight, draw))


def lot(weight: int, draw: Callable[[], float]) -> float:
    """The highest of several wins with a chance in proportion to its weight (Efraimidis and Spirakis, 2006)."""
    return draw() ** (1 / weight) if weight else 0.0


def _verdict(
    candidate: Candidate, state: Literal["chosen", "ready", "out"], reason: Reason | None, expected: int | None
) -> Verdict:
    cost = candidate.cost
    return Verdict(
        route=candidate.route_id,
        channel=candidate.channel,
        upstream_model=candidate.upstream_model,
        state=state,
        reason=reason,
        expected_cost=expected,
        currency="" if cost is None else cost.currency,
        success_rate=floor(candidate.success_rate * 1000 + 0.5) / 1000,
        priority=candidate.priority,
        weight=candidate.weight,
    )
