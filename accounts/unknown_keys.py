"""Keys that nobody has, as far as a process has looked lately: a flood of made-up ones drives out no other."""

from __future__ import annotations

import itertools

_AT_ONCE = 2
"""How many go, at most, when one comes: a flood is forgotten as fast as it came, and never in one go."""
_MOST_AT_ONCE = 1_000
"""How many go, at most, where none comes any more: 0.1 ms."""


class UnknownKeys:
    """By the digest of the key, the longest looked for first. What is remembered no longer is let go of."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._asked_at: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._asked_at)

    def has(self, digest: bytes, now: float) -> bool:
        """Whether it was looked for in vain in these last seconds; times are monotonic."""
        return now - self._asked_at.get(digest, float("-inf")) < self._seconds

    def add(self, digest: bytes, asked_at: float) -> None:
        """It was looked for in vain, just now."""
        asked = self._asked_at
        asked.pop(digest, None)
        asked[digest] = asked_at
        for oldest in list(itertools.islice(asked, _AT_ONCE)):
            if len(asked) > self._most or asked_at - asked[oldest] >= self._seconds:
                del asked[oldest]

    def forget(self, now: float) -> bool:
        """Lets go of some of those whose time is over; whether any are left. What lies about keeps memory in use."""
        asked = self._asked_at
        for oldest in list(itertools.islice(asked, _MOST_AT_ONCE)):
            if now - asked[oldest] < self._seconds:
                break
            del asked[oldest]
        return bool(asked)
