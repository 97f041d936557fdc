"""Refusals of nobody: the first ones at once, a flood's as slowly as its allowance says."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from accounts.pacing import BURST_SECONDS, LONGEST, PER_ADDRESS, Pace


def waits(addresses: list[str]) -> list[float]:
    """Seconds that each would wait if all came at this moment."""
    pace, now = Pace(), 1_000.0
    return [max(0.0, pace._seconds(each, now)) for each in addresses]


def test_who_asks_now_and_then_is_answered_at_once() -> None:
    assert set(waits(["203.0.113.1"] * int(PER_ADDRESS * BURST_SECONDS))) == {0.0}


def test_flood_waits_longer_and_longer_but_not_for_ever() -> None:
    flood = waits(["203.0.113.1"] * 4_000)

    in_turn = flood[: flood.index(next(seconds for seconds in flood if seconds > LONGEST - 0.1))]
    assert in_turn == sorted(in_turn)
    assert max(flood) <= LONGEST


def test_thousands_that_come_at_once_are_not_answered_at_once() -> None:
    """They would ask again at once, and be a burst every ten seconds: no second has half of them."""
    answered = Counter(int(seconds) for seconds in waits(["203.0.113.1"] * 4_000))
    assert max(answered.values()) < 4_000 / 2
    assert min(answered[second] for second in range(6, 10)) > 4_000 / 8


def test_one_address_keeps_no_other_waiting_within_what_all_may() -> None:
    flood = waits([*["203.0.113.1"] * 500, "203.0.113.2"])

    assert (flood[499] > 0, flood[500]) == (True, 0.0)


def test_many_addresses_together_have_an_allowance_too() -> None:
    assert waits([f"203.0.{number // 250}.{number % 250}" for number in range(4_000)])[-1] > 0


def test_pace_counts_who_waits() -> None:
    async def story() -> None:
        pace = Pace()
        pace._due["a"] = time.monotonic() + BURST_SECONDS + 0.2
        waiting = asyncio.create_task(pace.wait("a"))
        await asyncio.sleep(0.05)
        assert pace.waiting == 1
        await waiting
        assert pace.waiting == 0

    asyncio.run(story())


def test_each_is_let_go_in_its_turn_and_who_has_left_keeps_nobody_waiting() -> None:
    async def wait(pace: Pace, address: str, seconds: float, gone: list[tuple[str, bool]]) -> None:
        pace._due[address] = (began := time.monotonic()) + BURST_SECONDS + seconds
        await pace.wait(address)
        gone.append((address, seconds <= time.monotonic() - began < seconds + 1))

    async def story() -> None:
        pace, gone = Pace(), list[tuple[str, bool]]()
        waiting = [
            asyncio.create_task(wait(pace, address, seconds, gone))
            for address, seconds in (("late", 0.4), ("left", 0.2), ("early", 0.1), ("beside", 0.4))
        ]
        await asyncio.sleep(0.02)
        assert pace.waiting == 4
        waiting[1].cancel()
        await asyncio.wait(waiting)
        assert gone == [("early", True), ("late", True), ("beside", True)]
        assert pace.waiting == 0
        await asyncio.sleep(0.1)
        assert (dict(pace._turns), pace._timer) == ({}, None)

    asyncio.run(story())
