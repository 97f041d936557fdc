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
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="reader")


async def read(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`function(*args)` in a reader thread; raises ServiceUnavailable if the database fails, or does not answer."""

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
            return await asyncio.get_running_loop().run_in_executor(_threads, run)
    except TimeoutError:
        raise ServiceUnavailable from None
