"""Connections of clients: what a request costs where many of them are open, busy or silent."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench import machine
from bench.gateways import Running
from bench.growth.keys import Files, load
from bench.results import Bar

OPEN: Final = (1, 32, 256, 1_000)
_KEYS: Final = 32
_BUSY: Final = 32
"""Connections that ask beside silent ones."""
_SILENT: Final = b"GET /health/live HTTP/1.1\r\nhost: bench\r\n\r\n"
"""What each of those has asked before: one that never did is closed after half a minute."""


def measure(gateway: Running, files: Files, seconds: float) -> Iterator[Bar]:
    load(gateway, files.issued(_KEYS), files.body, seconds=3)
    busy = {count: _cost(gateway, files, seconds, connections=count) for count in OPEN}
    _show("that ask", busy)
    silent = {}
    for count in OPEN:
        with _silent(gateway.target.port, count):
            silent[count] = _cost(gateway, files, seconds, connections=_BUSY)
    _show(f"that are silent beside {_BUSY} that ask", silent)
    yield Bar(f"{max(OPEN)} connections that ask, times {_BUSY}", busy[max(OPEN)] / busy[_BUSY], at_most=1.25)
    yield Bar(f"{max(OPEN)} silent connections, times one", silent[max(OPEN)] / silent[1], at_most=1.25)


def _show(which: str, costs: dict[int, float]) -> None:
    for count, cost in costs.items():
        print(f"{count:8} connections {which}: {cost:7.0f} us a request", flush=True)


def _cost(gateway: Running, files: Files, seconds: float, *, connections: int) -> float:
    """Microseconds of the gateway's processor time; raises AssertionError unless every request was answered well."""
    with machine.Meter(gateway.server) as meter:
        statuses = load(gateway, files.issued(_KEYS), files.body, seconds=seconds, connections=connections)
    assert set(statuses) == {200}, statuses
    return meter.cpu_seconds * 1e6 / statuses[200]


@contextmanager
def _silent(port: int, count: int) -> Iterator[None]:
    """So many connections that are open and say nothing more, as clients keep them."""
    with ExitStack() as stack:
        for _connection in range(count):
            wire = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            wire.sendall(_SILENT)
            assert wire.recv(4096).startswith(b"HTTP/1.1 200 ")
        time.sleep(0.5)
        yield
