"""The routing decision for the API: names and costs as far as the operator shows them."""

from __future__ import annotations

import msgspec
import orjson
import pytest

from routing.pipeline.attempt import AttemptRecord
from routing.pipeline.explanation import Shown, explain
from routing.selection.rank import Decision
from tests import records

DECISION = msgspec.convert(
    records.decision(
        records.candidate("blue", "chosen", expected_cost=12_500),
        records.candidate("green", "out", reason="resting", expected_cost=None),
    ),
    Decision,
)
ATTEMPTS = [msgspec.convert(records.attempt("blue"), AttemptRecord)]


@pytest.mark.parametrize(
    ("shown", "names", "cost"),
    [
        (Shown(channels=True, costs=False), ["blue", "green"], None),
        (Shown(channels=True, costs=True), ["blue", "green"], 0.0000125),
        (Shown(channels=False, costs=False), ["channel 1", "channel 2"], None),
        (Shown(channels=False, costs=True), ["channel 1", "channel 2"], 0.0000125),
    ],
)
def test_names_and_costs_are_shown_as_the_operator_says(shown: Shown, names: list[str], cost: float | None) -> None:
    told = orjson.loads(orjson.dumps(explain(DECISION, ATTEMPTS, shown)))

    assert [candidate["channel"] for candidate in told["candidates"]] == names
    assert [candidate["expected_cost"] for candidate in told["candidates"]] == [cost, None]
    assert [attempt["channel"] for attempt in told["attempts"]] == names[:1]


def test_what_is_for_operators_is_never_told() -> None:
    told = orjson.dumps(explain(DECISION, ATTEMPTS, Shown(channels=False, costs=False))).decode()

    assert "blue" not in told
    assert "secret-host" not in told
    assert "upstream-name" not in told
