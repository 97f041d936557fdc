"""Whole answers to requests that carried an idempotency key, at hand for a while: a repetition gets the first's answer.

In this process's memory alone, and bounded: nothing of money depends on it. What is not at hand here is answered with
the first request's id.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec

from routing.pipeline.call import WholeReply

MOST_ANSWERS: Final = 2_000
MOST_BYTES: Final = 32 * 1024 * 1024
LARGEST: Final = 4 * 1024 * 1024
SECONDS: Final = 600.0
"""How long an answer's text is kept: retries come within seconds, and texts are not ours to keep."""


class _Kept(msgspec.Struct, frozen=True):
    reply: WholeReply
    until: float


class Answers:
    """The answers by their request's id, the oldest first."""

    def __init__(
        self,
        *,
        most: int = MOST_ANSWERS,
        most_bytes: int = MOST_BYTES,
        largest: int = LARGEST,
        seconds: float = SECONDS,
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._largest = largest
        self._seconds = seconds
        self._kept: dict[str, _Kept] = {}
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, request_id: str, reply: WholeReply) -> None:
        """Called on the event loop; an answer that is too large is let go."""
        size = len(reply.body)
        if size > self._largest:
            return
        # The headers are copied: whoever sends the reply adds its own to them.
        self._kept[request_id] = _Kept(
            WholeReply([*reply.headers], reply.body, reply.media), time.monotonic() + self._seconds
        )
        self._bytes += size
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._drop_oldest()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._forget)

    def find(self, request_id: str) -> WholeReply | None:
        """The answer to this request, if it is still at hand."""
        kept = self._kept.get(request_id)
        return kept.reply if kept is not None and kept.until > time.monotonic() else None

    def _forget(self) -> None:
        """Lets go of what is too old, and comes back when the next answer will be."""
        self._timer, now = None, time.monotonic()
        while self._kept and (until := next(iter(self._kept.values())).until) <= now:
            self._drop_oldest()
        if self._kept:
            self._timer = asyncio.get_running_loop().call_later(until - now, self._forget)

    def _drop_oldest(self) -> None:
        request_id = next(iter(self._kept))
        self._bytes -= len(self._kept.pop(request_id).reply.body)
