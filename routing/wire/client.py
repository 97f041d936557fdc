"""The hot path's HTTP client: HTTP/1.1 over asyncio, parsed by httptools.

What it does that a gateway needs and general clients do not together: timeouts for connecting, for the first byte,
between bytes and in all; an abort that closes the connection at once; back-pressure; a connection made to the very
address that was checked. What it does not do, on purpose: redirects, cookies, proxies, decompression. ADR 0002 has the
figures.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from routing.wire import addresses
from routing.wire.addresses import ForbiddenAddress, Network, Origin
from routing.wire.answer import Answer, Timeouts, UpstreamFault
from routing.wire.connection import Connection, Key
from routing.wire.deadlines import Deadlines

IDLE_CONNECTION_SECONDS: Final = 30.0
ADDRESS_SECONDS: Final = 30.0
_MOST_IDLE: Final = 1024
"""To one upstream. A thousand requests that end at once are followed by as many, which would each connect anew."""


def _nothing() -> None:
    pass


class Client:
    """Connections to upstreams, kept open between requests."""

    def __init__(self, networks: Sequence[Network], *, idle_seconds: float = IDLE_CONNECTION_SECONDS) -> None:
        self._networks = networks
        self._idle_seconds = idle_seconds
        self.deadlines = Deadlines()
        """Of the exchanges under way."""
        self._idle: defaultdict[Key, deque[Connection]] = defaultdict(deque)
        self._sweep: asyncio.TimerHandle | None = None
        """When those that have waited too long are next let go of, as long as any wait."""
        self._addresses: dict[Key, tuple[float, list[str]]] = {}
        self._tls: ssl.SSLContext | None = None

    async def post(
        self,
        origin: Origin,
        path: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
        timeouts: Timeouts,
        when_sent: Callable[[], None] = _nothing,
        pieces: tuple[bytes, ...] = (),
    ) -> Answer:
        """Sends the request, the pieces behind its body; returns when the answer's headers are in.

        Raises UpstreamFault.
        `when_sent` is called when there is a connection and the request is on its way.
        """
        ends_at = time.monotonic() + timeouts.total  # the loop's own clock
        length = len(body) + sum(map(len, pieces)) if pieces else len(body)
        head = _head(origin, path, headers) + f"content-length: {length}\r\n\r\n".encode()
        connection = self._take(origin) or await self._connect(origin, timeouts)
        while True:
            connection.send(head, body, timeouts, ends_at)
            when_sent()
            try:
                if pieces:
                    await connection.send_more(pieces)
                while not connection.has_head:
                    await connection.news()
                return connection
            except UpstreamFault as fault:
                connection.close()
                if not (fault.fault == "broken_stream" and connection.was_stale):
                    raise
                connection = await self._connect(origin, timeouts)  # once: a new one is never stale
            except BaseException:
                connection.close()
                raise

    def _take(self, origin: Origin) -> Connection | None:
        idle = self._idle[origin.scheme, origin.host, origin.port]
        oldest = time.monotonic() - self._idle_seconds
        while idle:
            connection = idle.pop()
            if connection.is_open and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    def keep(self, key: Key, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Keeps a connection for the next request, if that does not take too long to come."""
        idle = self._idle[key]
        if len(idle) >= _MOST_IDLE or transport.is_closing():
            transport.abort()
            return
        connection = Connection(self, key, loop, kept=transport)
        connection.idle_since = time.monotonic()
        transport.set_protocol(connection)
        idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle_seconds, self._let_go, loop)

    def _let_go(self, loop: asyncio.AbstractEventLoop) -> None:
        """Of all that have waited too long, at whatever upstream nothing is asked of any more."""
        oldest = time.monotonic() - self._idle_seconds
        for key, idle in list(self._idle.items()):
            while idle and idle[0].idle_since <= oldest:
                idle.popleft().abort()
            if not idle:
                del self._idle[key]
        self._sweep = loop.call_later(self._idle_seconds / 6, self._let_go, loop) if self._idle else None

    def forget(self, key: Key, connection: Connection) -> None:
        idle = self._idle.get(key)
        if idle and connection in idle:
            idle.remove(connection)

    async def _connect(self, origin: Origin, timeouts: Timeouts) -> Connection:
        try:
            async with asyncio.timeout(timeouts.connect):
                return await self._connect_any(origin)
        except TimeoutError:
            raise UpstreamFault("connect_timeout") from None

    async def _connect_any(self, origin: Origin) -> Connection:
        """Tries the permitted addresses in order."""
        key = (origin.scheme, origin.host, origin.port)
        loop = asyncio.get_running_loop()
        secure: dict[str, Any] = (
            {"ssl": self._context(), "server_hostname": origin.host} if origin.scheme == "https" else {}
        )
        fault = UpstreamFault("connect_failed", "no address")
        for address in await self._resolve(key, origin):
            try:
                _transport, connection = await loop.create_connection(
                    lambda: Connection(self, key, loop), address, origin.port, **secure
                )
                return connection
            except ssl.SSLError as error:
                fault = UpstreamFault("tls_failed", error.reason or "TLS")
            except OSError as error:
                fault = UpstreamFault("connect_failed", type(error).__name__)
        raise fault

    async def _resolve(self, key: Key, origin: Origin) -> list[str]:
        """The addresses that a connection may be made to, asked again every half minute."""
        resolved_at, found = self._addresses.get(key, (0.0, []))
        if found and time.monotonic() - resolved_at < ADDRESS_SECONDS:
            return found
        try:
            found = await addresses.resolve(origin, self._networks)
        except ForbiddenAddress as error:
            raise UpstreamFault("connect_failed", f"forbidden address: {error}") from None
        except OSError as error:
            raise UpstreamFault("connect_failed", f"the host name did not resolve: {type(error).__name__}") from None
        self._addresses[key] = (time.monotonic(), found)
        return found

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._tls

    def close(self) -> None:
        """Closes the connections nobody uses."""
        if self._sweep is not None:
            self._sweep.cancel()
        for idle in self._idle.values():
            while idle:
                idle.pop().abort()


@lru_cache(maxsize=256)
def _head(origin: Origin, path: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """The request's head but for its length, made from nothing but what we chose; the same for many requests.

    Raises UpstreamFault for what no header can carry.
    """
    lines = [f"POST {origin.path}{path} HTTP/1.1", f"host: {origin.authority}"]
    lines += [f"{name}: {value}" for name, value in headers]
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) - 1 or text.count("\n") != len(lines) - 1 or "\0" in text:
        raise UpstreamFault("connect_failed", "a header has a control character")
    try:
        return f"{text}\r\n".encode("latin-1")
    except UnicodeEncodeError:
        raise UpstreamFault("connect_failed", "a header is not Latin-1") from None
