"""What the server's processes are forked from: it starts them in a moment, survives nobody, and is replaced whole."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bin import leash
from tests.certificates import certificate_for_loopback
from tests.databases import SqliteDatabases
from tests.gateway import ROOT, Gateway, children_named
from tests.servers import free_port
from tests.waiting import eventually


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """A file that settings want while they are read."""
    return certificate_for_loopback(tmp_path)


@pytest.fixture
def gateway(sqlite_databases: SqliteDatabases, start_gateway: Callable[..., Gateway], ca: Path) -> Gateway:
    """Its Redis is away."""
    url = f"rediss://127.0.0.1:{free_port()}/0?ssl_ca_certs={ca}"
    return start_gateway(database_url=sqlite_databases.migrated(), redis_url=url)


def test_a_process_imports_nothing_when_it_takes_a_dead_ones_place(gateway: Gateway) -> None:
    (dead,) = gateway.pids
    gateway.kill(dead)
    gateway.wait_for_others_than({dead}, seconds=20)
    (fresh,) = gateway.pids

    ticks = Path(f"/proc/{fresh}/stat").read_text().rpartition(")")[2].split()[11:13]
    assert sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") < 0.4, "processor seconds; an import takes 0.8"


def test_a_process_that_is_killed_before_it_serves_is_started_again(
    sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    env = {"DATABASE_URL": sqlite_databases.migrated(), "PORT": url.rpartition(":")[2], "COSTROUTER_VAR": str(tmp_path)}
    log = tmp_path / "gateway.log"
    server = leash.start([str(ROOT / "bin" / "serve")], env={**os.environ, **env, "REDIS_URL": ""}, log=log)
    try:
        assert eventually(lambda: len(children_named("worker", server.pid)) == 1)
        (young,) = children_named("worker", server.pid)
        os.kill(young, signal.SIGKILL)

        assert eventually(lambda: _answers(f"{url}/health/live")), log.read_text()
    finally:
        server.stop()


def test_a_nursery_that_dies_is_replaced_by_one_that_starts_processes(gateway: Gateway) -> None:
    (before,) = gateway.nurseries
    (serving,) = gateway.pids
    os.kill(before, signal.SIGKILL)
    gateway.kill(serving)
    gateway.wait_for_others_than({serving}, seconds=40)

    assert gateway.nurseries != [before]
    assert len(gateway.nurseries) == 1


def test_a_restart_imports_everything_anew(gateway: Gateway) -> None:
    nursery, serving = gateway.nurseries, set(gateway.pids)
    gateway.signal(signal.SIGHUP)
    gateway.wait_for_others_than(serving, seconds=40)

    assert eventually(lambda: len(gateway.nurseries) == 1)
    assert gateway.nurseries != nursery


def test_a_restart_that_cannot_import_leaves_the_old_ones_and_what_starts_them(gateway: Gateway, ca: Path) -> None:
    nursery, serving = gateway.nurseries, gateway.pids
    ca.unlink()
    gateway.signal(signal.SIGHUP)
    assert eventually(lambda: "the old ones stay" in gateway.log.read_text())

    assert (gateway.nurseries, gateway.pids) == (nursery, serving)
    gateway.kill(serving[0])
    gateway.wait_for_others_than(set(serving), seconds=20)
    assert httpx.get(f"{gateway.url}/health/live").status_code == 200


def test_a_stop_while_it_still_imports_ends_at_once(
    sqlite_databases: SqliteDatabases, start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway(database_url=sqlite_databases.migrated())
    gateway.signal(signal.SIGHUP)
    assert eventually(lambda: len(gateway.nurseries) == 2)
    gateway.signal(signal.SIGTERM)

    assert gateway.wait(20) < 10
    assert gateway.exit_code == 0


def test_a_stop_while_nothing_can_take_a_dead_ones_place_is_a_stop(gateway: Gateway) -> None:
    (nursery,), (serving,) = gateway.nurseries, gateway.pids
    os.kill(nursery, signal.SIGSTOP)
    gateway.kill(serving)
    assert eventually(lambda: "Starting worker-1 again" in gateway.log.read_text())
    gateway.signal(signal.SIGTERM)

    assert gateway.wait(20) < 5
    assert gateway.exit_code == 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
