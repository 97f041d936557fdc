"""A minute in which everything happens at once, and what the other tenants notice of it.

Streams and whole answers of ten tenants; one process after the other killed, a rolling restart in the middle; an
attacker with made-up keys, huge and slow bodies, and clients that read nothing (tests/chaos/attackers.py).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import uvloop

from accounts import keys
from tests import databases
from tests.callers import PATH, Caller
from tests.chaos.constant import constant_upstream
from tests.installation import Offer, Shape, Via
from tests.waiting import eventually
from tests.worlds import World, redis_database

ROOT: Final = Path(__file__).resolve().parents[2]
TENANTS, WORKERS = 10, 2
_MADE_UP = 20_000
_KILL_EVERY = 5.0
_COMES_BACK_AFTER: Final = 0.5
"""Seconds, a quarter of them by lot, as OpenAI's own clients wait (`_calculate_retry_timeout`)."""
PARTS: Final = set(os.environ.get("HOSTILE", "kills,restart,attacker").split(","))
"""What happens; less of it tells what costs tenants their time."""


@dataclass(frozen=True, slots=True)
class Size:
    quiet_seconds: float
    hostile_seconds: float
    streams: int
    per_second: int
    strangers: int
    pause: float
    """Seconds between two pieces of a stream."""
    p95_times: float
    """How much longer than in quiet 95 of 100 whole answers may take."""


SHORT = Size(1, 4, 30, 10, 200, pause=0.2, p95_times=100)
LONG = Size(10, 60, 500, 50, 4_500, pause=0.5, p95_times=2)


@dataclass(slots=True)
class Notice:
    """What tenants notice."""

    statuses: Counter[int] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    """How streams that had begun came to their end."""
    cuts: list[float] = field(default_factory=list)
    """When connections broke, of whole answers as well; on the monotonic clock."""
    taken: list[float] = field(default_factory=list)
    """Seconds of whole answers."""
    has_no_time_to_come_back: int = 0

    @property
    def p95(self) -> float:
        return sorted(self.taken)[len(self.taken) * 95 // 100]


class Load:
    """Ten tenants' apps, each on connections of its own, for as long as it is told."""

    def __init__(self, port: int, callers: list[Caller], model: Offer, size: Size, seconds: float) -> None:
        self._port, self._size = port, size
        self._messages = {
            is_stream: [_message(caller, model, is_stream=is_stream) for caller in callers]
            for is_stream in (True, False)
        }
        self._ends_at = time.monotonic() + seconds
        self.notice = Notice()

    async def run(self) -> Notice:
        streams = [self._listen(self._messages[True][n % TENANTS], n) for n in range(self._size.streams)]
        await asyncio.gather(self._ask_steadily(), *streams)
        return self.notice

    async def _listen(self, message: bytes, number: int) -> None:
        await asyncio.sleep(2 * number / self._size.streams)
        while time.monotonic() < self._ends_at:
            ending = ""
            status, _head, body = await self._exchange(message)
            if status == 200:
                is_whole = body.endswith(b"data: [DONE]\n\n")
                ending = "whole" if is_whole else "error" if b'data: {"error"' in body else "cut"
                self.notice.endings[ending] += 1
            if status != 200 or ending == "cut":
                await asyncio.sleep(_COMES_BACK_AFTER * (1 - random.random() / 4))

    async def _ask_steadily(self) -> None:
        tasks, due = [], time.monotonic()
        for message in itertools.cycle(self._messages[False]):
            if due >= self._ends_at:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(asyncio.create_task(self._ask(message)))
            due += 1 / self._size.per_second
        await asyncio.gather(*tasks)

    async def _ask(self, message: bytes) -> None:
        began = time.monotonic()
        status, _head, _body = await self._exchange(message)
        if status == 200:
            self.notice.taken.append(time.monotonic() - began)

    async def _exchange(self, message: bytes) -> tuple[int, bytes, bytes]:
        """Status (0 if the connection broke before there was one), head and body."""
        head, body = b"", bytearray()
        try:
            async with asyncio.timeout(60):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                with closing(writer):
                    writer.write(message)
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    await _read_body(reader, head, body)
        except (OSError, EOFError):  # reset, or ended before its end
            self.notice.cuts.append(time.monotonic())
        status = int(head[9:12]) if head else 0
        if status:
            self.notice.statuses[status] += 1
            self.notice.has_no_time_to_come_back += status == 503 and b"retry-after:" not in head
        return status, head, bytes(body)


def _message(caller: Caller, model: Offer, *, is_stream: bool) -> bytes:
    body = json.dumps(caller.body(model, stream=is_stream)).encode()
    head = (f"POST {PATH} HTTP/1.1", "host: 127.0.0.1", f"authorization: Bearer {caller.secret}", "connection: close",
            "content-type: application/json", f"content-length: {len(body)}", "", "")  # fmt: skip
    return "\r\n".join(head).encode() + body


async def _read_body(reader: asyncio.StreamReader, head: bytes, body: bytearray) -> None:
    """Adds to `body` what arrives; raises EOFError if that is less than was announced."""
    if b"transfer-encoding: chunked" not in head:
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body += await reader.readexactly(length)
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)


