"""One connection to Redis for the one call that requests wait for: a question, its answer, nothing in between.

redis-py makes a call out of a pool, retries and streams, which cost three times as much (ADR 0017). What a connection
needs (the URL, TLS, who we are) is read by redis-py, what is sent and received by hiredis; here is the line between.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import hiredis
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError, NoScriptError, ResponseError  # noqa: A004 - its own name for it

_CONNECT_SECONDS: Final = 0.25


class RedisLine:
    """Asks Redis one thing at a time, over a connection that is made when it is needed and dropped when it fails."""

    def __init__(self, url: str, seconds: float) -> None:
        """An answer is waited for at most so many seconds."""
        self._pool = ConnectionPool.from_url(url)
        self._seconds = seconds
        self._line: _Line | None = None

    async def ask(self, *words: str | int | bytes) -> Any:
        """The answer to one command.

        Raises NoScriptError, ResponseError, ConnectionError or TimeoutError; after the latter two nobody knows whether
        the command was carried out.
        """
        line = self._line
        if line is None or line.is_lost:
            line = self._line = await self._connect()
        try:
            answer = await line.ask(_packed(words), self._seconds)
        except BaseException:
            # Also where the asker was cancelled: the answer would be taken for the next one's.
            self.close()
            raise
        return _checked(answer)

    def close(self) -> None:
        if self._line is not None:
            self._line.transport.abort()
            self._line = None

    async def _connect(self) -> _Line:
        made: Any = self._pool.make_connection()  # type: ignore[no-untyped-call]
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_SECONDS):
            path, tls = getattr(made, "path", None), getattr(made, "ssl_context", None)
            if path:
                _, line = await loop.create_unix_connection(_Line, path)
            else:
                _, line = await loop.create_connection(_Line, made.host, made.port, ssl=tls.get() if tls else None)
        try:
            for words in _greeting(made):
                _checked(await line.ask(_packed(words), self._seconds))
        except BaseException:
            line.transport.abort()
            raise
        return line


def _packed(words: tuple[str | int | bytes, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub knows tuples of one word only
    return packed


def _greeting(made: Any) -> list[tuple[str | int, ...]]:
    """Who we are, and which database is meant."""
    words: list[tuple[str | int, ...]] = []
    if made.password:
        words.append(("AUTH", made.username, made.password) if made.username else ("AUTH", made.password))
    if made.db:
        words.append(("SELECT", made.db))
    return words


def _checked(answer: Any) -> Any:
    if isinstance(answer, hiredis.ReplyError):
        words = str(answer)
        raise NoScriptError(words) if words.startswith("NOSCRIPT") else ResponseError(words)
    return answer


class _Line(asyncio.Protocol):
    """The connection's own half: what is awaited is one answer."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._answer: asyncio.Future[Any] | None = None
        self.is_lost = False

    def ask(self, data: bytes, seconds: float) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answer = self._answer = loop.create_future()
        if self.is_lost:
            self._fail(ConnectionError("Redis has hung up"))
        else:
            self.transport.write(data)
            timer = loop.call_later(seconds, self._fail, TimeoutError("Redis did not answer in time"))
            answer.add_done_callback(lambda _: timer.cancel())
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            answer = self._reader.gets()
        except hiredis.ProtocolError as error:
            self._fail(ConnectionError(str(error)))
            return
        if answer is not False and self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_lost = True
        self._fail(ConnectionError("Redis has hung up"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
