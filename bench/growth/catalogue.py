"""A thousand routes whose prices have a history: what a rebuild of the catalogue costs, and whether heartbeats wait."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Final

import psycopg

from bench.gateways import Books
from bench.results import Bar

ROUTES: Final = 1_000
VERSIONS: Final = (1, 10, 50, 200)
_BEAT_SECONDS: Final = 4.0
"""HEARTBEAT_SECONDS, by default."""
_AGE = "SELECT max(extract(epoch FROM clock_timestamp() - heartbeat_at)) FROM billing_process"
_CHANGE = "UPDATE routing_route SET is_enabled = is_enabled WHERE false"
"""The trigger is a statement's: the catalogue's version moves."""


def measure(books: Books, seconds: float) -> Iterator[Bar]:
    taken: dict[int, float] = {}
    for versions in VERSIONS:
        arguments = ("-m", "bench.growth.inside", "versions", str(ROUTES), str(versions))
        taken[versions] = json.loads(books.checkout.run(*arguments, env=books.env, seconds=600))
        print(f"{versions:8} versions of {ROUTES} routes' prices: rebuilt in {taken[versions]:7.0f} ms", flush=True)
    yield Bar(f"a rebuild after {VERSIONS[-1]} versions, times one", taken[VERSIONS[-1]] / taken[1], at_most=1.2)
    oldest = _oldest_heartbeat(books, max(seconds, 3 * _BEAT_SECONDS))
    print(f"         the oldest heartbeat while the catalogue is rebuilt all the time: {oldest:.1f} s", flush=True)
    yield Bar("the oldest heartbeat meanwhile, s", oldest, at_most=_BEAT_SECONDS + 1)


def _oldest_heartbeat(books: Books, seconds: float) -> float:
    """In seconds, while every look at the catalogue finds it changed."""
    oldest, end = 0.0, time.monotonic() + seconds
    with psycopg.connect(books.env["DATABASE_URL"], autocommit=True) as connection:
        while time.monotonic() < end:
            connection.execute(_CHANGE)
            row = connection.execute(_AGE).fetchone()
            assert row is not None
            oldest = max(oldest, float(row[0]))
            time.sleep(0.1)
    return oldest
