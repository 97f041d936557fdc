"""A process's own jobs, in the real server."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from tests.gateway import Gateway

_BEAT = 0.2


def test_heartbeat_does_not_wait_for_the_catalogue(
    migrated_postgres_url: Callable[[], str], start_gateway: Callable[..., Gateway]
) -> None:
    url = migrated_postgres_url()
    start_gateway(database_url=url, env={"HEARTBEAT_SECONDS": str(_BEAT)})
    with psycopg.connect(url, autocommit=True) as watcher, psycopg.connect(url) as slow:
        slow.execute("LOCK TABLE routing_channel IN ACCESS EXCLUSIVE MODE")
        watcher.execute("UPDATE routing_route SET is_enabled = is_enabled")  # its trigger moves the version
        _wait_for_a_rebuild(watcher)
        before = _last_beat(watcher)
        time.sleep(10 * _BEAT)
        assert _last_beat(watcher) - before > 5 * _BEAT


def _wait_for_a_rebuild(watcher: psycopg.Connection) -> None:
    deadline = time.monotonic() + 10
    waits = "SELECT 1 FROM pg_locks WHERE relation = 'routing_channel'::regclass AND NOT granted"
    while watcher.execute(waits).fetchone() is None:
        assert time.monotonic() < deadline, "nobody reads the catalogue"
        time.sleep(0.05)


def _last_beat(watcher: psycopg.Connection) -> float:
    """In seconds since the epoch."""
    row = watcher.execute("SELECT extract(epoch FROM heartbeat_at) FROM billing_process").fetchone()
    assert row is not None
    return float(row[0])


def test_old_changes_of_keys_are_cleared(
    migrated_postgres_url: Callable[[], str], start_gateway: Callable[..., Gateway]
) -> None:
    url = migrated_postgres_url()
    with psycopg.connect(url, autocommit=True) as watcher:
        columns = "INSERT INTO accounts_keychange (tenant_id, xact, at)"
        watcher.execute(f"{columns} VALUES (1, 5, now() - interval '1 hour'), (2, 6, now())")
        start_gateway(database_url=url)
        deadline, text = time.monotonic() + 10, "SELECT tenant_id, cleared FROM accounts_keychange ORDER BY id"
        while (rows := watcher.execute(text).fetchall())[0][0] == 1:
            assert time.monotonic() < deadline, "nobody clears"
            time.sleep(0.05)

    assert rows == [(2, None), (None, 6)]
