"""PostgreSQL and Redis go away and come back: nothing is forwarded unpaid, nothing fails for Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from tests import servers
from tests import upstream as up
from tests.databases import PostgresDatabases
from tests.envelopes import assert_error, assert_retriable
from tests.installation import COST, SINGLE
from tests.worlds import World


@pytest.fixture
def own_postgres() -> Iterator[servers.Server]:
    """A PostgreSQL that a test may stop."""
    if "PostgreSQL" in servers.missing:
        pytest.skip(servers.missing["PostgreSQL"])
    server = servers.start_postgres()
    yield server
    server.process.stop()


@pytest.fixture
def own_redis() -> Iterator[servers.Server]:
    """A Redis that a test may stop."""
    if "Redis" in servers.missing:
        pytest.skip(servers.missing["Redis"])
    server = servers.start_redis()
    yield server
    server.process.stop()


def test_database_that_hangs_is_a_503_and_never_a_free_ride(
    start_world: Callable[..., World], own_postgres: servers.Server
) -> None:
    world = start_world(database_url=PostgresDatabases(own_postgres.url).migrated())
    caller, model = world.caller(), world.offer(SINGLE)
    assert caller.ask(model).status_code == 200
    gate, lines = threading.Event(), []
    world.upstream.on(model.upstream, up.stream(up.event(up.ROLE), up.Until(gate), *_rest()))
    listening = threading.Thread(target=lambda: lines.append(caller.listen(model)))
    listening.start()
    world.upstream.wait_for(model.upstream, 2)

    _signal_backends(own_postgres, signal.SIGSTOP)
    started = time.monotonic()
    refused = caller.ask(model)
    elapsed = time.monotonic() - started
    gate.set()
    listening.join()
    _signal_backends(own_postgres, signal.SIGCONT)

    assert_error(refused, 503, "server_error", "service_unavailable", param=None)
    assert_retriable(refused)
    assert elapsed < 10
    assert lines[0].is_done, "a stream in flight does not need the database"
    world.upstream.on(model.upstream, up.answer())
    _wait_until_served(lambda: caller.ask(model).status_code)
    world.installation.close()
    world.installation.assert_books(seconds=10)
    assert {record.cost for record in caller.records if record.outcome == "success"} == {COST}


def test_database_that_restarts_is_found_again(start_world: Callable[..., World], own_postgres: servers.Server) -> None:
    world = start_world(database_url=PostgresDatabases(own_postgres.url).migrated())
    caller, model = world.caller(), world.offer(SINGLE)
    assert caller.ask(model).status_code == 200
    world.installation.assert_books()

    world.installation.close()
    for backend in _children(own_postgres):
        with contextlib.suppress(ProcessLookupError):  # it had just ended by itself
            os.kill(backend, signal.SIGTERM)
    statuses = {_wait_until_served(lambda: caller.ask(model).status_code)}

    assert statuses == {200}
    world.installation.assert_books(seconds=10)


def test_redis_that_dies_and_returns_fails_no_request(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str], own_redis: servers.Server
) -> None:
    world = start_world(database_url=migrated_postgres_url(), redis_url=own_redis.url)
    caller, model = world.caller(requests_per_minute=5000, concurrency=50), world.offer(SINGLE)
    statuses = [caller.ask(model).status_code]

    pid = own_redis.process.pid
    os.kill(pid, signal.SIGSTOP)
    statuses += [caller.ask(model).status_code for _count in range(30)]
    os.kill(pid, signal.SIGCONT)
    statuses += [caller.ask(model).status_code for _count in range(10)]
    os.kill(pid, signal.SIGKILL)
    statuses += [caller.ask(model).status_code for _count in range(30)]

    assert set(statuses) == {200}
    world.installation.assert_books()
    assert caller.available == 10 * 10**9 - len(statuses) * COST


def test_gateway_starts_and_serves_without_its_redis(
    start_world: Callable[..., World], migrated_postgres_url: Callable[[], str]
) -> None:
    nobody = f"redis://127.0.0.1:{servers.free_port()}/0"
    world = start_world(database_url=migrated_postgres_url(), redis_url=nobody)
    caller, model = world.caller(requests_per_minute=2), world.offer(SINGLE)

    statuses = [caller.ask(model).status_code for _count in range(3)]

    assert statuses == [200, 200, 429]
    assert nobody != settings.REDIS_URL


def _rest() -> list[bytes]:
    return [*(up.event(item) for item in (*up.words("One two three four five"), up.FINISH, up.usage_chunk())), up.DONE]


def _children(server: servers.Server) -> list[int]:
    """The server's client backends and helpers."""
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children") as file:  # noqa: PTH123
        return [int(pid) for pid in file.read().split()]


def _signal_backends(server: servers.Server, number: signal.Signals) -> None:
    """Stops or continues PostgreSQL altogether: connections stay open and nobody answers."""
    for pid in (server.process.pid, *_children(server)):
        os.kill(pid, number)


def _wait_until_served(ask: Callable[[], int], *, seconds: float = 10) -> int:
    deadline = time.monotonic() + seconds
    while (status := ask()) != 200 and time.monotonic() < deadline:
        assert status == 503, status
        time.sleep(0.2)
    return status
