"""What a process knows of keys, and as of when it is true: of those that it follows, as of the last word of changes.

A key is followed from the reading of its row on, as long as one word of what changed follows the other without a gap
(accounts/key_changes.py). Any other one ages from when it was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from accounts.key_changes import Changes, Position

_MOST_SPARED: Final = 8
_LONGEST_READING: Final = 10.0
"""Seconds; what took longer to read is not followed."""
_UNFOLLOWED: Final = 0
_OUTDATED: Final = float("-inf")


class OfKey(Protocol):
    @property
    def key_id(self) -> int: ...
    @property
    def tenant_id(self) -> int: ...


C = TypeVar("C", bound=OfKey)

Known = tuple[float, C, int]
"""When it was asked for (monotonic), what is known, and the line of words that it is followed by."""


@dataclass(frozen=True, slots=True)
class _Word:
    heard_at: float
    changes: Changes


class KnownKeys(Generic[C]):
    """By the digest of the key; the longest unread first, once there are as many as are kept."""

    def __init__(self, most: int) -> None:
        self.as_of = _OUTDATED
        """When the last word was asked for (monotonic): what is followed was true then."""
        self.position: Position | None = None
        """From where the next word goes on; None before the first one, and once one did not come."""
        self._most = most
        self._by_digest: dict[bytes, Known[C]] = {}
        self._line = _UNFOLLOWED + 1
        self._line_began_at = _OUTDATED
        self._words: list[_Word] = []
        """Those of this line that said something, and may have come while a key was read."""

    def __len__(self) -> int:
        return len(self._by_digest)

    def get(self, digest: bytes) -> Known[C] | None:
        return self._by_digest.get(digest)

    def true_at(self, known: Known[C]) -> float:
        """The last moment (monotonic) at which it is known to have been true."""
        return max(known[0], self.as_of) if known[2] == self._line else known[0]

    def is_followed(self, known: Known[C]) -> bool:
        """Whether the next word says if it is still true."""
        return known[2] == self._line and self.position is not None

    def keep(self, digest: bytes, asked_at: float, found: C, spared: Collection[int] = ()) -> None:
        """As of when it was asked for: what a slow database answers was true then. `spared` are ids of keys in use."""
        line = self._line if self._can_follow(asked_at, found) else _UNFOLLOWED
        self._by_digest.pop(digest, None)
        self._by_digest[digest] = (asked_at, found, line)
        if len(self._by_digest) > self._most:
            self._make_room(spared)

    def _make_room(self, spared: Collection[int]) -> None:
        for _turn in range(_MOST_SPARED):
            first, known = next(iter(self._by_digest.items()))
            del self._by_digest[first]
            if known[1].key_id not in spared:
                return
            self._by_digest[first] = known
        del self._by_digest[next(iter(self._by_digest))]

    def drop(self, digest: bytes) -> None:
        self._by_digest.pop(digest, None)

    def hear(self, changes: Changes, asked_at: float) -> None:
        """The next word, as of when it was asked for: what it does not name has not changed until then."""
        now = time.monotonic()
        if self.position is None or changes.has_gap:
            self._begin_line(now)
        elif changes.keys or changes.tenants:
            self._words = [word for word in self._words if now - word.heard_at < _LONGEST_READING]
            self._words.append(_Word(now, changes))
            for digest, known in self._by_digest.items():  # 50,000 of them in 4 ms
                if _is_named(known[1], changes):
                    self._by_digest[digest] = (_OUTDATED, known[1], _UNFOLLOWED)
        self.position, self.as_of = changes.position, asked_at

    def miss(self) -> None:
        """A word did not come. What was true as of the last one ages from there, and the next one begins a new line."""
        self.position = None

    def _begin_line(self, now: float) -> None:
        self._line += 1
        self._line_began_at = now
        self._words.clear()

    def _can_follow(self, asked_at: float, found: C) -> bool:
        """Whether no word that named the key came while it was being read: it may be older than the word."""
        if self.position is None or asked_at < max(self._line_began_at, time.monotonic() - _LONGEST_READING):
            return False
        return not any(word.heard_at > asked_at and _is_named(found, word.changes) for word in self._words)


def _is_named(found: OfKey, changes: Changes) -> bool:
    return found.key_id in changes.keys or found.tenant_id in changes.tenants
