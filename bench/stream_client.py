"""The load of streams: a bare protocol over uvloop that reads every stream to its end and checks it.

`python -m bench.stream_client` reads one JSON object from standard input (see Order), prints `open` once as many
streams have begun as there are connections, and ends with one JSON line: streams, events and time to the first byte.
It exits with an error unless every answer was 200 with exactly the events its shape promises, the right one last.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Order:
    """What to send: `connections` streams at once, opened over `ramp` seconds, each followed by the next until
    `seconds` have passed; then the open ones are read to their end."""

    port: int
    request: bytes
    events: int
    last: bytes
    """How the last event of a whole answer begins."""
    connections: int
    seconds: float
    ramp: float
    limit: float
    """Seconds until the client gives up."""


@dataclass(slots=True)
class Tally:
    """What came back."""

    streams: int = 0
    events: int = 0
    first_bytes: list[float] = field(default_factory=list)
    """Seconds from the request to the first event of each stream."""


class StreamClient(asyncio.Protocol):
    """One connection: streams one after another until the deadline."""

    def __init__(self, order: Order, tally: Tally, deadline: float, finished: asyncio.Future[None]) -> None:
        self._order = order
        self._tally = tally
        self._deadline = deadline
        self._finished = finished
        self._parts: list[bytes] = []
        self._tail = b""
        self._begun = False
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection closed inside a stream: {exc}")

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if not self._begun and b"data: " in data:
            self._begun = True
            self._tally.first_bytes.append(time.perf_counter() - self._sent)
            if len(self._tally.first_bytes) == self._order.connections:
                print("open", flush=True)
        elif not self._begun and not b"".join(self._parts).startswith(b"HTTP/1.1 200 "):
            self._fail(f"not an answer of 200: {data[:600]!r}")
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        if self._tail == _LAST_CHUNK:
            self._end()

    def _send(self) -> None:
        self._parts = []
        self._tail = b""
        self._begun = False
        self._sent = time.perf_counter()
        self._transport.write(self._order.request)

    def _end(self) -> None:
        events = sse_events(b"".join(self._parts))
        if len(events) != self._order.events or not events[-1].startswith(self._order.last):
            self._fail(f"{len(events)} events instead of {self._order.events}, the last {events[-1:]!r}")
            return
        self._tally.streams += 1
        self._tally.events += len(events)
        if time.monotonic() < self._deadline:
            self._send()
        elif not self._finished.done():
            self._finished.set_result(None)
            self._transport.close()

    def _fail(self, why: str) -> None:
        if not self._finished.done():
            self._finished.set_exception(RuntimeError(why))


def sse_events(answer: bytes) -> list[bytes]:
    """The `data:` lines of a whole chunked HTTP answer; comments, events' names and blank lines are left out."""
    rest = answer.partition(b"\r\n\r\n")[2]
    body = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body.append(rest[:length])
        rest = rest[length + 2 :]
    return [line for line in b"".join(body).split(b"\n") if line.startswith(b"data: ")]


async def load(order: Order) -> Tally:
    loop = asyncio.get_running_loop()
    tally = Tally()
    started = time.monotonic()
    deadline = started + order.seconds
    finished: list[asyncio.Future[None]] = []
    for number in range(order.connections):
        finished.append(loop.create_future())
        await loop.create_connection(
            lambda: StreamClient(order, tally, deadline, finished[-1]), "127.0.0.1", order.port
        )
        if order.ramp:
            due = started + order.ramp * (number + 1) / order.connections
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    await asyncio.gather(*finished)
    return tally


async def main() -> None:
    document: dict[str, Any] = json.load(sys.stdin)
    order = Order(**document | {name: document[name].encode() for name in ("request", "last")})
    tally = await asyncio.wait_for(load(order), order.limit)
    percentiles = statistics.quantiles(tally.first_bytes, n=100, method="inclusive")
    print(
        json.dumps(
            {
                "streams": tally.streams,
                "events": tally.events,
                "first_byte_ms": {"p50": percentiles[49] * 1000, "p99": percentiles[98] * 1000},
            }
        )
    )


if __name__ == "__main__":
    uvloop.run(main())
