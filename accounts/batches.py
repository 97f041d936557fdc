"""Reading many small things together: what is asked for while one reading is under way goes together into the next.

One query for a thousand keys costs a fraction of a thousand queries, and nobody waits longer for it than for his own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, Generic, TypeVar

from accounts import database
from accounts.errors import ServiceUnavailable

K = TypeVar("K")
V = TypeVar("V")

MOST_IN_BATCH: Final = 500
"""SQLite takes 999 values in a statement where it was built long ago (https://www.sqlite.org/limits.html)."""
PAUSE: Final = 0.005
"""Seconds from the start of one reading to that of the next: what comes singly is read at once, what comes often waits
for company."""

Found = tuple[float, V | None]
"""When it was asked for (monotonic), which is when it was true; and what there was, if anything."""


class Batches(Generic[K, V]):
    """A lane of readings, one at a time, in threads of its own: no other lane waits for it."""

    def __init__(self, threads: ThreadPoolExecutor, read: Callable[[Sequence[K]], Mapping[K, V]]) -> None:
        self._read = read
        self._threads = threads
        self._waiting: dict[K, asyncio.Future[Found[V]]] = {}
        self._under_way: dict[K, asyncio.Future[Found[V]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._began_at = 0.0

    def __contains__(self, key: K) -> bool:
        return key in self._waiting or key in self._under_way

    def ask(self, key: K) -> asyncio.Future[Found[V]]:
        """What there is under a key, one answer for all who ask meanwhile; to be shielded by whoever awaits it.

        It ends in ServiceUnavailable if the database fails.
        """
        future = self._waiting.get(key) or self._under_way.get(key)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._waiting[key] = loop.create_future()
            if self._task is None:
                self._task = loop.create_task(self._run())
        return future

    async def _run(self) -> None:
        try:
            while self._waiting:
                pause = self._began_at + PAUSE - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                self._began_at = time.monotonic()
                self._under_way = {key: self._waiting.pop(key) for key in list(islice(self._waiting, MOST_IN_BATCH))}
                await self._answer(self._under_way)
                self._under_way = {}
        finally:
            self._task = None

    async def _answer(self, asked: Mapping[K, asyncio.Future[Found[V]]]) -> None:
        """One that cannot be read does not keep its neighbours from being read."""
        asked_at = time.monotonic()
        try:
            found = await database.read_in(self._threads, self._read, list(asked))
        except ServiceUnavailable as error:
            _fail(asked, error)
        except Exception as error:  # noqa: BLE001 - a fault in a row: it is its own key's
            if len(asked) == 1:
                return _fail(asked, error)
            for key, future in asked.items():
                await self._answer({key: future})
        else:
            for key, future in asked.items():
                if not future.done():
                    future.set_result((asked_at, found.get(key)))


def _fail(asked: Mapping[K, asyncio.Future[Found[V]]], error: Exception) -> None:
    for future in asked.values():
        if not future.done():
            future.set_exception(error)
            future.exception()  # nobody may be left to hear of it, and that is no reason to log it
