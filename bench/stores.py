"""Throw-away PostgreSQL and Redis on the other core, as durable as production's: synchronous_commit and fsync on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from bench.processes import OTHER_CORE, BenchmarkError, Fleet

STORES: Final = ("postgresql", "redis")

_DEBIAN = "/usr/lib/postgresql"


def start_postgresql(fleet: Fleet, *, port: int) -> str:
    """Starts an empty cluster and returns its DATABASE_URL."""
    binaries = _postgresql_binaries()
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    folder = fleet.folder / "postgresql"
    folder.mkdir(mode=0o700)
    if user:
        shutil.chown(folder, user, user)
    done = subprocess.run(
        [binaries / "initdb", "-D", folder, "-U", "costrouter", "--auth=trust", "--encoding=UTF8", "--no-locale"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd="/",
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        raise BenchmarkError(f"initdb failed:\n{done.stdout}{done.stderr}")
    settings = {
        "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(folder),
        "synchronous_commit": "on", "fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB",
        "max_wal_size": "2GB",
    }  # fmt: skip
    options = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
    server = fleet.start(
        "postgresql", [binaries / "postgres", "-D", folder, *options], core=OTHER_CORE, cwd=Path("/"),
        user=user,
    )  # fmt: skip
    server.await_port(port)
    return f"postgres://costrouter@127.0.0.1:{port}/postgres"


def create_database(url: str, name: str) -> str:
    """Creates a database beside that of the URL and returns its own URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{url.rpartition('/')[0]}/{name}"


def start_redis(fleet: Fleet, *, port: int) -> str:
    """Starts an empty Redis without persistence (it holds no money) and returns its REDIS_URL, without a database."""
    redis = shutil.which("redis-server")
    if redis is None:
        raise BenchmarkError("redis-server is not installed (Debian: apt-get install redis-server)")
    server = fleet.start(
        "redis",
        [redis, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", fleet.folder],
        core=OTHER_CORE,
    )
    server.await_port(port)
    return f"redis://127.0.0.1:{port}"


def _postgresql_binaries() -> Path:
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else []
    candidates += sorted(Path(_DEBIAN).glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists():
            return folder
    raise BenchmarkError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
