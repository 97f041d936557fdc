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

from bench import stores, upstreams
from bench.load import Target
from bench.processes import GATEWAY_CORE, BenchmarkError, Fleet, Server, run

ROOT: Final = Path(__file__).resolve().parent.parent
GRANIAN: Final = (
    "--interface", "asgi", "--loop", "uvloop", "--http", "1", "--no-ws", "--backlog", "4096", "--backpressure", "20000",
)  # fmt: skip
"""How costrouter/server.py serves; the same for every application that is compared."""
_SETTLE_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that listens: where to send requests, and whose CPU time they cost."""

    target: Target
    server: Server
    keeps_books: bool = False


@dataclass(frozen=True, slots=True)
class Checkout:
    """A version of this project: where it lies and which Python runs it."""

    name: str
    root: Path
    python: Path

    @classmethod
    def at(cls, name: str, root: Path) -> Checkout:
        """The version in a folder, under its own environment if it has one, else under this one's.

        Raises BenchmarkError if the folder holds no such version.
        """
        if not (root / "bench" / "books.py").is_file():
            raise BenchmarkError(f"{root} holds no version of this project with a benchmark")
        own = root / ".venv" / "bin" / "python"
        return cls(name, root, own if own.is_file() else Path(sys.executable))

    def run(self, *arguments: str, env: Mapping[str, str], seconds: float) -> str:
        return run([self.python, *arguments], env=env, cwd=self.root, seconds=seconds)


OURS: Final = Checkout("costrouter", ROOT, Path(sys.executable))


@dataclass(frozen=True, slots=True)
class Books:
    """A version's database and the environment that reaches it."""

    checkout: Checkout
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
        self.checkout.run("manage.py", "verify", env=self.env, seconds=600)
        return counted

    def _settled_counts(self) -> dict[str, int]:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            output = self.checkout.run("-m", "bench.books", "count", env=self.env, seconds=120)
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
    checkout: Checkout = OURS,
) -> Server:
    """Serves an application by granian on the gateway's core and returns once it listens."""
    server = fleet.start(
        name,
        [
            checkout.python.with_name("granian"), *GRANIAN,
            "--workers", "1", "--host", "127.0.0.1", "--port", str(port), application,
        ],
        core=GATEWAY_CORE,
        env=env,
        cwd=checkout.root,
    )  # fmt: skip
    server.await_port(port)
    return server


def start_null(fleet: Fleet, *, port: int, batched: bool = False) -> Running:
    """The null application: a plain one, or `batched` one under the gateway's scheduling policy."""
    name, env = ("null-batched", {"BENCH_SCHED": "batch"}) if batched else ("null", {})
    return Running(Target(name, port), serve(fleet, name, "bench.applications.null:application", port=port, env=env))


@dataclass(frozen=True, slots=True)
class Stand:
    """What stands behind a gateway: PostgreSQL, Redis and the two constant upstreams."""

    database_url: str
    redis_url: str
    json_port: int
    stream_port: int


def open_stand(fleet: Fleet, *, postgresql_port: int, redis_port: int, json_port: int, stream_port: int) -> Stand:
    """Starts the stores and the upstreams."""
    upstreams.start(fleet, json_port=json_port, stream_port=stream_port, root=ROOT)
    database_url = stores.start_postgresql(fleet, port=postgresql_port)
    return Stand(database_url, stores.start_redis(fleet, port=redis_port), json_port, stream_port)


def open_books(
    fleet: Fleet, stand: Stand, checkout: Checkout = OURS, *, database: int = 0, has_quotas: bool = False
) -> Books:
    """Migrates a database for a version, and opens its books for load on the two upstreams; `database` is Redis's."""
    env = {
        "DJANGO_SETTINGS_MODULE": "costrouter.settings",
        "DATABASE_URL": stores.create_database(stand.database_url, checkout.name),
        # Two versions in one run number their keys alike.
        "REDIS_URL": f"{stand.redis_url}/{database}",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "KEY_PEPPERS": secrets.token_urlsafe(48),
        "MASTER_KEYS": f"bench:{base64.b64encode(os.urandom(32)).decode()}",
        "CHANNEL_NETWORKS": "127.0.0.0/8",
        "COSTROUTER_VAR": str(fleet.folder / f"var-{checkout.name}"),
        "DEBUG": "0",
    }
    checkout.run("manage.py", "migrate", "--verbosity", "0", env=env, seconds=300)
    wanted = [str(stand.json_port), str(stand.stream_port), *(["quotas"] if has_quotas else [])]
    opened = checkout.run("-m", "bench.books", "open", *wanted, env=env, seconds=120)
    return Books(checkout, env, json.loads(opened)["key"])


def start_gateway(fleet: Fleet, books: Books, *, port: int, is_watched: bool = False) -> Running:
    """The gateway; if it is watched, it tells what holds its event loop (`bench.applications.watched`)."""
    checkout = books.checkout
    name, application = checkout.name, "costrouter.asgi:application"
    if is_watched:
        name, application = f"{name}-watched", "bench.applications.watched:application"
    server = serve(fleet, name, application, port=port, env=books.env, checkout=checkout)
    return Running(Target(name, port, {"authorization": f"Bearer {books.key}"}), server, keeps_books=True)
