"""The machine under the measurement: what it is, how fast it is at this moment, and who else uses it."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.processes import GATEWAY_CORE, Server

SLOW_STATE = 1.12
"""A window whose probe took this much longer than the fastest of the run was taken in the machine's slow state."""

_PROBE_LOOPS = 200_000
_USER_AND_SYSTEM = (0, 1, 2, 5, 6)
"""user, nice, system, irq and softirq of /proc/stat (proc(5)); idle, iowait and steal are nobody's work."""


class Meter:
    """What one window costs a server: its CPU time, beside the speed of the core and foreign work on it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cpu_seconds = 0.0
        self.probe_us = 0.0
        self.foreign = 0.0
        """Work of others on the gateway's core, in cores."""

    def __enter__(self) -> Self:
        self.probe_us = probe()
        self._busy = _busy_seconds(GATEWAY_CORE)
        self._cpu = self.server.cpu_seconds()
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = time.monotonic() - self._started
        self.cpu_seconds = self.server.cpu_seconds() - self._cpu
        busy = _busy_seconds(GATEWAY_CORE) - self._busy
        self.foreign = max(0.0, busy - self.cpu_seconds) / elapsed
        self.probe_us = max(self.probe_us, probe())


def probe() -> float:
    """CPU microseconds of a fixed loop on the gateway's core: the host changes its speed by itself."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {GATEWAY_CORE})
    try:
        return min(_timed_loop() for _ in range(3))
    finally:
        os.sched_setaffinity(0, mine)


def description() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}"


def commit(folder: Path) -> str:
    """The checkout's commit, with `+` if files differ from it; empty outside a checkout."""
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(folder, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions() -> str:
    return f"granian {version('granian')}, django {version('django')}, uvloop {version('uvloop')}"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _timed_loop() -> float:
    started = time.thread_time()
    total = 0
    for number in range(_PROBE_LOOPS):
        total += number & 7
    return (time.thread_time() - started) * 1e6


def _busy_seconds(core: int) -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return sum(int(ticks[index]) for index in _USER_AND_SYSTEM) / os.sysconf("SC_CLK_TCK")
    return 0
