"""The test infrastructure itself: what every other test relies on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import httpx
import psycopg
import pytest
import redis

from accounts.models import Tenant, User
from billing import balances
from tests.gateway import Gateway


def test_the_cast_owns_joins_and_stays_out(
    alice: User, bob: User, charlie: User, tenant: Tenant, stranger_tenant: Tenant
) -> None:
    assert {member.user for member in tenant.members.all()} == {alice, bob}
    assert {member.user for member in stranger_tenant.members.all()} == {charlie}
    assert balances.open_wallet(tenant).available == 5_000_000_000


def test_each_postgres_database_is_empty_and_apart(postgres_url: Callable[[], str]) -> None:
    first, second = postgres_url(), postgres_url()

    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE mine ()")

    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'mine'").fetchone() == (0,)


def test_migrated_database_has_the_tables(migrated_postgres_url: Callable[[], str]) -> None:
    with psycopg.connect(migrated_postgres_url()) as connection:
        assert connection.execute("SELECT count(*) FROM billing_balance").fetchone() == (0,)


def test_redis_starts_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_connections_beyond_loopback_are_refused() -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match="loopback only"):
        sock.connect(("192.0.2.1", 80))


def test_names_beyond_loopback_are_not_resolved() -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://example.com/")


def test_gateway_has_the_workers_it_was_asked_for_and_replaces_the_dead(
    migrated_postgres_url: Callable[[], str], redis_url: str, start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway(database_url=migrated_postgres_url(), redis_url=redis_url, workers=2)
    first, second = gateway.pids

    gateway.kill(first)

    replaced = _eventually(lambda: [pid for pid in gateway.pids if pid not in {first, second}])
    assert len(replaced) == 1
    assert second in gateway.pids
    assert httpx.get(f"{gateway.url}/v1/models").status_code == 401


def test_gateway_runs_on_sqlite_alone(
    migrated_sqlite_url: Callable[[], str], start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway(database_url=migrated_sqlite_url())

    assert len(gateway.pids) == 1
    assert httpx.get(f"{gateway.url}/v1/models").status_code == 401


def test_management_commands_reach_the_gateways_database(
    migrated_sqlite_url: Callable[[], str], start_gateway: Callable[..., Gateway]
) -> None:
    gateway = start_gateway(database_url=migrated_sqlite_url())
    gateway.manage("create_tenant", "Example Ltd", "--owner", "owner@example.com", "--credit", "1")

    secret = gateway.manage("issue_key", "Example Ltd").strip()

    answer = httpx.get(f"{gateway.url}/v1/models", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    assert answer.json()["data"] == []


def _eventually(find: Callable[[], list[int]]) -> list[int]:
    """What `find` returns as soon as it finds anything."""
    deadline = time.monotonic() + 15
    while not (found := find()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found
