"""The processes of a run: started pinned to one core, accounted as whole trees, and all stopped at the end."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

GATEWAY_CORE = 0
"""Where the process under measurement runs, alone."""
OTHER_CORE = 1
"""Where everything else runs: load, upstreams, stores and the harness itself."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS = 10


class BenchmarkError(Exception):
    """The run measured nothing that may be believed; the message says why."""


class Server:
    """A running process and its descendants."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree so far, of those that ended as well."""
        return sum(_cpu_ticks(pid) for pid in tree(self.process.pid)) / _TICKS_PER_SECOND

    def pss_kib(self) -> int:
        """Proportional set size of the whole tree."""
        return sum(_pss_kib(pid) for pid in tree(self.process.pid))

    def await_port(self, port: int, seconds: float = 60) -> None:
        """Returns once something listens on the port; raises BenchmarkError if the process ends first."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.1)
        raise BenchmarkError(f"{self.name} did not come up on port {port}:\n{self.last_words()}")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """Asks the whole group to end, then ends it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Fleet:
    """Every process and file of a run. Leaving the block, however, stops and removes them all."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.servers: dict[str, Server] = {}

    def __enter__(self) -> Self:
        # SystemExit, unlike the signal's default, unwinds the stack.
        self._previous = {
            number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
        }
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="costrouter-bench-")))
        self.folder.chmod(0o755)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in self._previous:
            signal.signal(number, signal.SIG_IGN)
        self._stack.close()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        core: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> Server:
        """Starts a command pinned to a core, in a process group of its own; its output goes to a log file."""
        log = self.folder / f"{name.replace('/', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                env={**os.environ, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )
        server = self.servers[name] = Server(name, process, log)
        self._stack.callback(server.stop)
        return server


def run(
    command: Sequence[str | Path],
    *,
    seconds: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    core: int = OTHER_CORE,
) -> str:
    """Runs a command to its end on a core and returns its output; raises BenchmarkError if it fails or takes long."""
    try:
        done = subprocess.run(
            ["taskset", "-c", str(core), *command],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{command[0]} did not end within {seconds:.0f} s") from error
    if done.returncode:
        raise BenchmarkError(f"{' '.join(map(str, command[:4]))} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def settle_harness() -> None:
    """Puts this process on the other core and lets its children open as many files as the machine allows.

    Addresses of stores in the caller's environment are dropped: a benchmark only ever writes to its own.
    """
    if (os.cpu_count() or 1) < 2:
        raise BenchmarkError("two cores are needed: one for the gateway, one for everything else")
    os.sched_setaffinity(0, {OTHER_CORE})
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tree(root: int) -> list[int]:
    """The process ids of a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            yield int(entry.name), int(fields[1])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the command's name; empty if the process is gone (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def _cpu_ticks(pid: int) -> int:
    """Of the process and of the children that it waited for: a connection of PostgreSQL ends with its client's."""
    return sum(map(int, _stat(pid)[11:15]))


def _pss_kib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
