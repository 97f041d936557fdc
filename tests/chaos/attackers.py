"""Everything that strangers and one ill-meaning tenant do to a gateway at once, as a process of its own.

`python -m tests.chaos.attackers PORT SECONDS CONNECTIONS`, a key, a model and made-up keys on the lines of its input:
so many connections with made-up keys, bodies of 400 MiB, bodies of a byte a second, and forty deaf clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

PATH: Final = "/v1/chat/completions"
HUGE: Final = 400 * 1024**2
_LARGE_BODIES, _SLOW_BODIES, _DEAF = 4, 40, 40
_PIECE: Final = b"10000\r\n" + b" " * 0x10000 + b"\r\n"


def _head(path: str, secret: str, *members: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json",
             f"authorization: Bearer {secret}", *members, "", "")  # fmt: skip
    return "\r\n".join(lines).encode()


async def _ask_with_made_up_keys(port: int, made_up: Iterator[str]) -> None:
    """One key after the other, as fast as they are refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        while True:
            writer.write(_head(PATH, next(made_up), "content-length: 2") + b"{}")
            answer = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
            await asyncio.sleep(1)


async def _send_a_huge_body(port: int, secret: str, path: str) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        writer.write(_head(path, secret, "transfer-encoding: chunked"))
        for _piece in range(HUGE // 0x10000):
            writer.write(_PIECE)
            await writer.drain()


async def _send_a_slow_body(port: int, secret: str) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        writer.write(_head(PATH, secret, "content-length: 100000"))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(1)


async def _read_nothing(port: int, secret: str, model: str) -> None:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Say much."}], "stream": True}).encode()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    with client:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, _head(PATH, secret, f"content-length: {len(body)}") + body)
        await asyncio.sleep(3600)


async def _for_ever(deed: Callable[[], Awaitable[None]]) -> None:
    while True:
        with contextlib.suppress(OSError, EOFError):
            await deed()
        await asyncio.sleep(0.2)


async def _attack(port: int, seconds: int, connections: int, secret: str, model: str, made_up: Iterator[str]) -> None:
    deeds: list[Callable[[], Awaitable[None]]] = [
        *[lambda: _ask_with_made_up_keys(port, made_up)] * connections,
        *[lambda: _send_a_huge_body(port, secret, PATH)] * (_LARGE_BODIES // 2),
        *[lambda: _send_a_huge_body(port, "", "/accounts/login/")] * (_LARGE_BODIES // 2),
        *[lambda: _send_a_slow_body(port, secret)] * _SLOW_BODIES,
        *[lambda: _read_nothing(port, secret, model)] * _DEAF,
    ]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_for_ever(deed) for deed in deeds))


if __name__ == "__main__":
    os.nice(10)  # strangers have machines of their own
    secret, model, *made_up = sys.stdin.read().split()
    port, seconds, connections = map(int, sys.argv[1:4])
    asyncio.run(_attack(port, seconds, connections, secret, model, itertools.cycle(made_up)))
