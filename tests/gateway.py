"""The real server as a process, started as production starts it, against a database of the test's choosing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from bin import leash
from tests import databases, servers

ROOT = Path(__file__).resolve().parent.parent


class Gateway:
    """A running gateway. `url` has no slash at its end; `env` is what its processes were given on top."""

    def __init__(
        self,
        *,
        database_url: str,
        var: Path,
        redis_url: str = "",
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        start_seconds: float = 30,
    ) -> None:
        port = servers.free_port()
        self.database_url = database_url
        self.workers = workers
        self.url = f"http://127.0.0.1:{port}"
        self.log = var / "gateway.log"
        self.env = {
            "REDIS_URL": redis_url,
            "COSTROUTER_VAR": str(var),
            "SITE_URL": self.url,
            "PORT": str(port),
            "WEB_PROCESSES": str(workers),
            **(env or {}),
        }
        self._process = leash.start(
            [str(ROOT / "bin" / "serve")],
            env={**os.environ, "DATABASE_URL": database_url, **self.env},
            log=self.log,
        )
        self._wait(start_seconds)

    @property
    def pids(self) -> list[int]:
        """The worker processes that live now, oldest first."""
        return children_named("worker", self._process.pid)

    @property
    def nurseries(self) -> list[int]:
        """What they are forked from: one, but for a moment."""
        return children_named("nursery", self._process.pid)

    @property
    def resident_bytes(self) -> int:
        """Memory of the largest worker."""
        pages = max(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self, pid: int) -> None:
        """Ends a worker as a crash would: signal 9."""
        os.kill(pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Sends a signal to the parent of the workers."""
        os.kill(self._process.pid, number)

    def wait(self, seconds: float) -> float:
        """Returns when the server has ended by itself, with the seconds that took."""
        began = time.monotonic()
        self._process.guard.wait(seconds)
        return time.monotonic() - began

    @property
    def exit_code(self) -> int | None:
        return self._process.guard.poll()

    def wait_for_others_than(self, pids: set[int], *, seconds: float) -> None:
        """Until as many workers serve as should, and none of these is left."""
        deadline = time.monotonic() + seconds
        while len(self.pids) != self.workers or pids & set(self.pids) or not self._answers():
            assert time.monotonic() < deadline, f"still {self.pids} of {pids}:\n{self.log.read_text()}"
            time.sleep(0.1)

    def manage(self, *words: str) -> str:
        """Runs a management command against this gateway's database; returns what it printed."""
        return databases.manage(*words, database_url=self.database_url, env=self.env)

    def stop(self) -> None:
        """Stops every process and prints the log, which pytest shows beside a failure."""
        self._process.stop()
        print(self.log.read_text())  # noqa: T201

    def _wait(self, seconds: float) -> None:
        """Until every worker has started and the gateway answers."""
        deadline = time.monotonic() + seconds
        while not (self._has_all_workers() and self._answers()):
            if not self._process.is_running or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"the gateway did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def _has_all_workers(self) -> bool:
        return all(f"Started worker-{n}" in self.log.read_text() for n in range(1, self.workers + 1))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/models", timeout=2).status_code < 500
        except httpx.TransportError:
            return False


def children_named(name: str, pid: int) -> list[int]:
    """The process ids of those of a server's processes, oldest first."""
    return sorted(child for child in map(int, _children(pid)) if _name(child) == name)


def _children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def _name(pid: int) -> str:
    """The worker processes and what they are forked from (costrouter/nursery.py) give themselves names."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
