"""Reading the database off the event loop.

The API plane never waits for the database on the loop's own thread. What it must read (a key that is not cached, a
new catalogue) is read in a small pool of threads; a database that is away becomes ServiceUnavailable, never a 401.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from django.db import Error, connection

from accounts.errors import ServiceUnavailable

P = ParamSpec("P")
R = TypeVar("R")

_PATIENCE: Final = 3.0
READERS: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="reader")
REPORTERS: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="report")
KNOWN_KEYS: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="known-keys")
UNKNOWN_KEYS: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="unknown-keys")


async def read(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`function(*args)` in a reader thread; raises ServiceUnavailable if the database fails, or does not answer."""
    return await read_in(READERS, function, *args, **kwargs)


async def report(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same for what may take long: it never keeps the reading of a key waiting."""
    return await read_in(REPORTERS, function, *args, **kwargs)


async def read_in(threads: ThreadPoolExecutor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same in one of these threads."""

    def run() -> R:
        try:
            return function(*args, **kwargs)
        except Error:
            connection.close()  # it may only have been the connection that is gone
        try:
            return function(*args, **kwargs)
        except Error as error:
            connection.close()
            raise ServiceUnavailable from error

    try:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.get_running_loop().run_in_executor(threads, run)
    except TimeoutError:
        raise ServiceUnavailable from None
