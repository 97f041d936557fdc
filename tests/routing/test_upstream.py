"""The hot path's HTTP client against servers that answer byte by byte as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from routing.addresses import Origin, networks
from routing.upstream import MAX_BODY_BYTES, PAUSE_BYTES, Answer, Client, Timeouts, UpstreamFault
from tests.servers import free_port
from tests.upstream import silent_port

LOOPBACK = networks(["127.0.0.0/8", "::1/128"])
HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
RUN_SECONDS = 20

Runner = Callable[[Coroutine[Any, Any, None]], None]
Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Runs a coroutine on each of the event loops that the gateway may have."""
    make_loop = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[request.param]

    def run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(asyncio.wait_for(coroutine, RUN_SECONDS))

    return run_on_loop


@dataclass(slots=True)
class Server:
    """What a test knows of its upstream. Each connection is played by the next play, the last play repeats."""

    plays: list[Play]
    origin: Origin
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """A connection was closed by the client's side."""


@contextlib.asynccontextmanager
async def serving(
    *plays: Callable[[Server], Play], tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    server = Server([], Origin("https" if tls else "http", host, free_port(), "/v1"))
    server.plays = [play(server) for play in plays]
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        play = server.plays.pop(0) if len(server.plays) > 1 else server.plays[0]
        server.connections += 1
        try:
            await play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            server.left.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    listener = await asyncio.start_server(serve, "127.0.0.1", server.origin.port, ssl=tls)
    try:
        yield server
    finally:
        listener.close()
        [task.cancel() for task in tasks]
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def read_request(server: Server, reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    server.requests.append(head + await reader.readexactly(length))


def answers(*pieces: bytes, pause: float = 0.0, stays: bool = True) -> Callable[[Server], Play]:
    """Answers each request with these pieces, `pause` seconds apart; then closes unless it stays."""

    def play_of(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(server, reader)
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
                if not stays:
                    return

        return play

    return play_of


def echoes(server: Server) -> Play:
    """Answers with the request's body, a tenth of a second later."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(server, reader)
            body = server.requests[-1].split(b"\r\n\r\n", 1)[1]
            await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    return play


def repeats(head: bytes, piece: bytes) -> Callable[[Server], Play]:
    """Answers with a head and then this piece for ever."""

    def play_of(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(server, reader)
            writer.write(head)
            while True:
                writer.write(piece)
                await writer.drain()

        return play

    return play_of


def seconds(*, connect: float = 2, first_byte: float = 2, idle: float = 2, total: float = 10) -> Timeouts:
    return Timeouts(connect, first_byte, idle, total)


async def ask(
    client: Client, server: Server, body: bytes = b"{}", timeouts: Timeouts | None = None, secret: str = "s"
) -> Answer:
    headers = [("authorization", f"Bearer {secret}")]
    return await client.post(server.origin, "/chat/completions", tuple(headers), body, timeouts or seconds())


async def answer_of(client: Client, server: Server, body: bytes = b"{}") -> bytes:
    """Everything of an exchange; its connection is given back if it may be."""
    answer = await ask(client, server, body)
    try:
        return await answer.read()
    finally:
        answer.close()


@contextlib.asynccontextmanager
async def opened(client: Client) -> AsyncIterator[Client]:
    try:
        yield client
    finally:
        client.close()
        await asyncio.sleep(0.01)


# --- framing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "stays"),
    [
        pytest.param(HELLO, True, id="content length"),
        pytest.param(CHUNKED + b"2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n", True, id="chunked"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n", True, id="chunked with a trailer"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhello", False, id="until the connection ends"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nhello", False, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, True, id="after 100 Continue"),
        pytest.param(b"HTTP/1.1 103 Hints\r\ncontent-length: 9\r\n\r\n" + HELLO, True, id="after 103 Early Hints"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_answer_is_read_in_every_framing_and_however_it_is_cut(
    run: Runner, answer: bytes, step: int, stays: bool
) -> None:
    pieces = [answer[at : at + step] for at in range(0, len(answer), step)]

    async def test() -> None:
        async with serving(answers(*pieces, stays=stays)) as server, opened(Client(LOOPBACK)) as client:
            assert await answer_of(client, server) == b"hello"

    run(test())


def test_status_and_headers_are_those_of_the_final_answer(run: Runner) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nx-interim: 1\r\n\r\n"
    final = b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\ncontent-length: 0\r\n\r\n"

    async def test() -> None:
        async with serving(answers(interim + final)) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            assert (answer.status, answer.headers) == (429, {b"retry-after": b"7", b"content-length": b"0"})
            assert await answer.read() == b""
            answer.close()

    run(test())


def test_request_goes_out_with_the_chosen_headers_and_no_others(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server, opened(Client(LOOPBACK)) as client:
            await answer_of(client, server, b'{"a":1}')
            assert server.requests == [
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer s\r\n"
                b'content-length: 7\r\n\r\n{"a":1}' % server.origin.port
            ]

    run(test())


def test_request_larger_than_every_buffer_arrives_whole(run: Runner) -> None:
    body = b"x" * 3_000_000

    async def test() -> None:
        async with serving(echoes) as server, opened(Client(LOOPBACK)) as client:
            assert await answer_of(client, server, body) == body

    run(test())


def test_head_and_much_body_may_come_in_one_piece(run: Runner) -> None:
    body = b"x" * 1_000_000
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + body

    async def test() -> None:
        async with serving(answers(answer)) as server, opened(Client(LOOPBACK)) as client:
            assert await answer_of(client, server) == body

    run(test())


def test_stream_hands_out_what_has_come_and_none_at_its_end(run: Runner) -> None:
    pieces = (CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n")

    async def test() -> None:
        async with serving(answers(*pieces, pause=0.05)) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            data = [await answer.next() for _ in range(3)]
            assert data == [b"a", b"b", None]
            answer.close()

    run(test())


def test_silence_is_told_without_an_end(run: Runner) -> None:
    async def test() -> None:
        async with (
            serving(answers(CHUNKED, b"1\r\na\r\n0\r\n\r\n", pause=0.2)) as server,
            opened(Client(LOOPBACK)) as client,
        ):
            answer = await ask(client, server)
            assert await answer.next(0.05) == b""
            assert await answer.next() == b"a"
            answer.close()

    run(test())


def test_who_waits_can_be_woken_without_an_end(run: Runner) -> None:
    async def test() -> None:
        async with (
            serving(answers(CHUNKED, b"1\r\na\r\n0\r\n\r\n", pause=0.2)) as server,
            opened(Client(LOOPBACK)) as client,
        ):
            answer = await ask(client, server)
            answer.wake()
            asyncio.get_running_loop().call_later(0.05, answer.wake)
            assert await answer.next() == b""
            assert await answer.next() == b"a"
            answer.close()

    run(test())


def test_hanging_up_still_reads_what_the_upstream_says_at_once(run: Runner) -> None:
    def says_goodbye(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(server, reader)
            writer.write(CHUNKED + b"1\r\na\r\n")
            assert await reader.read() == b""
            writer.write(b"1\r\nb\r\n0\r\n\r\n")

        return play

    async def test() -> None:
        async with serving(says_goodbye) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            assert await answer.next() == b"a"
            answer.hang_up()
            data = [await answer.next() for _ in range(2)]
            assert data == [b"b", None]
            answer.close()

    run(test())


@pytest.mark.parametrize("piece", [b"", b"1\r\na\r\n"], ids=["a silent one", "one that goes on"])
def test_hanging_up_on_an_upstream_that_does_not_notice_takes_a_moment(run: Runner, piece: bytes) -> None:
    def goes_on(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(server, reader)
            writer.write(CHUNKED)
            while True:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)
                _check_open(writer)

        return play

    async def test() -> None:
        async with serving(goes_on) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            answer.hang_up()
            began = asyncio.get_running_loop().time()
            assert await fault_of(answer.read()) == "cancelled"
            assert asyncio.get_running_loop().time() - began < 0.5
            answer.close()

    run(test())


def _check_open(writer: asyncio.StreamWriter) -> None:
    if writer.is_closing():
        raise ConnectionResetError


# --- kept connections ------------------------------------------------------------------------------------------------


def test_connection_is_used_again(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server, opened(Client(LOOPBACK)) as client:
            assert [await answer_of(client, server), await answer_of(client, server)] == [b"hello", b"hello"]
            assert server.connections == 1

    run(test())


def test_connection_closed_twice_is_kept_once(run: Runner) -> None:
    async def test() -> None:
        async with serving(echoes) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server, b"first")
            await answer.read()
            answer.close()
            answer.close()
            bodies = await asyncio.gather(answer_of(client, server, b"mine"), answer_of(client, server, b"yours"))
            assert list(bodies) == [b"mine", b"yours"]
            assert server.connections == 2

    run(test())


def test_late_close_of_an_answer_leaves_the_next_exchange_alone(run: Runner) -> None:
    async def test() -> None:
        async with serving(echoes) as server, opened(Client(LOOPBACK)) as client:
            first = await ask(client, server, b"first")
            await first.read()
            first.close()
            second = asyncio.ensure_future(answer_of(client, server, b"second"))
            await asyncio.sleep(0.05)
            first.close()
            assert await second == b"second"
            assert (server.connections, await first.next(), await first.read()) == (1, None, b"")

    run(test())


def test_answer_that_was_not_read_to_its_end_costs_its_connection(run: Runner) -> None:
    async def test() -> None:
        async with (
            serving(answers(CHUNKED + b"1\r\na\r\n"), answers(HELLO)) as server,
            opened(Client(LOOPBACK)) as client,
        ):
            answer = await ask(client, server)
            assert await answer.next() == b"a"
            answer.close()
            assert await answer_of(client, server) == b"hello"
            assert server.connections == 2

    run(test())


def test_connection_that_the_upstream_closes_is_not_used_again(run: Runner) -> None:
    last = HELLO.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")

    async def test() -> None:
        async with serving(answers(last)) as server, opened(Client(LOOPBACK)) as client:
            assert [await answer_of(client, server), await answer_of(client, server)] == [b"hello", b"hello"]
            assert server.connections == 2

    run(test())


def test_request_on_a_kept_connection_that_had_ended_goes_out_again(run: Runner) -> None:
    def forgets(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(server, reader)
            writer.write(HELLO)
            await reader.readuntil(b"\r\n\r\n")  # the second request is never answered

        return play

    async def test() -> None:
        async with serving(forgets, answers(HELLO)) as server, opened(Client(LOOPBACK)) as client:
            assert [await answer_of(client, server), await answer_of(client, server)] == [b"hello", b"hello"]
            assert server.connections == 2

    run(test())


def test_request_on_a_new_connection_is_never_sent_twice(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(stays=False)) as server, opened(Client(LOOPBACK)) as client:
            with pytest.raises(UpstreamFault) as caught:
                await ask(client, server)
            assert (caught.value.fault, server.connections, len(server.requests)) == ("broken_stream", 1, 1)

    run(test())


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b"HTTP/1.1 500 X\r\nserver: junk\r\ncontent-length: 4\r\n\r\njunk", id="a second answer"),
        pytest.param(b"HTTP/1.1 500 X\r\nserver:", id="half a second answer"),
        pytest.param(b"\0\1\2 no HTTP at all", id="garbage"),
    ],
)
def test_junk_behind_an_answer_is_dropped_with_its_connection(run: Runner, junk: bytes) -> None:
    async def test() -> None:
        async with serving(answers(HELLO + junk), answers(HELLO)) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            assert (answer.status, answer.headers, await answer.read()) == (200, {b"content-length": b"5"}, b"hello")
            answer.close()
            assert await answer_of(client, server) == b"hello"
            assert server.connections == 2

    run(test())


def test_junk_on_a_kept_connection_costs_the_connection(run: Runner) -> None:
    async def test() -> None:
        async with (
            serving(answers(HELLO, b"", HELLO, pause=0.05), answers(HELLO)) as server,
            opened(Client(LOOPBACK)) as client,
        ):
            assert await answer_of(client, server) == b"hello"
            await asyncio.sleep(0.2)
            assert await answer_of(client, server) == b"hello"
            assert server.connections == 2

    run(test())


def test_closing_the_client_closes_what_nobody_uses(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server:
            client = Client(LOOPBACK)
            await answer_of(client, server)
            client.close()
            await asyncio.wait_for(server.left.wait(), 1)

    run(test())


# --- faults ----------------------------------------------------------------------------------------------------------


async def fault_of(exchange: Awaitable[Any]) -> str:
    with pytest.raises(UpstreamFault) as caught:
        await exchange
    return caught.value.fault


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", id="a header too large"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000, id="headers without end"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, id="interim answers without end"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="not HTTP"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x50", id="TLS"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", id="a negative length"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", id="two lengths"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="two framings"
        ),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", id="an upgrade"),
        pytest.param(HELLO.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"), id="gzip"),
    ],
)
def test_answer_that_is_none_is_an_invalid_response(run: Runner, answer: bytes) -> None:
    async def test() -> None:
        async with serving(answers(answer)) as server, opened(Client(LOOPBACK)) as client:
            assert await fault_of(answer_of(client, server)) == "invalid_response"
            await asyncio.wait_for(server.left.wait(), 1)

    run(test())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", id="content length"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n", id="between chunks"),
        pytest.param(CHUNKED + b"9\r\nhello", id="within a chunk"),
    ],
)
def test_cut_answer_hands_out_what_came_and_then_says_so(run: Runner, answer: bytes) -> None:
    async def test() -> None:
        async with serving(answers(answer, stays=False)) as server, opened(Client(LOOPBACK)) as client:
            streamed = await ask(client, server)
            await asyncio.sleep(0.1)
            assert await streamed.next() == b"hello"
            assert await fault_of(streamed.next()) == "broken_stream"
            assert await fault_of(answer_of(client, server)) == "broken_stream"
            streamed.close()

    run(test())


def test_bad_chunk_after_the_head_is_an_invalid_response(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(CHUNKED, b"zz\r\n", pause=0.05)) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            assert await fault_of(answer.next()) == "invalid_response"
            answer.close()

    run(test())


def test_trailers_without_end_are_an_invalid_response(run: Runner) -> None:
    async def test() -> None:
        async with (
            serving(repeats(CHUNKED + b"5\r\nhello\r\n0\r\n", b"x-a: " + b"y" * 4000 + b"\r\n")) as server,
            opened(Client(LOOPBACK)) as client,
        ):
            answer = await ask(client, server)
            assert await fault_of(answer.read()) == "invalid_response"
            answer.close()

    run(test())


def test_trailers_change_no_header(run: Runner) -> None:
    async def test() -> None:
        async with (
            serving(answers(CHUNKED, b"5\r\nhello\r\n0\r\nserver: other\r\n\r\n", pause=0.05)) as server,
            opened(Client(LOOPBACK)) as client,
        ):
            answer = await ask(client, server)
            await answer.read()
            answer.close()
            assert answer.headers == {b"transfer-encoding": b"chunked"}

    run(test())


def test_answer_past_the_limit_is_an_invalid_response(run: Runner) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY_BYTES * 2)

    async def test() -> None:
        async with serving(repeats(head, b"x" * 1_000_000)) as server, opened(Client(LOOPBACK)) as client:
            assert await fault_of(answer_of(client, server)) == "invalid_response"

    run(test())


@pytest.mark.parametrize(
    ("pieces", "timeouts", "fault"),
    [
        pytest.param((), seconds(first_byte=0.2), "first_byte_timeout", id="no byte"),
        pytest.param((b"HTTP/1.1 200",), seconds(idle=0.2), "idle_timeout", id="half a head"),
        pytest.param((CHUNKED + b"5\r\nhel",), seconds(idle=0.2), "idle_timeout", id="half a chunk"),
        pytest.param((CHUNKED, *[b"1\r\na\r\n"] * 40), seconds(idle=0.2, total=0.5), "total_timeout", id="dripping"),
        pytest.param((), seconds(total=0.2), "total_timeout", id="no byte in all"),
    ],
)
def test_each_timeout_ends_the_exchange_under_its_own_name(
    run: Runner, pieces: tuple[bytes, ...], timeouts: Timeouts, fault: str
) -> None:
    async def read(client: Client, server: Server) -> None:
        answer = await ask(client, server, timeouts=timeouts)
        try:
            await answer.read()
        finally:
            answer.close()

    async def test() -> None:
        async with serving(answers(*pieces, pause=0.05)) as server, opened(Client(LOOPBACK)) as client:
            began = asyncio.get_running_loop().time()
            assert await fault_of(read(client, server)) == fault
            assert 0.15 < asyncio.get_running_loop().time() - began < 1
            await asyncio.wait_for(server.left.wait(), 3)

    run(test())


def test_exchanges_under_way_together_each_end_at_their_own_time(run: Runner) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with serving(answers()) as server, opened(Client(LOOPBACK)) as client:

            async def lasted(patience: float) -> float:
                began = loop.time()
                assert (
                    await fault_of(ask(client, server, timeouts=seconds(first_byte=patience))) == "first_byte_timeout"
                )
                return loop.time() - began

            patience = [0.6, 0.2, 0.4, 0.2, 0.8]
            ends = await asyncio.gather(*map(lasted, patience))
            for wanted, lasting in zip(patience, ends, strict=True):
                assert wanted - 0.01 < lasting < wanted + 0.15

    run(test())


def test_reader_that_pauses_is_not_taken_for_a_silent_upstream(run: Runner) -> None:
    body = b"x" * 20_000_000
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def test() -> None:
        async with serving(answers(head + body)) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server, timeouts=seconds(idle=0.2))
            await asyncio.sleep(0.6)
            assert await answer.read() == body
            answer.close()

    run(test())


def test_connect_timeout_has_its_own_name(run: Runner) -> None:
    async def test() -> None:
        with silent_port() as port:
            client = Client(LOOPBACK)
            origin = Origin("http", "127.0.0.1", port, "")
            exchange = client.post(origin, "/", (), b"", seconds(connect=0.2))
            assert await fault_of(exchange) == "connect_timeout"

    run(test())


def test_refused_connection_has_its_own_name(run: Runner) -> None:
    async def test() -> None:
        exchange = Client(LOOPBACK).post(Origin("http", "127.0.0.1", free_port(), ""), "/", (), b"", seconds())
        assert await fault_of(exchange) == "connect_failed"

    run(test())


def test_unknown_host_has_its_own_name(run: Runner) -> None:
    async def test() -> None:
        exchange = Client(LOOPBACK).post(Origin("https", "nowhere.example", 443, ""), "/", (), b"", seconds())
        assert await fault_of(exchange) == "connect_failed"

    run(test())


# --- leaving ---------------------------------------------------------------------------------------------------------


def test_closing_an_answer_closes_its_socket_at_once(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(CHUNKED + b"1\r\na\r\n")) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            assert await answer.next() == b"a"
            answer.close()
            await asyncio.wait_for(server.left.wait(), 0.5)

    run(test())


def test_closing_an_answer_wakes_who_waits_for_it(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(CHUNKED)) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            waiting = asyncio.ensure_future(fault_of(answer.next()))
            await asyncio.sleep(0.05)
            answer.close()
            assert await asyncio.wait_for(waiting, 0.5) == "cancelled"

    run(test())


def test_cancelling_a_request_closes_its_socket_at_once(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers()) as server, opened(Client(LOOPBACK)) as client:
            asking = asyncio.ensure_future(ask(client, server))
            await asyncio.sleep(0.1)
            asking.cancel()
            await asyncio.wait_for(server.left.wait(), 0.5)

    run(test())


def test_reader_that_does_not_read_stops_the_upstream(run: Runner) -> None:
    sent = 0

    def pours(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(server, reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(1600):
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536

        return play

    async def test() -> None:
        async with serving(pours) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            await asyncio.sleep(0.5)
            held = await answer.next()
            assert held is not None
            assert len(held) <= PAUSE_BYTES + 256 * 1024
            assert sent < 20_000_000  # the kernel's socket buffers, of 104 MB that were offered
            answer.close()

    run(test())


# --- where it connects to --------------------------------------------------------------------------------------------


def test_forbidden_address_is_never_connected_to(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server:
            assert await fault_of(answer_of(Client(()), server)) == "connect_failed"
            assert server.connections == 0

    run(test())


@pytest.mark.parametrize("secret", ["s\r\nx-injected: 1", "s\nx", "s\rx", "s\0", "schlüssel…"])
def test_header_that_would_not_be_one_header_is_never_sent(run: Runner, secret: str) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server:
            assert await fault_of(ask(Client(LOOPBACK), server, secret=secret)) == "connect_failed"
            assert server.connections == 0

    run(test())


# --- TLS -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of the test's own, and a file with its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    path: Path


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, *, is_ca: bool
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    own = certificate("authority", key, "authority", key, is_ca=True)
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    path.write_bytes(own.public_bytes(serialization.Encoding.PEM))
    return Authority(key, own, path)


def server_context(authority: Authority, name: str, folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    signed = certificate(name, key, "authority", authority.key, is_ca=False)
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_tls_upstream_is_asked_for_by_its_name_and_verified(
    run: Runner, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    context = server_context(authority, "localhost", tmp_path)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    async def test() -> None:
        async with (
            serving(answers(HELLO), tls=context, host="localhost") as server,
            opened(Client(LOOPBACK)) as client,
        ):
            assert [await answer_of(client, server), await answer_of(client, server)] == [b"hello", b"hello"]
            assert (names, server.connections) == (["localhost"], 1)

    run(test())


def test_certificate_for_another_name_is_refused(
    run: Runner, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    context = server_context(authority, "other.example", tmp_path)

    async def test() -> None:
        async with serving(answers(HELLO), tls=context, host="localhost") as server:
            assert await fault_of(answer_of(Client(LOOPBACK), server)) == "tls_failed"
            assert server.requests == []

    run(test())


def test_certificate_of_an_unknown_authority_is_refused(run: Runner, authority: Authority, tmp_path: Path) -> None:
    context = server_context(authority, "localhost", tmp_path)

    async def test() -> None:
        async with serving(answers(HELLO), tls=context, host="localhost") as server:
            assert await fault_of(answer_of(Client(LOOPBACK), server)) == "tls_failed"
            assert server.requests == []

    run(test())


def test_plain_http_behind_https_is_refused(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server:
            origin = Origin("https", "127.0.0.1", server.origin.port, "")
            exchange = Client(LOOPBACK).post(origin, "/", (), b"", seconds(connect=1))
            assert await fault_of(exchange) in {"tls_failed", "connect_failed", "connect_timeout"}
            assert server.requests == []

    run(test())
