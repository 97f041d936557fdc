"""Keys in use, in the cache of one process: as apps use them, and as somebody changes them meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from django.db import connection

from accounts import keys
from accounts.callers import Caller, Legs
from accounts.key_cache import KeyCache
from accounts.key_rows import KeyRow
from accounts.keys import IssuedKey
from accounts.models import Tenant

OUT_WITHIN = 2.0
"""Seconds after which a change holds everywhere."""


def issue() -> IssuedKey:
    return keys.issue(tenant=Tenant.objects.create(name="Alice Ltd"), name="production")


class Counting:
    """Legs of nobody, and how often each key was read."""

    def __init__(self) -> None:
        self.reads: Counter[int] = Counter()

    def __call__(self, rows: Sequence[KeyRow]) -> Mapping[int, Legs]:
        self.reads.update(row.pk for row in rows)
        return {}


def run(story: Callable[[], Awaitable[Any]]) -> Any:
    async def play() -> Any:
        return await story()

    return asyncio.run(play())


async def begin(cache: KeyCache, issued: IssuedKey) -> None:
    """Uses a key, and waits until the process listens."""
    assert await find(cache, issued) is not None
    while cache._callers.position is None:
        assert cache._listening is not None
        await asyncio.wait((cache._listening,))


async def use(cache: KeyCache, seconds: float, *issued: IssuedKey) -> None:
    """Asks for each key some thirty times a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for each in issued:
            assert await find(cache, each) is not None
        await asyncio.sleep(0.03)


async def find(cache: KeyCache, issued: IssuedKey) -> Caller | None:
    """As a request does."""
    return cache.at_hand(issued.secret) or await cache.find(issued.secret)


async def seconds_until(cache: KeyCache, issued: IssuedKey, holds: Callable[[Caller | None], bool]) -> float:
    """How long a key that is in use goes on as before."""
    began = time.monotonic()
    while True:
        if holds(await find(cache, issued)):
            return time.monotonic() - began
        await asyncio.sleep(0.02)


def is_out(caller: Caller | None) -> bool:
    return caller is not None and not caller.is_key_usable


def write(change: Callable[[], object]) -> None:
    change()
    connection.close()


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
