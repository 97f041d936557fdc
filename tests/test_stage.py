"""The test infrastructure itself: what every other test relies on."""

from __future__ import annotations

import socket
from collections.abc import Callable

import httpx
import psycopg
import pytest
import redis

from accounts.models import Tenant, User
from billing import ledger


def test_the_cast_owns_joins_and_stays_out(
    alice: User, bob: User, charlie: User, tenant: Tenant, stranger_tenant: Tenant
) -> None:
    assert {member.user for member in tenant.members.all()} == {alice, bob}
    assert {member.user for member in stranger_tenant.members.all()} == {charlie}
    assert ledger.open_wallet(tenant).available == 5_000_000_000


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
