"""The server's start: what it does to its process, and what importing it does not."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from costrouter.server import listening
from tests.databases import SqliteDatabases
from tests.gateway import ROOT, Gateway


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
