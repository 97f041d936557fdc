"""Refusals of nobody, answered no faster than so many a second: a flood of made-up keys costs its sender time, not us.

Who asks once gets his answer at once. Who asks again and again, on many connections, waits for each answer, ten
seconds at most; on the event loop a refusal that waits costs next to nothing, and one that is answered as much as half
a request.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from typing import Final

PER_ADDRESS: Final = 50.0
"""Refusals a second."""
IN_ALL: Final = 400.0
BURST_SECONDS: Final = 2.0
"""So much of a second's allowance may be taken at once."""
LONGEST: Final = 10.0
"""Seconds that an answer waits at most."""
_SPREAD: Final = 4.0
"""Of as many before that, one is drawn by lot for each that would wait longer still: thousands that came at once would
else be answered at once, ask again at once, and be a burst every so many seconds for as long as they like."""
_MOST_WAITING: Final = 8_000
"""Each has a connection, and some kilobytes; what is more is answered at once."""
_MOST_ADDRESSES: Final = 10_000
_EVERYBODY: Final = ""
_TURN_SECONDS: Final = 0.05
"""Whoever's turn comes within as much is answered together, by one timer for all that wait."""


class Pace:
    """This process's allowance of refusals, of each address and of all together (a leaky bucket as a moment: GCRA)."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        """When the last refusal that was allowed would have its turn at an even pace, the oldest first."""

        self.waiting = 0
        """How many refusals wait for their turn."""
        self._turns: defaultdict[int, list[asyncio.Future[None]]] = defaultdict(list)
        """By number, each _TURN_SECONDS after the one before."""
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, address: str) -> None:
        """Returns when one more refusal to this address may be answered."""
        now = time.monotonic()
        seconds = self._seconds(address, now)
        if seconds > 0 and self.waiting < _MOST_WAITING:
            self.waiting += 1
            try:
                await self._turn_at(now + seconds)
            finally:
                self.waiting -= 1

    def _seconds(self, address: str, now: float) -> float:
        seconds = max(self._take(address, PER_ADDRESS, now), self._take(_EVERYBODY, IN_ALL, now))
        return seconds if seconds < LONGEST else LONGEST - _SPREAD * random.random()  # noqa: S311 - a lot, no secret

    def _turn_at(self, moment: float) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._turns[int(moment / _TURN_SECONDS) + 1].append(turn)
        if self._timer is None:
            self._timer = loop.call_later(_TURN_SECONDS, self._let_go, loop)
        return turn

    def _let_go(self, loop: asyncio.AbstractEventLoop) -> None:
        """Of all whose turn has come."""
        latest = int(time.monotonic() / _TURN_SECONDS)
        for number in sorted(number for number in self._turns if number <= latest):
            for turn in self._turns.pop(number):
                if not turn.done():
                    turn.set_result(None)
        self._timer = loop.call_later(_TURN_SECONDS, self._let_go, loop) if self._turns else None

    def _take(self, name: str, per_second: float, now: float) -> float:
        """Seconds to wait."""
        latest = now + LONGEST + BURST_SECONDS
        due = self._due[name] = min(latest, max(now, self._due.pop(name, now)) + 1 / per_second)
        if len(self._due) > _MOST_ADDRESSES:
            del self._due[next(iter(self._due))]
        return due - now - BURST_SECONDS
