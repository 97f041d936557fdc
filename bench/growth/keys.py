"""Many keys, and what tenants notice of a flood of made-up ones."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import machine, payloads
from bench.gateways import Books, Running
from bench.load import PATH
from bench.processes import OTHER_CORE, run
from bench.results import Bar

FLOODS: Final = (0, 32, 512, 4000)
"""Connections, each of which asks with the next made-up key as soon as it has its answer."""
ACTIVE: Final = (1, 32, 1_000, 10_000)
"""Keys that take turns."""
TABLE: Final = 1_000_000
"""Keys that nobody uses."""
_SLOWEST: Final = 1_000
"""Requests that are served in a second at least."""
_SCRIPT: Final = Path(__file__).parent.with_name("keys.lua")
_TENANTS: Final = 10
_PER_SECOND: Final = 50


@dataclass(frozen=True, slots=True)
class Notice:
    """What tenants notice, in milliseconds, and how their requests were answered."""

    p50: float
    p99: float
    statuses: Counter[int]


def measure_active(gateway: Running, files: Files, seconds: float, beside: str = "") -> Iterator[Bar]:
    """Keys that take turns: what a request costs the gateway."""
    costs: dict[int, float] = {}
    for count in ACTIVE:
        load(gateway, files.issued(count), files.body, seconds=3 + count / _SLOWEST)  # each has had its turn
        with machine.Meter(gateway.server) as meter:
            statuses = load(gateway, files.issued(count), files.body, seconds=seconds)
        costs[count] = meter.cpu_seconds * 1e6 / sum(statuses.values())
        print(f"{count:8} active keys{beside}: {costs[count]:7.0f} us a request, {dict(statuses)}", flush=True)
    yield Bar(f"{max(ACTIVE)} active keys, times one{beside}", costs[max(ACTIVE)] / costs[1], at_most=1.3)


class Files:
    """Keys and a body, as the load reads them."""

    def __init__(self, folder: Path, books: Books) -> None:
        self.body = folder / "request.json"
        self.body.write_bytes(payloads.request_body(payloads.JSON_MODEL))
        self.made_up = folder / "made-up.txt"
        books.checkout.run("-m", "bench.books", "made-up", "100000", str(self.made_up), env=books.env, seconds=120)
        most = folder / "active.txt"
        books.checkout.run("-m", "bench.books", "keys", str(max(ACTIVE)), str(most), env=books.env, seconds=300)
        self._issued = most.read_text().split()
        self._folder = folder

    def issued(self, count: int) -> Path:
        path = self._folder / f"active-{count}.txt"
        path.write_text("\n".join(self._issued[:count]))
        return path

    def secrets(self, count: int) -> Sequence[str]:
        return self._issued[:count]


def measure_floods(gateway: Running, files: Files, seconds: float) -> Iterator[Bar]:
    notice = None
    for connections in FLOODS:
        with flood(gateway, files, connections, seconds):
            notice = asyncio.run(_tenants(gateway.target.port, files, seconds))
        print(
            f"{connections:8} connections with made-up keys: tenants' median {notice.p50:7.1f} ms, "
            f"p99 {notice.p99:7.1f} ms, {dict(notice.statuses)}",
            flush=True,
        )
    assert notice is not None
    yield Bar("tenants' p99 in the largest flood, ms", notice.p99, at_most=50)
    yield Bar("tenants' requests refused in it", sum(notice.statuses.values()) - notice.statuses[200], at_most=0)


def load(gateway: Running, key_file: Path, body: Path, *, seconds: float, connections: int = 32) -> Counter[int]:
    """A closed loop on so many connections; how its answers' statuses were counted."""
    output = run(_wrk(gateway, key_file, body, connections, seconds), seconds=seconds + 60)
    return Counter({int(status): count for status, count in json.loads(output.partition("RESULT ")[2]).items()})


def _wrk(gateway: Running, key_file: Path, body: Path, connections: int, seconds: float) -> list[str | Path]:
    url = f"http://127.0.0.1:{gateway.target.port}{PATH}"
    return ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{round(seconds)}s",
            "--timeout", "60s", "--script", _SCRIPT, url, "--", key_file, body]  # fmt: skip


@contextmanager
def flood(gateway: Running, files: Files, connections: int, seconds: float) -> Iterator[None]:
    """While the block lasts; it begins a little before."""
    if not connections:
        yield
        return
    words = _wrk(gateway, files.made_up, files.body, connections, seconds + 4)
    with subprocess.Popen(["taskset", "-c", str(OTHER_CORE), *words], stdout=subprocess.PIPE, text=True) as flood:
        time.sleep(2)
        yield
        print("        ", (flood.communicate()[0].partition("RESULT ")[2] or "").strip(), "answered to the flood")


async def _tenants(port: int, files: Files, seconds: float) -> Notice:
    """Ten tenants' apps, fifty requests a second together, each on a connection of its own."""
    taken: list[float] = []
    statuses: Counter[int] = Counter()
    apps = [_app(port, secret, files.body.read_bytes(), number, seconds, taken, statuses)
            for number, secret in enumerate(files.secrets(_TENANTS))]  # fmt: skip
    await asyncio.gather(*apps)
    taken.sort()
    return Notice(taken[len(taken) // 2], taken[len(taken) * 99 // 100], statuses)


async def _app(
    port: int, secret: str, body: bytes, number: int, seconds: float, taken: list[float], statuses: Counter[int]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {secret}\r\ncontent-type: application/json\r\n"
    )
    message = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    pause = _TENANTS / _PER_SECOND
    due = time.monotonic() + pause * number / _TENANTS
    end = due + seconds
    while due < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        writer.write(message)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        taken.append((time.monotonic() - began) * 1000)
        statuses[int(answer[9:12])] += 1
        due = max(due + pause, began)
    writer.close()
