"""The server's start: what it does to its process, and what importing it does not."""

from __future__ import annotations

import importlib
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from costrouter.server import listening
from tests.databases import SqliteDatabases
from tests.gateway import ROOT, Gateway
from tests.servers import free_port


def test_importing_the_application_leaves_the_process_as_it_was() -> None:
    before = os.sched_getscheduler(0)
    importlib.import_module("costrouter.asgi")
    assert os.sched_getscheduler(0) == before


def test_every_thread_of_the_server_lets_the_others_finish(sqlite_databases: SqliteDatabases, tmp_path: Path) -> None:
    gateway = Gateway(database_url=sqlite_databases.migrated(), var=tmp_path)
    try:
        (worker,) = gateway.pids
        threads = list(Path(f"/proc/{worker}/task").iterdir())
        policies = {os.sched_getscheduler(int(thread.name)) for thread in threads}
    finally:
        gateway.stop()
    assert (len(threads) > 3, policies) == (True, {os.SCHED_BATCH})


def test_connections_send_each_piece_of_a_stream_at_once() -> None:
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _address = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_importing_the_application_imports_what_pages_need_later() -> None:
    """What settings name by its path: read from the disk later, it might be another version's."""
    program = "import sys, costrouter.asgi; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    named = {"portal.signup", "administration.dashboard", "accounts.shared_cache", "accounts.authentication"}
    assert named <= set(done.stdout.split())


def _tried(*words: str, var: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A command with these settings, which ends by itself."""
    own = {"PORT": str(free_port()), "COSTROUTER_VAR": str(var), "DATABASE_URL": "", "REDIS_URL": "", **env}
    return subprocess.run(
        words, cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True, check=False, timeout=60
    )


SECRETS = {"SECRET_KEY": "s" * 32, "KEY_PEPPERS": "p" * 32, "MASTER_KEYS": f"k1:{'A' * 43}="}
NO_DATABASE = {"DATABASE_URL": f"sqlite:///{ROOT / 'manage.py'}", **SECRETS}
AWAY = {"DATABASE_URL": "postgres://nobody:x@127.0.0.1:1/none", **SECRETS}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        pytest.param({"DRAIN_SECONDS": "soon"}, "DRAIN_SECONDS is 'soon', but it is a number", id="no number"),
        pytest.param({"TRUSTED_PROXIES": "10.0.0.0/99"}, "TRUSTED_PROXIES: ", id="no network"),
        pytest.param(
            {"DATABASE_URL": "mysql://u:hush@h/d", **SECRETS}, "DATABASE_URL begins with", id="no such database"
        ),
        pytest.param({"MAX_OPEN_REQUESTS": "0"}, "MAX_OPEN_REQUESTS is 0, but at least 1.", id="no request at all"),
        pytest.param({"WEB_PROCESSES": "two"}, "WEB_PROCESSES is 'two': it is a number", id="no number of processes"),
        pytest.param({"PORT": "http"}, "PORT is 'http': it is a number", id="no port"),
        pytest.param({"HOST": "no.such.host.invalid"}, "cannot be listened on", id="no host"),
        pytest.param({"COSTROUTER_VAR": "/proc/none"}, "COSTROUTER_VAR: ", id="a disk that takes nothing"),
        pytest.param(AWAY, "The database cannot be used: ", id="a database that is away"),
        pytest.param({}, "The database is older than this version", id="an older schema"),
    ],
)
def test_server_that_cannot_start_says_why_and_ends(tmp_path: Path, env: dict[str, str], words: str) -> None:
    done = _tried("bin/serve", var=tmp_path, **env)

    assert (done.returncode, "Traceback" in done.stderr + done.stdout) == (1, False), done.stderr
    assert words in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("command", "env", "words"),
    [
        pytest.param(["manage.py", "migrate"], AWAY, "The database cannot be used: ", id="migrate"),
        pytest.param(["manage.py", "verify"], AWAY, "The database cannot be used: ", id="verify"),
        pytest.param(["manage.py", "check"], {"COSTROUTER_VAR": "/proc/none"}, "COSTROUTER_VAR: ", id="check"),
        pytest.param(["manage.py", "migrate"], NO_DATABASE, "The database cannot be used: ", id="a file that is none"),
        pytest.param(
            ["-m", "celery", "-A", "costrouter", "worker"], {"DEBUG": "maybe"}, "DEBUG is 'maybe'", id="worker"
        ),
        pytest.param(["-m", "celery", "-A", "costrouter", "beat"], {"DEBUG": "maybe"}, "DEBUG is 'maybe'", id="beat"),
        pytest.param(
            ["-m", "celery", "-A", "costrouter", "worker"], {}, "There is no REDIS_URL", id="a worker without a queue"
        ),
        pytest.param(["-m", "celery", "-A", "costrouter", "beat"], {}, "There is no REDIS_URL", id="beat without one"),
    ],
)
def test_command_that_cannot_run_says_why(tmp_path: Path, command: list[str], env: dict[str, str], words: str) -> None:
    done = _tried(sys.executable, *command, var=tmp_path, **env)

    assert (done.returncode, "Traceback" in done.stderr + done.stdout) == (1, False), done.stderr
    assert words in done.stderr + done.stdout
    assert list(ROOT.glob("celerybeat-schedule*")) == [], "what beat notes is no part of a checkout"


def test_secrets_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_bytes(b"\xff\xfe")

    done = _tried(sys.executable, "manage.py", "check", var=tmp_path)

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"{tmp_path / 'secrets.env'} cannot be read: it is no text in UTF-8." in done.stderr


def test_file_that_a_command_cannot_write_is_named(sqlite_databases: SqliteDatabases, tmp_path: Path) -> None:
    (tmp_path / "demo.env").mkdir()
    url = sqlite_databases.migrated()

    done = _tried(sys.executable, "manage.py", "demo", var=tmp_path, DATABASE_URL=url, **SECRETS)

    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"manage.py: {tmp_path / 'demo.env'} cannot be used: Is a directory" in done.stderr


def test_empty_path_is_the_default_and_not_the_folder_that_one_is_in() -> None:
    program = "from django.conf import settings; print(settings.VAR_DIR, settings.SPOOL_DIR, sep='\\n')"
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "costrouter.settings", "COSTROUTER_VAR": "", "SPOOL_DIR": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == [str(ROOT / "var"), str(ROOT / "var" / "spool")]


def test_database_that_is_newer_than_the_program_is_not_served(
    sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    url = sqlite_databases.migrated()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('billing', '9999_later', '2030-01-01')"
        )

    done = _tried("bin/serve", var=tmp_path, DATABASE_URL=url, **SECRETS)

    assert (done.returncode, "Traceback" in done.stderr + done.stdout) == (1, False)
    assert "The database is newer than this version, which does not know billing 9999_later" in done.stdout
