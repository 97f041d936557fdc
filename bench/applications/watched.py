"""The gateway with a watch on its event loop: `GET /bench/watch` says what was longest since it was last asked.

A timer is due every millisecond. How late it comes is what any other request would have waited; the processor time of
the loop's thread in between is that without what other processes took of the core.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

from costrouter.asgi import application as gateway

PATH: Final = "/bench/watch"
_EVERY: Final = 0.001
_PEAK_AGAIN: Final = "5"
"""Makes the peak of the process's memory what it has now (proc(5), clear_refs)."""


class _Watch:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._longest = self._longest_work = 0.0
        self._begin()

    def _begin(self) -> None:
        self._seen, self._worked = time.perf_counter(), time.thread_time()
        self._loop.call_later(_EVERY, self._look)

    def _look(self) -> None:
        self._longest = max(self._longest, time.perf_counter() - self._seen - _EVERY)
        self._longest_work = max(self._longest_work, time.thread_time() - self._worked)
        self._begin()

    def report(self) -> dict[str, float]:
        """Milliseconds, and MiB; afterwards it begins anew."""
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        Path("/proc/self/clear_refs").write_text(_PEAK_AGAIN)
        found = {"late": self._longest * 1e3, "work": self._longest_work * 1e3, "peak": int(peak.split()[1]) / 1024}
        self._longest = self._longest_work = 0.0
        return found


_watches: list[_Watch] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    if not _watches:
        _watches.append(_Watch())
    if scope["type"] != "http" or scope["path"] != PATH:
        await gateway(scope, receive, send)
        return
    body = json.dumps(_watches[0].report()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
