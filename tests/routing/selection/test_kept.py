"""A decision as it is stored: whole where it is short, else the best, a few of each reason, and counts."""

from __future__ import annotations

import msgspec
import orjson

from billing.prices import Tariff
from routing.selection.rank import MOST_OUT, MOST_READY, Candidate, Decision, Demand, kept, rank
from routing.selection.reasons import Reason

DEMAND = Demand(expected_input=1_000, expected_output=100)


def tariff(rate: int) -> Tariff:
    return Tariff(id=1, currency="USD", input=rate, output=rate)


def decision(ready: int, busy: int = 0, disabled: int = 0) -> Decision:
    faults = [None] * ready + [Reason.CHANNEL_BUSY] * busy + [Reason.CHANNEL_DISABLED] * disabled
    return rank(
        DEMAND, [Candidate(n, f"c{n}", "m", tariff(1_000_000 + n), fault=fault) for n, fault in enumerate(faults)]
    )


def test_short_decision_is_kept_as_it_is() -> None:
    short = decision(5, 3, 2)

    assert kept(short) is short
    assert b"left_out" not in _stored(short)


def test_long_decision_keeps_the_best_and_a_few_of_each_reason() -> None:
    long = decision(500, 300, 1)

    few = kept(long)

    assert few.order == long.order[:MOST_READY]
    assert few.candidates[0].state == "chosen"
    assert [verdict.reason for verdict in few.candidates[MOST_READY:]] == [
        *[Reason.CHANNEL_BUSY] * MOST_OUT, Reason.CHANNEL_DISABLED,
    ]  # fmt: skip
    assert few.left_out == {"ready": 500 - MOST_READY, Reason.CHANNEL_BUSY: 300 - MOST_OUT}


def test_what_is_stored_does_not_grow_with_the_candidates() -> None:
    assert len(_stored(kept(decision(900, 100)))) < 1.2 * len(_stored(kept(decision(20, 10))))


def _stored(each: Decision) -> bytes:

    return orjson.dumps(msgspec.to_builtins(each))
