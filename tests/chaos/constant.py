"""The upstream of a load, in a process of its own that costs little beside what is measured.

`python -m tests.chaos.constant PAUSE` says its port on a line and answers until its input ends. Below `/v1` a whole
answer takes 50 ms, and a stream has nine events so many seconds apart; below `/loud/v1` a stream is longer than sockets
hold.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import uvloop

from tests import upstream as up

ROOT: Final = Path(__file__).resolve().parents[2]
_WHOLE_SECONDS: Final = 0.05
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD: Final = up.head(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
_EVENTS: Final = [up.event(item) for item in (up.ROLE, *up.words("word " * 6), up.FINISH)]
_LAST: Final = up.framed(up.event(up.usage_chunk())) + up.framed(up.DONE) + up.LAST_CHUNK
_WHOLE: Final = b"".join(step for step in up.answer().steps if isinstance(step, bytes))
_LOUD: Final = up.framed(up.event(up.chunk({"content": "x" * 60_000})))
_LOUD_EVENTS: Final = 200


@contextmanager
def constant_upstream(pause: float) -> Iterator[str]:
    """The URL of one, without a slash at its end, for the length of the block."""
    command = [sys.executable, "-m", "tests.chaos.constant", str(pause)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


class _Connection(asyncio.Protocol):
    """Requests one after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pause: float) -> None:
        self._loop, self._pause = loop, pause
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._loud_left = 0
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if separator and length and len(body) >= int(length[1]):
            self._received = b""
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if b"/loud/" in head.partition(b"\r\n")[0]:
            self._transport.write(_HEAD)
            self._loud_left = _LOUD_EVENTS
            self._shout()
        elif b'"stream":true' in body.replace(b" ", b""):
            self._transport.write(_HEAD)
            self._say(0)
        else:
            self._timer = self._loop.call_later(_WHOLE_SECONDS, self._transport.write, _WHOLE)

    def _say(self, number: int) -> None:
        if number == len(_EVENTS):
            self._transport.write(_LAST)
            return
        self._transport.write(up.framed(_EVENTS[number]))
        self._timer = self._loop.call_later(self._pause, self._say, number + 1)

    def _shout(self) -> None:
        while self._loud_left and not self._is_full:
            self._loud_left -= 1
            self._transport.write(_LOUD if self._loud_left else up.framed(up.event(up.FINISH)) + _LAST)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._shout()


async def _serve(pause: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(loop, pause), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve(float(sys.argv[1])))
