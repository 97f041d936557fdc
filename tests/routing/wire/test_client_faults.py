"""What the hot path's HTTP client says of answers that are cut, malformed, too large or late."""

from __future__ import annotations

import asyncio

import pytest

from routing.wire.addresses import Origin
from routing.wire.answer import MAX_BODY_BYTES, Timeouts
from routing.wire.client import Client
from tests.routing.wire.raw_upstream import (
    CHUNKED,
    HELLO,
    LOOPBACK,
    Runner,
    Server,
    answer_of,
    answers,
    ask,
    fault_of,
    opened,
    repeats,
    seconds,
    serving,
)
from tests.servers import free_port
from tests.upstream import silent_port


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
        pytest.param(HELLO.replace(b"\r\n\r\n", b"\r\ncontent-encoding: identity, BR\r\n\r\n"), id="Brotli"),
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
