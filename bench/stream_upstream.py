"""The constant upstream of streams: `python -m bench.stream_upstream PORT`, a bare protocol over uvloop.

The model's name says how many chunks and how far apart (payloads.StreamShape). Every event is an HTTP chunk of its
own. Without a delay they are all written at once, as an upstream behind a buffering proxy would send them.
"""

from __future__ import annotations

import asyncio
import re
import sys
from functools import lru_cache
from typing import cast

import uvloop

from bench.payloads import StreamShape, shape_of, stream_events

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
_REFUSAL = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WANTS_USAGE = re.compile(rb'"include_usage"\s*:\s*true')


class StreamUpstream(asyncio.Protocol):
    """One connection: requests one after another, each answered by the stream it names."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head)
        if length is None:
            self._refuse()
        elif len(body) >= int(length[1]):
            self._received = b""
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        shape = shape_of(body)
        if shape is None:
            self._refuse()
            return
        frames = _frames(shape, _WANTS_USAGE.search(body) is not None)
        if shape.every_ms:
            self._started = self._loop.time()
            self._transport.write(_HEAD)
            self._send(frames, 0, shape)
        else:
            self._transport.write(b"".join((_HEAD, *frames)))

    def _send(self, frames: tuple[bytes, ...], number: int, shape: StreamShape) -> None:
        """Writes one content chunk and arranges the next; what closes the stream goes out with the last chunk."""
        if number == shape.chunks - 1:
            self._transport.write(b"".join(frames[number:]))
            return
        self._transport.write(frames[number])
        due = self._started + (number + 1) * shape.every_ms / 1000
        self._timer = self._loop.call_at(due, self._send, frames, number + 1, shape)

    def _refuse(self) -> None:
        self._transport.write(_REFUSAL)
        self._transport.close()


@lru_cache
def _frames(shape: StreamShape, with_usage: bool) -> tuple[bytes, ...]:
    events = stream_events(shape, with_usage=with_usage)
    return (*(b"%x\r\n%s\r\n" % (len(event), event) for event in events), b"0\r\n\r\n")


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: StreamUpstream(loop), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
