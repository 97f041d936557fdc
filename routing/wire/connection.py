"""One connection to an upstream and the exchange on it: HTTP/1.1 over asyncio, parsed by httptools."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final, Protocol

import httptools

from routing.wire.answer import MAX_BODY_BYTES, PAUSE_BYTES, Fault, Timeouts, UpstreamFault
from routing.wire.deadlines import Deadlines

MAX_HEAD_BYTES: Final = 64 * 1024
HANG_UP_SECONDS: Final = 0.25
STALE_SECONDS: Final = 1.0
"""A kept connection that had ended before a request shows it within the way there and back."""
_CODINGS: Final = re.compile(rb"gzip|compress|deflate|br\b|zstd|dcb|dcz|aws-chunked|exi")
"""The content codings there are (IANA's registry); servers write `none`, or an alphabet's name, where none is meant."""

_DEAF: Final = httptools.HttpResponseParser(object())
"""Of connections that are closed: it calls nobody, and is not called.

A connection's own holds its methods, a circle that only the garbage collector would find.
"""

Key = tuple[str, str, int]
"""Scheme, host and port."""


class Pool(Protocol):
    """Who keeps the connections that nobody uses."""

    deadlines: Deadlines

    def keep(self, key: Key, transport: Any, loop: asyncio.AbstractEventLoop) -> None: ...
    def forget(self, key: Key, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """One exchange on a connection; the parser calls the on_* methods, two of which are those of plain containers.

    A connection that is kept goes on as a new object: whoever still has the old one cannot reach the next exchange.
    """

    idle_since = 0.0
    has_head = False
    status = 0
    headers: dict[bytes, bytes]
    _waiter: asyncio.Future[None] | None = None
    _buffered = 0
    """Bytes that brought the part of the body that is not read yet."""
    _bodiless = 0
    """Bytes since then: heads, trailers, framing."""
    _has_bytes = False
    _is_paused = False
    _is_complete = False
    _has_length = False
    _may_be_kept = False
    _is_hung_up = False
    _fault: UpstreamFault | None = None
    _timeouts: Timeouts | None = None
    _heard_at = 0.0
    """Since when the upstream has been silent; it may be for `_patience` seconds, then it is `_late`."""
    _patience = 0.0
    _late: Fault = "first_byte_timeout"
    _ends_at = 0.0

    def __init__(self, pool: Pool, key: Key, loop: asyncio.AbstractEventLoop, kept: Any = None) -> None:
        self._pool = pool
        self._key = key
        self._loop = loop
        self._transport: Any = kept
        self._is_kept = kept is not None
        self._fields: dict[bytes, bytes] = {}
        self.on_header = self._fields.__setitem__
        self._body: list[bytes] = []
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)

    # --- the exchange ---

    def send(self, head: bytes, body: bytes, timeouts: Timeouts, ends_at: float) -> None:
        self._timeouts = timeouts
        self._ends_at = ends_at
        self._heard_at = self._loop.time()
        self._patience = timeouts.first_byte
        # At the shorter of both silences, so that the first byte need not move it.
        self._pool.deadlines.set(self, min(self._heard_at + timeouts.shortest, ends_at))
        self._transport.writelines((head, body)) if len(body) > 65536 else self._transport.write(head + body)

    async def send_more(self, pieces: tuple[bytes, ...]) -> None:
        """Others have their turn between the pieces: TLS encrypts each as it is written."""
        for piece in pieces:
            if not self.is_open:
                return
            self._transport.write(piece)
            await asyncio.sleep(0)

    async def read(self) -> bytes:
        while not self._is_complete:
            if self._buffered > MAX_BODY_BYTES:
                self._fail(UpstreamFault("invalid_response", "the answer is too large"))
            if self._is_paused:
                self._resume()
            await self.news()
        return self._take()

    async def next(self, timeout: float | None = None) -> bytes | None:
        if not self._body and not self._is_complete:
            if timeout is None:
                await self.news()
            else:
                await self._news_within(timeout)
            if not self._body and self._fault is not None:  # what came before the fault is read first
                raise self._fault.again()
        if not self._body:
            return None if self._is_complete else b""
        data = self._take()
        if self._is_paused:
            self._resume()
        return data

    def _take(self) -> bytes:
        body = self._body
        data = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        self._buffered = 0
        return data

    def hang_up(self) -> None:
        """Says that we are leaving; what the upstream had sent by the time it noticed is still read, for a moment."""
        if self._is_complete or self._fault is not None:
            return
        if not self._transport.can_write_eof():  # TLS has no half-closed state
            self._fail(UpstreamFault("cancelled"))
            return
        self._transport.write_eof()
        self._is_hung_up = True
        self._late = "cancelled"
        self._ends_at = self._loop.time() + HANG_UP_SECONDS
        self._pool.deadlines.set(self, self._deadline)
        if self._is_paused:
            self._resume()

    def close(self) -> None:
        self._pool.deadlines.drop(self)
        if self._may_be_kept and self._fault is None and not self._body:
            transport, self._transport = self._transport, None
            self._may_be_kept = False
            self._pool.keep(self._key, transport, self._loop)
        else:
            self.abort()
            self._fail(UpstreamFault("cancelled"))
            self._timeouts = None  # whatever still comes is nobody's
        self._parser = _DEAF

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def was_stale(self) -> bool:
        """A kept connection that the upstream had closed before it took this request, as the end shows that came."""
        return self._is_kept and not self._has_bytes and self._loop.time() - self._heard_at < STALE_SECONDS

    def news(self) -> asyncio.Future[None]:
        """Done when something has arrived, or happened; raises the fault that has happened already."""
        if self._fault is not None:
            raise self._fault.again()
        self._waiter = self._loop.create_future()
        return self._waiter

    async def _news_within(self, seconds: float) -> None:
        wake_up = self._loop.call_later(seconds, self.wake)
        try:
            await self.news()
        finally:
            wake_up.cancel()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, fault: UpstreamFault) -> None:
        if self._fault is None and not self._is_complete:
            self._fault = fault
            self.abort()
            self.wake()

    def look(self, now: float) -> float | None:
        """Data only moves the deadline, which is looked at when the one before is over."""
        if self._is_paused:  # the reader is slow, not the upstream
            self._heard_at = now
        if now < self._deadline:
            return self._deadline
        is_over = now >= self._ends_at and self._late != "cancelled"
        self._fail(UpstreamFault("total_timeout" if is_over else self._late))
        return None

    @property
    def _deadline(self) -> float:
        return min(self._heard_at + self._patience, self._ends_at)

    def _resume(self) -> None:
        self._is_paused = False
        if self.is_open:
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    # --- asyncio's callbacks ---

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._timeouts is None or self._is_complete:  # nobody asked: not a connection to keep
            self.abort()
            return
        self._heard_at = self._loop.time()
        if not self._has_bytes:
            self._begin(self._timeouts)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._may_be_kept = False
            self._fail(UpstreamFault("invalid_response", f"not HTTP: {type(error).__name__}"))
            self.wake()
            return
        if self._body:
            self._bodiless = 0
            self._buffered += len(data)
            if self._buffered > PAUSE_BYTES and not self._is_paused and not self._is_complete:
                self._is_paused = True
                self._transport.pause_reading()
        else:
            self._bodiless += len(data)
            if self._bodiless > MAX_HEAD_BYTES:
                self._fail(UpstreamFault("invalid_response", "the headers are too large"))
        self.wake()

    def _begin(self, timeouts: Timeouts) -> None:
        """The first byte is here: from now on the upstream may be silent for another while."""
        self._has_bytes = True
        self._patience = timeouts.idle
        if self._late != "cancelled":
            self._late = "idle_timeout"

    def eof_received(self) -> bool:
        if self.has_head and not self._has_length:
            self._is_complete = True  # a body that ends with its connection
            self.wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self._key, self)
        self._parser = _DEAF
        if self._timeouts is not None:
            self._fail(UpstreamFault("broken_stream", type(exc).__name__ if exc else "closed by the upstream"))

    # --- httptools' callbacks ---

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise ValueError("a second answer to one request")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:  # an interim answer (RFC 9110, section 15.2)
            self._fields.clear()
            return
        # A copy: trailers, which nobody reads, still come in.
        self.headers = headers = {name.lower(): value for name, value in self._fields.items()}
        self._has_length = b"content-length" in headers or b"chunked" in headers.get(b"transfer-encoding", b"").lower()
        if b"content-encoding" in headers and _CODINGS.search(headers[b"content-encoding"].lower()):
            self._fail(UpstreamFault("invalid_response", "the answer is encoded although identity was asked for"))
            return
        self.has_head = True

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self._is_complete = True
            # llhttp forgets it after this callback; what is half closed takes no other request.
            self._may_be_kept = self._parser.should_keep_alive() and not self._is_hung_up
