"""Servers that answer byte by byte as a test says, and a client's exchanges with them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from routing.wire.addresses import Origin, networks
from routing.wire.answer import Answer, Timeouts, UpstreamFault
from routing.wire.client import Client
from tests.servers import free_port

LOOPBACK = networks(["127.0.0.0/8", "::1/128"])
HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

Runner = Callable[[Coroutine[Any, Any, None]], None]
Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


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
    client: Client,
    server: Server,
    body: bytes = b"{}",
    timeouts: Timeouts | None = None,
    secret: str = "s",
    pieces: tuple[bytes, ...] = (),
) -> Answer:
    headers = (("authorization", f"Bearer {secret}"),)
    return await client.post(
        server.origin, "/chat/completions", headers, body, timeouts or seconds(), pieces=pieces
    )  # fmt: skip


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


async def fault_of(exchange: Awaitable[Any]) -> str:
    with pytest.raises(UpstreamFault) as caught:
        await exchange
    return caught.value.fault
