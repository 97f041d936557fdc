"""Conversations of many messages: what reading and checking one costs, plain or of content parts."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bench.gateways import Books
from bench.results import Bar


def measure(books: Books) -> Iterator[Bar]:
    printed = books.checkout.run("-m", "bench.growth.inside", "messages", env=books.env, seconds=120)
    taken: dict[str, dict[str, float]] = json.loads(printed)
    for shape, costs in taken.items():
        for number, us in costs.items():
            print(f"{number:>8} messages, {shape}: {us:7.0f} us", flush=True)
        yield Bar(f"1,000 messages, {shape}, each times one of 100", costs["1000"] / costs["100"] / 10, at_most=1.3)
