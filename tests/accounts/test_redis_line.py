"""The line to Redis that rate limits are asked over."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast
from urllib.parse import urlsplit

import pytest
import redis
from redis.exceptions import ConnectionError, NoScriptError, ResponseError  # noqa: A004 - its own name for it

from accounts.redis_line import RedisLine
from tests.certificates import certificate_for_loopback
from tests.wires import Wire
from tests.worlds import redis_database

Story = Callable[[RedisLine], Awaitable[None]]


@pytest.fixture
def wire(redis_url: str) -> Iterator[Wire]:
    """An empty Redis at the end of a wire."""
    made = Wire(redis_url)
    yield made
    made.cut()


def play(url: str, story: Story, seconds: float = 2.0) -> None:
    async def run() -> None:
        line = RedisLine(url, seconds)
        try:
            await story(line)
        finally:
            line.close()

    asyncio.run(run())


def test_answers_come_whole_whatever_their_size(redis_url: str) -> None:
    async def story(line: RedisLine) -> None:
        assert await line.ask("EVAL", "return ARGV[1]", 0, b"\x00\xff short") == b"\x00\xff short"
        assert await line.ask("EVAL", "return string.rep('x', 3000000)", 0) == b"x" * 3_000_000
        assert await line.ask("EVAL", "return {1, 'two', false}", 0) == [1, b"two", None]

    play(redis_url, story)


def test_the_urls_database_is_the_one_that_is_asked() -> None:
    url = redis_database(7)
    with redis.Redis.from_url(url) as client:
        client.set("whose", "seven", px=60_000)

    async def story(line: RedisLine) -> None:
        assert await line.ask("GET", "whose") == b"seven"

    play(url, story)


def test_what_redis_refuses_is_raised_and_the_line_goes_on(redis_url: str) -> None:
    async def story(line: RedisLine) -> None:
        with pytest.raises(NoScriptError):
            await line.ask("EVALSHA", "0" * 40, 0)
        with pytest.raises(ResponseError, match="unknown command"):
            await line.ask("NOTHING")
        assert await line.ask("PING") == b"PONG"

    play(redis_url, story)


def test_wrong_password_is_raised_at_every_call(redis_url: str) -> None:
    parts = urlsplit(redis_url)

    async def story(line: RedisLine) -> None:
        for _ in range(2):
            with pytest.raises(ResponseError, match="WRONGPASS"):
                await line.ask("PING")

    play(f"redis://somebody:else@{parts.hostname}:{parts.port}/0", story)


def test_line_that_redis_closed_while_nothing_was_asked_is_made_again(redis_url: str) -> None:
    async def story(line: RedisLine) -> None:
        mine = await line.ask("CLIENT", "ID")
        with redis.Redis.from_url(redis_url) as client:
            client.client_kill_filter(_id=mine)
        await asyncio.sleep(0.1)
        assert await line.ask("CLIENT", "ID") > mine

    play(redis_url, story)


@pytest.mark.parametrize(("fault", "error"), [("cut", ConnectionError), ("hold_still", TimeoutError)])
def test_silence_and_hanging_up_are_raised_and_the_next_call_begins_anew(
    wire: Wire, fault: str, error: type[Exception]
) -> None:
    async def story(line: RedisLine) -> None:
        assert await line.ask("PING") == b"PONG"
        asking = asyncio.ensure_future(line.ask("BLPOP", "nothing", 30))
        await asyncio.sleep(0.05)
        getattr(wire, fault)()
        with pytest.raises(error):
            await asking
        wire.mend()
        assert await line.ask("PING") == b"PONG"

    play(wire.url, story, seconds=0.3)


def test_nobody_gets_the_answer_of_one_who_left(redis_url: str) -> None:
    async def story(line: RedisLine) -> None:
        await line.ask("PING")
        asking = asyncio.ensure_future(line.ask("EVAL", "return 'first'", 0))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        assert await line.ask("EVAL", "return 'second'", 0) == b"second"

    play(redis_url, story)


def test_what_is_no_redis_is_raised() -> None:
    async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        line = RedisLine(f"redis://127.0.0.1:{port}/0", 1.0)
        with pytest.raises(ConnectionError):
            await line.ask("PING")
        server.close()

    asyncio.run(run())


def test_socket_of_the_file_system(redis_url: str) -> None:
    async def run(path: Path) -> None:
        front = Front(redis_url)
        async with (
            await asyncio.start_unix_server(front, path),
            front.line(f"unix://:{urlsplit(redis_url).password}@{path}?db=3") as line,
        ):
            assert await line.ask("PING") == b"PONG"

    with TemporaryDirectory() as folder:  # a socket's path has room for a hundred letters
        asyncio.run(run(Path(folder) / "redis.sock"))


def test_tls_is_spoken_to_whom_the_certificate_names_and_to_nobody_else(redis_url: str, tmp_path: Path) -> None:
    certificate = certificate_for_loopback(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    password = urlsplit(redis_url).password

    async def run() -> None:
        front = Front(redis_url)
        server = await asyncio.start_server(front, "127.0.0.1", 0, ssl=context)
        url = f"rediss://:{password}@127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        stranger = RedisLine(url, 1.0)
        with pytest.raises(ssl.SSLCertVerificationError):
            await stranger.ask("PING")
        async with server, front.line(f"{url}?ssl_ca_certs={certificate}") as line:
            assert await line.ask("PING") == b"PONG"

    asyncio.run(run())


class Front:
    """A server in front of Redis that hands on what it gets."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        parts = urlsplit(self._url)
        ours, theirs = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(_pump(reader, theirs), _pump(ours, writer))

    @asynccontextmanager
    async def line(self, url: str) -> AsyncIterator[RedisLine]:
        """A line that is reached by the front, until both are closed."""
        line = RedisLine(url, 1.0)
        yield line
        line.close()
        await asyncio.wait(self._tasks, timeout=5)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
    sink.close()
