"""The hot path's HTTP client against servers that answer byte by byte as the test says."""

from __future__ import annotations

import asyncio
import gc

import pytest

from routing.wire.answer import PAUSE_BYTES, UpstreamFault
from routing.wire.client import Client
from routing.wire.connection import STALE_SECONDS, Connection
from tests.routing.wire.raw_upstream import (
    CHUNKED,
    HELLO,
    LOOPBACK,
    Play,
    Runner,
    Server,
    answer_of,
    answers,
    ask,
    echoes,
    fault_of,
    opened,
    read_request,
    serving,
)
from tests.waiting import eventually

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


@pytest.mark.parametrize("coding", [b"identity", b"Identity", b"none", b"utf-8", b"UTF-8", b""])
def test_coding_that_is_none_costs_no_answer(run: Runner, coding: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: 5\r\n\r\nhello" % coding

    async def test() -> None:
        async with serving(answers(answer)) as server, opened(Client(LOOPBACK)) as client:
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


PIECES = tuple(bytes([letter]) * 100_000 for letter in b"abcdef")


def test_request_in_pieces_is_one_body_again_on_a_new_connection(run: Runner) -> None:
    def forgets(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(server, reader)
            writer.write(HELLO)
            await reader.readuntil(b"\r\n\r\n")  # the second request is never answered

        return play

    async def test() -> None:
        async with serving(forgets, answers(HELLO)) as server, opened(Client(LOOPBACK)) as client:
            assert await answer_of(client, server) == b"hello"
            answer = await ask(client, server, b"first", pieces=PIECES)
            assert (await answer.read(), server.connections) == (b"hello", 2)
            assert server.requests[-1].partition(b"\r\n\r\n")[2] == b"first" + b"".join(PIECES)
            answer.close()

    run(test())


def test_answer_that_does_not_wait_for_every_piece_is_read(run: Runner) -> None:
    def refuses(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
            await writer.drain()
            await reader.read(1_000_000)

        return play

    async def test() -> None:
        async with serving(refuses) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server, b"", pieces=PIECES)
            assert (answer.status, await answer.read()) == (413, b"big")
            answer.close()

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


def test_connection_that_was_hung_up_on_is_not_used_again(run: Runner) -> None:
    """Nothing more can be written to it, however well its last answer ends."""

    def finishes(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(server, reader)
            writer.write(CHUNKED + b"1\r\na\r\n")
            await reader.read()
            writer.write(b"0\r\n\r\n")
            await asyncio.sleep(5)  # it does not close its own half

        return play

    async def test() -> None:
        async with serving(finishes, answers(HELLO)) as server, opened(Client(LOOPBACK)) as client:
            answer = await ask(client, server)
            assert await answer.next() == b"a"
            answer.hang_up()
            assert await answer.next() is None
            answer.close()
            assert await answer_of(client, server) == b"hello"
            assert server.connections == 2

    run(test())


def test_request_that_an_upstream_was_at_for_a_while_is_never_sent_twice(run: Runner) -> None:
    """What ends at once on a kept connection was never taken; what ends later was perhaps worked on, and charged."""

    def dies_at_work(server: Server) -> Play:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(server, reader)
            writer.write(HELLO)
            await read_request(server, reader)
            await asyncio.sleep(STALE_SECONDS + 0.2)

        return play

    async def test() -> None:
        async with serving(dies_at_work, answers(HELLO)) as server, opened(Client(LOOPBACK)) as client:
            assert await answer_of(client, server) == b"hello"
            assert await fault_of(ask(client, server)) == "broken_stream"
            assert (server.connections, len(server.requests)) == (1, 2)

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


def test_connection_that_waits_too_long_is_let_go_of_though_nothing_else_is_asked(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server, opened(Client(LOOPBACK, idle_seconds=0.2)) as client:
            await answer_of(client, server)
            await asyncio.wait_for(server.left.wait(), 2)

            assert await answer_of(client, server) == b"hello"
            assert server.connections == 2
            server.left.clear()
            await asyncio.wait_for(server.left.wait(), 2)

    run(test())


def test_connections_that_wait_are_let_go_of_each_in_its_time(run: Runner) -> None:
    async def test() -> None:
        async with (
            serving(answers(HELLO)) as older, serving(answers(HELLO)) as newer,
            opened(Client(LOOPBACK, idle_seconds=0.6)) as client,
        ):  # fmt: skip
            await answer_of(client, older)
            await asyncio.sleep(0.4)
            await answer_of(client, newer)
            await asyncio.wait_for(older.left.wait(), 2)
            assert not newer.left.is_set()
            await asyncio.wait_for(newer.left.wait(), 2)

    run(test())


@pytest.mark.parametrize("way", ["waits too long", "is closed by the upstream", "is closed with the client"])
def test_connection_that_ends_while_it_waits_leaves_nothing_to_the_garbage_collector(run: Runner, way: str) -> None:
    async def test() -> None:
        before = _connections()
        async with (
            serving(answers(HELLO, stays=way != "is closed by the upstream")) as server,
            opened(Client(LOOPBACK, idle_seconds=0.2 if way == "waits too long" else 30)) as client,
        ):
            await answer_of(client, server)
            if way == "is closed with the client":
                client.close()
            assert await asyncio.to_thread(eventually, lambda: _connections() == before, 2)

    gc.collect()
    gc.disable()
    try:
        run(test())
    finally:
        gc.enable()


def _connections() -> int:
    return sum(isinstance(each, Connection) for each in gc.get_objects())


def test_closing_the_client_closes_what_nobody_uses(run: Runner) -> None:
    async def test() -> None:
        async with serving(answers(HELLO)) as server:
            client = Client(LOOPBACK)
            await answer_of(client, server)
            client.close()
            await asyncio.wait_for(server.left.wait(), 1)

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
