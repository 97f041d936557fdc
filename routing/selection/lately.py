"""How often something has happened of late. Pure: the time is given."""

from __future__ import annotations

from typing import Final

_PARTS: Final = 10


class Lately:
    """A count of the last so many seconds, in ten parts: as small, and as quick to forget, however often it happens."""

    __slots__ = ("_counts", "_ends", "_part", "_seconds", "_sum")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds / _PARTS
        self._counts = [0] * _PARTS
        self._part = 0
        """Of the time that has passed by then, the last part that was looked at."""
        self._ends = 0.0
        self._sum = 0

    def note(self, now: float) -> None:
        """It happens at this time of the monotonic clock."""
        if now >= self._ends:  # seldom: it is told several times a request
            self._move_to(now)
        self._counts[self._part % _PARTS] += 1
        self._sum += 1

    def count(self, now: float) -> int:
        """How often; what happened between nine and ten tenths of the time ago may be forgotten already."""
        if now >= self._ends:
            self._move_to(now)
        return self._sum

    def forget(self) -> None:
        self._counts = [0] * _PARTS
        self._sum = 0

    def _move_to(self, now: float) -> None:
        part = int(now / self._seconds)
        for begun in range(max(self._part, part - _PARTS) + 1, part + 1):
            self._sum -= self._counts[begun % _PARTS]
            self._counts[begun % _PARTS] = 0
        self._part = part
        self._ends = (part + 1) * self._seconds
