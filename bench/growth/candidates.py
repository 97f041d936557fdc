"""A model with many routes: what choosing one costs the gateway, and how large a decision it stores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import psycopg

from bench import machine, payloads
from bench.gateways import Books, Running
from bench.growth.keys import Files, load
from bench.processes import BenchmarkError
from bench.results import Bar

ROUTES: Final = (1, 10, 100, 1_000)
_SETTLE_SECONDS: Final = 2.0
"""The last settlements, and a catalogue that is read once a second."""
_SIZE: Final = "SELECT avg(pg_column_size(decision)) FROM billing_usagerecord WHERE requested_model = %s"


def measure(gateway: Running, books: Books, files: Files, seconds: float) -> Iterator[Bar]:
    for count in ROUTES:
        books.checkout.run("-m", "bench.growth.inside", "routes", str(count), env=books.env, seconds=120)
    time.sleep(_SETTLE_SECONDS)
    ours: dict[int, float] = {}
    stored: dict[int, float] = {}
    body = files.body.with_name("candidates.json")
    load(gateway, files.issued(1), files.body, seconds=3)
    for count in ROUTES:
        body.write_bytes(payloads.request_body(f"candidates-{count}"))
        with machine.Meter(gateway.server) as meter:
            statuses = load(gateway, files.issued(1), body, seconds=seconds)
        time.sleep(_SETTLE_SECONDS)
        if set(statuses) != {200}:
            raise BenchmarkError(f"{count} routes: {dict(statuses)}")
        ours[count] = meter.cpu_seconds * 1e6 / statuses[200]
        stored[count] = _stored_bytes(books, f"candidates-{count}")
        print(
            f"{count:8} candidates: {ours[count]:7.0f} us and {stored[count]:7.0f} bytes of decision a request",
            flush=True,
        )
    yield Bar("1,000 candidates, us a request", ours[1_000], at_most=400)
    yield Bar("1,000 candidates' stored decision, times ten's", stored[1_000] / stored[10], at_most=1.5)


def _stored_bytes(books: Books, model: str) -> float:
    """Of the average decision, as PostgreSQL keeps it."""
    with psycopg.connect(books.env["DATABASE_URL"]) as connection:
        row = connection.execute(_SIZE, [model]).fetchone()
    assert row is not None
    return float(row[0])
