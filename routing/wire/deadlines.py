"""The deadlines of many exchanges on one timer of the event loop: one for each would cost as much as its parsing."""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

_EARLY: Final = 0.001
"""The loop's clock may fire a timer by so much too soon."""
_PAUSE: Final = 0.02
"""Seconds between two looks at all deadlines, however close together those lie."""


class Watched(Protocol):
    def look(self, now: float) -> float | None:
        """The deadline may be over at `now`: the next one, None if there is none any more."""


class Deadlines:
    """Each at most 20 ms late. Times are of the event loop's clock."""

    def __init__(self) -> None:
        self._due: dict[Watched, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def set(self, watched: Watched, at: float) -> None:
        """Sets the deadline, or moves it."""
        self._due[watched] = at
        if at < self._fires_at:
            self._fire_at(at)

    def drop(self, watched: Watched) -> None:
        self._due.pop(watched, None)

    def _fire_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._fire)

    def _fire(self) -> None:
        now = asyncio.get_running_loop().time() + _EARLY
        # While it looks, what is set is seen below and needs no timer.
        self._timer, self._fires_at = None, -math.inf
        for watched in [watched for watched, at in self._due.items() if at <= now]:
            at = watched.look(now)
            if at is None:
                self.drop(watched)
            else:
                self._due[watched] = at
        self._fires_at = math.inf
        if self._due:
            self._fire_at(max(min(self._due.values()), now + _PAUSE))
