"""Many deadlines on one timer."""

import asyncio
import time

from routing.wire.deadlines import Deadlines
from tests.routing.wire.raw_upstream import Runner

LATE = 0.15
"""Seconds: what a busy machine may add to the 20 ms."""


class One:
    """Notes when it was looked at; lives on until `ends` of them."""

    def __init__(self, *more: float) -> None:
        self.looked: list[float] = []
        self._more = list(more)

    def look(self, now: float) -> float | None:
        self.looked.append(asyncio.get_running_loop().time())
        return now + self._more.pop(0) if self._more else None


def test_each_is_looked_at_when_it_is_over(run: Runner) -> None:
    async def test() -> None:
        deadlines, start = Deadlines(), asyncio.get_running_loop().time()
        ones = {after: One() for after in (0.3, 0.05, 0.2, 0.051)}  # the latest first, two nearly together
        for after, one in ones.items():
            deadlines.set(one, start + after)
        await asyncio.sleep(0.3 + LATE)
        for after, one in ones.items():
            (at,) = one.looked
            assert after - 0.002 <= at - start < after + LATE

    run(test())


def test_one_that_moves_is_looked_at_where_it_is_now(run: Runner) -> None:
    async def test() -> None:
        deadlines, start = Deadlines(), asyncio.get_running_loop().time()
        sooner, later = One(), One()
        deadlines.set(sooner, start + 60)
        deadlines.set(later, start + 0.05)
        deadlines.set(sooner, start + 0.1)
        deadlines.set(later, start + 60)
        await asyncio.sleep(0.1 + LATE)
        assert len(sooner.looked) == 1
        assert not later.looked

    run(test())


def test_one_that_names_another_deadline_is_looked_at_again(run: Runner) -> None:
    async def test() -> None:
        deadlines, start = Deadlines(), asyncio.get_running_loop().time()
        one = One(0.05, 0.05)
        deadlines.set(one, start + 0.05)
        await asyncio.sleep(0.15 + 2 * LATE)
        assert len(one.looked) == 3
        assert all(after - before >= 0.048 for before, after in zip(one.looked, one.looked[1:], strict=False))

    run(test())


def test_one_that_is_dropped_is_not_looked_at(run: Runner) -> None:
    async def test() -> None:
        deadlines, start = Deadlines(), asyncio.get_running_loop().time()
        gone, stays = One(), One()
        deadlines.set(gone, start + 0.05)
        deadlines.set(stays, start + 0.06)
        deadlines.drop(gone)
        deadlines.drop(gone)
        await asyncio.sleep(0.06 + LATE)
        assert not gone.looked
        assert len(stays.looked) == 1

    run(test())


def test_one_set_while_another_is_looked_at_has_its_turn(run: Runner) -> None:
    async def test() -> None:
        deadlines, start = Deadlines(), asyncio.get_running_loop().time()
        second = One()

        class First(One):
            def look(self, now: float) -> float | None:
                deadlines.set(second, now + 0.05)
                return super().look(now)

        deadlines.set(First(), start + 0.05)
        await asyncio.sleep(0.1 + LATE)
        assert len(second.looked) == 1

    run(test())


def test_ten_thousand_that_lie_close_cost_a_few_looks_each_second(run: Runner) -> None:
    """Of ten thousand streams, one deadline after the other: not a look at all of them for each of them."""

    async def test() -> None:
        deadlines, start = Deadlines(), asyncio.get_running_loop().time()
        ones = [One() for _ in range(10_000)]
        for number, one in enumerate(ones):
            deadlines.set(one, start + 0.2 + number / 20_000)
        before = time.process_time()
        await asyncio.sleep(0.7 + LATE)
        assert all(len(one.looked) == 1 for one in ones)
        assert len({round(one.looked[0], 2) for one in ones}) <= 60
        assert time.process_time() - before < 0.5  # one by one it would be ten seconds

    run(test())