# --- what happens meanwhile ------------------------------------------------------------------------------------------


class Trouble:
    """Kills and a rolling restart, in a task beside the load."""

    def __init__(self, world: World, seconds: float) -> None:
        self._world, self._seconds = world, seconds
        self.kills: list[float] = []

    async def run(self) -> None:
        began, is_restarted = time.monotonic(), False
        # The last one has the time to come back, so that what is left can be compared.
        while (passed := time.monotonic() - began) < self._seconds - _KILL_EVERY / 2:
            if "restart" in PARTS and not is_restarted and passed > self._seconds / 2:
                self._world.gateway.signal(signal.SIGHUP)
                is_restarted = True
            elif "kills" in PARTS and (pids := self._world.gateway.pids):
                self._world.gateway.kill(pids[0])
                self.kills.append(time.monotonic())
            await asyncio.sleep(min(_KILL_EVERY, self._seconds / 4))


@contextmanager
def attacked(world: World, mallory: Caller, model: Offer, size: Size) -> Iterator[None]:
    if "attacker" not in PARTS:
        yield
        return
    command = [
        sys.executable,
        "-m",
        "tests.chaos.attackers",
        str(_port(world)),
        str(round(size.hostile_seconds)),
        str(size.strangers),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True) as attacker:
        assert attacker.stdin is not None
        attacker.stdin.write("\n".join((mallory.secret, model.name, *(keys.generate() for _key in range(_MADE_UP)))))
        attacker.stdin.close()
        try:
            yield
            assert attacker.wait(30) == 0
        finally:
            attacker.kill()


def _port(world: World) -> int:
    port = urlsplit(world.gateway.url).port
    assert port is not None
    return port


def _open_files(world: World) -> int:
    """Of the largest process."""
    return max(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in world.gateway.pids)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    "size",
    [pytest.param(SHORT, id="short", marks=pytest.mark.long), pytest.param(LONG, id="minute", marks=pytest.mark.chaos)],
)
def test_tenants_hardly_notice(
    size: Size, start_world: Callable[..., World], migrated_postgres_url: Callable[[], str], stack: ExitStack
) -> None:
    url = migrated_postgres_url()
    world = start_world(
        database_url=url, redis_url=redis_database(8), workers=WORKERS, env={"KEEP_ALIVE_SECONDS": "10"}
    )
    callers, mallory = [world.caller(funds="1000") for _tenant in range(TENANTS)], world.caller(funds="1000")
    upstream = stack.enter_context(constant_upstream(size.pause))
    model, loud = (world.offer(Shape(vias=(Via(url=f"{upstream}{path}"),))) for path in ("/v1", "/loud/v1"))

    quiet = _run(Load(_port(world), callers, model, size, size.quiet_seconds).run())
    files, resident = _open_files(world), world.gateway.resident_bytes
    before = set(world.gateway.pids)
    trouble = Trouble(world, size.hostile_seconds)
    with attacked(world, mallory, loud, size):
        hostile = _run(_beside(trouble, Load(_port(world), callers, model, size, size.hostile_seconds)))
    if "restart" in PARTS:
        world.gateway.wait_for_others_than(before, seconds=60)

    unexplained = [cut for cut in hostile.cuts if not any(0 <= cut - kill < 2 for kill in trouble.kills)]
    print(f"quiet {_said(quiet)}; hostile {_said(hostile)}, {len(trouble.kills)} kills, {len(unexplained)} other cuts")  # noqa: T201
    assert set(quiet.statuses) == {200}
    assert set(hostile.statuses) <= {200, 503}
    assert hostile.statuses[503] <= 0.01 * hostile.statuses.total()
    assert hostile.has_no_time_to_come_back == 0
    assert quiet.endings["whole"] == quiet.endings.total()
    assert unexplained == [], "connections that broke though nobody killed their process"
    assert hostile.p95 <= size.p95_times * quiet.p95
    world.installation.assert_books(seconds=45)
    assert "verified" in databases.manage("verify", database_url=url)
    # Connections to upstreams are kept for a while; each stream may have left one.
    assert eventually(lambda: _open_files(world) <= files + size.streams + 30, 20), (files, _open_files(world))
    assert eventually(lambda: world.gateway.resident_bytes <= resident + 40 * 2**20, 30), (
        resident,
        world.gateway.resident_bytes,
    )


def _run(coroutine: Coroutine[Any, Any, Notice]) -> Notice:
    """On a loop that takes little of what the gateway needs."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


async def _beside(trouble: Trouble, load: Load) -> Notice:
    _done, notice = await asyncio.gather(trouble.run(), load.run())
    return notice


def _said(notice: Notice) -> str:
    return f"{dict(notice.statuses)}, {dict(notice.endings)}, {len(notice.cuts)} cut, p95 {notice.p95 * 1000:.0f} ms"
