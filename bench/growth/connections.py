"""Connections to PostgreSQL: a process has as many whatever is asked of it at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import psycopg

from bench.gateways import Books, Running
from bench.growth.keys import Files, flood
from bench.results import Bar

PAGES: Final = (1, 16, 64, 256)
"""Browsers at once."""
AT_MOST: Final = 21
"""What docs/runbook.md tells operators to count with for each process."""
_PAGE: Final = b"GET /portal/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncookie: sessionid=%s\r\nconnection: close\r\n\r\n" % (
    b"a" * 32
)
_PIDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def measure(gateway: Running, books: Books, files: Files, seconds: float) -> Iterator[Bar]:
    most = 0
    for pages in PAGES:
        with flood(gateway, files, 32, seconds):
            held = asyncio.run(_most_held(books, gateway.target.port, pages, seconds))
        most = max(most, held)
        print(f"{pages:8} pages at once beside a flood of keys: {held} connections to PostgreSQL", flush=True)
    yield Bar("connections of one process", most, at_most=AT_MOST)


async def _most_held(books: Books, port: int, pages: int, seconds: float) -> int:
    """By the gateway, while so many browsers read one page after the other."""
    browsers = [asyncio.create_task(_browse(port)) for _browser in range(pages)]
    try:
        return await asyncio.to_thread(_watch, books.env["DATABASE_URL"], seconds)
    finally:
        for browser in browsers:
            browser.cancel()
        await asyncio.gather(*browsers, return_exceptions=True)


def _watch(database_url: str, seconds: float) -> int:
    """Those that are there in two looks, one after the other: a page's that has been closed ends a moment later."""
    most, before, end = 0, set[int](), time.monotonic() + seconds
    with psycopg.connect(database_url, autocommit=True) as connection:
        while time.monotonic() < end:
            there = {int(pid) for (pid,) in connection.execute(_PIDS)}
            most, before = max(most, len(there & before)), there
            time.sleep(0.02)
    return most


async def _browse(port: int) -> None:
    """A page again and again, whose session is looked up in the database."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_PAGE)
            await reader.read(-1)
            writer.close()
