"""A request's routing decision and attempts in the API's shape, as far as the operator shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from billing.money import to_json_number
from routing.pipeline.attempt import AttemptRecord
from routing.selection.rank import Decision, Verdict


@dataclass(frozen=True, slots=True)
class Shown:
    """What the operator shows tenants."""

    channels: bool
    """The channels' names; else they are numbered."""
    costs: bool
    """What the operator expected to pay."""


def explain(decision: Decision, attempts: Iterable[AttemptRecord], shown: Shown) -> dict[str, Any]:
    names = {verdict.channel: f"channel {place}" for place, verdict in enumerate(decision.candidates, 1)}

    def named(channel: str) -> str:
        return channel if shown.channels else names.get(channel, "channel")

    return {
        "strategy": decision.strategy,
        "candidates": [
            {
                "channel": named(verdict.channel),
                "state": verdict.state,
                "reason": verdict.reason,
                "expected_cost": _expected_cost(verdict) if shown.costs else None,
                "success_rate": verdict.success_rate,
            }
            for verdict in decision.candidates
        ],
        "attempts": [
            {
                "channel": named(attempt.channel),
                "outcome": attempt.outcome,
                "status": attempt.status,
                "started_ms": attempt.started_ms,
                "duration_ms": attempt.duration_ms,
            }
            for attempt in attempts
        ],
    }


def _expected_cost(verdict: Verdict) -> orjson.Fragment | None:
    if verdict.expected_cost is None:
        return None
    return orjson.Fragment(to_json_number(verdict.expected_cost, verdict.currency))
