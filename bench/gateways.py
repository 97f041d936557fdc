"""The gateway and the null application, each as one process on the gateway's core, served as production serves them."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import stores
from bench.load import Target
from bench.processes import GATEWAY_CORE, BenchmarkError, Fleet, Server, run

ROOT: Final = Path(__file__).resolve().parent.parent
GRANIAN: Final = (
    "--interface", "asgi", "--loop", "uvloop", "--http", "1", "--no-ws", "--backlog", "4096", "--backpressure", "4096",
)  # fmt: skip
"""How bin/serve serves; the same for every application that is compared."""
_SETTLE_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that listens: where to send requests, and whose CPU time they cost."""

    target: Target
    server: Server
    keeps_books: bool = False


@dataclass(frozen=True, slots=True)
class Books:
    """The gateway's database and the environment that reaches it."""

    env: Mapping[str, str]
    key: str

    def prove(self, completed: int) -> dict[str, int]:
        """Usage records by outcome, once all are settled.

        Raises BenchmarkError unless there is one successful record per completed request, no open reservation, and
        `manage.py verify` finds the books right.
        """
        counted = self._settled_counts()
        if counted != {"success": completed, "open_reservations": 0}:
            raise BenchmarkError(f"{completed} requests were completed, but the books say {counted}")
        run([sys.executable, "manage.py", "verify"], env=self.env, cwd=ROOT, seconds=600)
        return counted

    def _settled_counts(self) -> dict[str, int]:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            output = run([sys.executable, "-m", "bench.books", "count"], env=self.env, cwd=ROOT, seconds=120)
            counted: dict[str, int] = json.loads(output)
            if counted["open_reservations"] == 0 or time.monotonic() > deadline:
                return counted
            time.sleep(0.5)


def serve(
    fleet: Fleet,
    name: str,
    application: str,
    *,
    port: int,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Server:
    """Serves an application by granian on the gateway's core and returns once it listens."""
    server = fleet.start(
        name,
        [
            Path(sys.executable).with_name("granian"), *GRANIAN,
            "--workers", "1", "--host", "127.0.0.1", "--port", str(port), application,
        ],
        core=GATEWAY_CORE,
        env=env,
        cwd=cwd,
    )  # fmt: skip
    server.await_port(port)
    return server


def start_null(fleet: Fleet, *, port: int, batched: bool = False) -> Running:
    """The null application: a plain one, or `batched` one under the gateway's scheduling policy."""
    name, env = ("null-batched", {"BENCH_SCHED": "batch"}) if batched else ("null", {})
    return Running(Target(name, port), serve(fleet, name, "bench.applications.null:application", port=port, env=env))


def open_books(fleet: Fleet, *, postgresql_port: int, redis_port: int, json_port: int, stream_port: int) -> Books:
    """Starts the stores, migrates, and opens the books for load on the two upstreams."""
    env = {
        "DJANGO_SETTINGS_MODULE": "costrouter.settings",
        "DATABASE_URL": stores.start_postgresql(fleet, port=postgresql_port),
        "REDIS_URL": stores.start_redis(fleet, port=redis_port),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "KEY_PEPPERS": secrets.token_urlsafe(48),
        "MASTER_KEYS": f"bench:{base64.b64encode(os.urandom(32)).decode()}",
        "CHANNEL_NETWORKS": "127.0.0.0/8",
        "COSTROUTER_VAR": str(fleet.folder / "var"),
        "DEBUG": "0",
    }
    run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], env=env, cwd=ROOT, seconds=300)
    opened = run(
        [sys.executable, "-m", "bench.books", "open", str(json_port), str(stream_port)], env=env, cwd=ROOT, seconds=120
    )
    return Books(env, json.loads(opened)["key"])


def start_gateway(fleet: Fleet, books: Books, *, port: int) -> Running:
    server = serve(fleet, "costrouter", "costrouter.asgi:application", port=port, env=books.env)
    return Running(Target("costrouter", port, {"authorization": f"Bearer {books.key}"}), server, keeps_books=True)
