"""How the gateway grows: what a request, a rebuild or a process costs where there is much of something.

Each curve is printed as it is measured, its bar at the end. The gateway has core 0 to itself; load and stores share
core 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from bench import command, results
from bench.gateways import Books, Running, open_books, open_stand, start_gateway
from bench.growth import candidates, catalogue, clients, connections, hostile, keys, messages
from bench.processes import Fleet
from bench.results import Bar

CURVES = ("active", "flood", "candidates", "prices", "clients", "connections", "messages", "hostile")


def main() -> int:
    made = command.parser("bench.growth", __doc__)
    words = f"of {', '.join(CURVES)} and table (a million idle keys)"
    made.add_argument("--only", default=",".join(CURVES), help=words)
    return command.run(made, _main)


def _main(options: argparse.Namespace) -> int:
    only, seconds = set(options.only.split(",")), 4 if options.quick else 10
    nginx, stream, postgresql, redis, port = range(options.port, options.port + 5)
    with Fleet() as fleet:
        stand = open_stand(fleet, postgresql_port=postgresql, redis_port=redis, json_port=nginx, stream_port=stream)
        books = open_books(fleet, stand)
        gateway = start_gateway(fleet, books, port=port)
        bars = list(_measured(only, fleet, gateway, books, seconds))
        if "hostile" in only:
            bars += hostile.measure(start_gateway(fleet, books, port=port + 1, is_watched=True), books)
    return results.show_bars(bars)


def _measured(only: set[str], fleet: Fleet, gateway: Running, books: Books, seconds: float) -> Iterator[Bar]:
    files = keys.Files(fleet.folder, books)
    if "messages" in only:
        yield from messages.measure(books)
    if only & {"active", "table"}:
        yield from keys.measure_active(gateway, files, seconds)
    if "table" in only:
        results.progress(f"{keys.TABLE} idle keys")
        books.checkout.run("-m", "bench.books", "idle", str(keys.TABLE), env=books.env, seconds=600)
        yield from keys.measure_active(gateway, files, seconds, beside=f", {keys.TABLE} in the table")
    if "flood" in only:
        yield from keys.measure_floods(gateway, files, seconds)
    if "clients" in only:
        yield from clients.measure(gateway, files, seconds)
    if "connections" in only:
        yield from connections.measure(gateway, books, files, seconds)
    if "candidates" in only:
        yield from candidates.measure(gateway, books, files, seconds)
    if "prices" in only:
        yield from catalogue.measure(books, seconds)


if __name__ == "__main__":
    sys.exit(main())
