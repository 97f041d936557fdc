"""Changes of keys on PostgreSQL, whose transactions overlap: directly, and behind a pooler with two connections."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest
from pytest_django.plugin import DjangoDbBlocker

from accounts import key_changes, keys
from accounts.key_cache import KeyCache
from accounts.keys import IssuedKey
from accounts.models import ApiKey, KeyChange, Tenant
from tests import servers
from tests.accounts.using import OUT_WITHIN, begin, execute, find, is_out, issue, run, seconds_until, use, write
from tests.bookkeeping import default_database
from tests.databases import PostgresDatabases


@pytest.fixture(scope="module", params=["direct", "pooled"])
def database(
    request: pytest.FixtureRequest, postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The URL of a migrated database without a pooler; the default one of every thread may have one before it."""
    url = through = postgres_databases.migrated()
    pooler = None
    if request.param == "pooled":
        pooler = servers.start_pgbouncer(postgres_databases.server_url, "default_pool_size = 2")
        through = servers.through(url, servers.port_of(pooler.url))
    with default_database(through, django_db_blocker):
        yield url
    if pooler is not None:
        pooler.process.stop()


class Listener:
    """Reads on from where it was."""

    def __init__(self) -> None:
        self.position = key_changes.read(None).position

    def hears(self) -> tuple[set[int], set[int]]:
        """Keys and tenants."""
        changes = key_changes.read(self.position)
        assert not changes.has_gap
        self.position = changes.position
        return set(changes.keys), set(changes.tenants)


@pytest.fixture
def api_key(database: str) -> ApiKey:
    return keys.issue(tenant=Tenant.objects.create(name="Alice Ltd"), name="production").api_key


NOTHING: tuple[set[int], set[int]] = (set(), set())
REVOKE = "UPDATE accounts_apikey SET status = 'revoked' WHERE id = %s"


def test_transaction_that_commits_late_is_told_when_it_does(api_key: ApiKey, database: str) -> None:
    """Others begin after it and commit before it; each is told once."""
    tenant, told, listener = Tenant.objects.create(name="Charlie Ltd"), [], Listener()
    with psycopg.connect(database) as late:
        late.execute(REVOKE, [api_key.pk])
        told.append(listener.hears())
        for concurrency in (5, 6):
            Tenant.objects.filter(pk=tenant.pk).update(concurrency=concurrency)
            told.append(listener.hears())
        told.append(listener.hears())
        late.commit()
    told += [listener.hears(), listener.hears()]

    assert told == [NOTHING, (set(), {tenant.pk}), (set(), {tenant.pk}), NOTHING, ({api_key.pk}, set()), NOTHING]


def test_transaction_that_took_its_number_before_anybody_listened_is_told(api_key: ApiKey, database: str) -> None:
    with psycopg.connect(database) as late:
        late.execute("SELECT pg_current_xact_id()")
        Tenant.objects.create(name="Charlie Ltd")
        listener = Listener()
        late.execute(REVOKE, [api_key.pk])
        assert listener.hears() == NOTHING
        late.commit()

    assert listener.hears() == ({api_key.pk}, set())


def test_change_of_a_subtransaction_is_told_with_its_transaction(api_key: ApiKey, database: str) -> None:
    listener = Listener()
    with psycopg.connect(database) as late:
        with late.transaction(), late.transaction():
            late.execute(REVOKE, [api_key.pk])
            Tenant.objects.create(name="Charlie Ltd")
            assert listener.hears() == NOTHING
        late.commit()

    assert listener.hears() == ({api_key.pk}, set())


# --- in use ----------------------------------------------------------------------------------------------------------


def test_revocation_that_commits_late_holds_within_two_seconds_of_its_commit(database: str) -> None:
    """It began before the key was read, and others commit while it is under way."""
    issued, other = issue(), issue()
    rows = Tenant.objects.filter(pk=other.api_key.tenant_id)

    async def story() -> float:
        cache = KeyCache()
        with psycopg.connect(database) as late:
            late.execute("UPDATE accounts_apikey SET status = 'revoked' WHERE id = %s", [issued.api_key.pk])
            for concurrency in range(1, 4):
                await asyncio.to_thread(write, partial(rows.update, concurrency=concurrency))
                await use(cache, 1.1, issued, other)
            late.commit()
        return await seconds_until(cache, issued, is_out)

    assert run(story) < OUT_WITHIN


class Numbers:
    """The limits of a key, counted up; and since when each number is true."""

    def __init__(self, issued: IssuedKey) -> None:
        self.issued = issued
        self.since = [(time.monotonic(), 0)]

    def write(self, hand: psycopg.Connection, pause: float) -> None:
        """One transaction that takes so long."""
        number = self.newest + 1
        hand.execute(
            "UPDATE accounts_apikey SET requests_per_minute = %s WHERE id = %s", [number, self.issued.api_key.pk]
        )
        time.sleep(pause)
        hand.commit()
        self.since.append((time.monotonic(), number))

    @property
    def newest(self) -> int:
        return self.since[-1][1]

    def at(self, moment: float) -> int:
        """The newest number that was true by then."""
        return max((number for since, number in self.since if since < moment), default=0)

    async def seen_by(self, cache: KeyCache) -> int:
        caller = await find(cache, self.issued)
        assert caller is not None
        return (caller.limits[0].requests or 0) if caller.limits else 0


def test_nothing_is_older_than_two_seconds_while_many_write(database: str) -> None:
    """Three writers, whose transactions take from nothing to a second; four processes' caches."""
    numbers = [Numbers(issue()) for _key in range(6)]
    end = time.monotonic() + 2.5

    def work(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(database) as hand:
            while time.monotonic() < end:
                chance.choice(numbers[seed::3]).write(hand, chance.choice((0, 0, 0.05, 1.0)) * chance.random())

    async def compare() -> int:
        caches, compared = [KeyCache() for _process in range(4)], 0
        while time.monotonic() < end + OUT_WITHIN:
            for cache in caches:
                for each in numbers:
                    least = each.at(time.monotonic() - OUT_WITHIN)
                    assert await each.seen_by(cache) >= least
                    compared += 1
            await asyncio.sleep(0.02)
        for cache in caches:
            assert [await each.seen_by(cache) for each in numbers] == [each.newest for each in numbers]
        return compared

    writers = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for writer in writers:
        writer.start()
    compared = run(compare)
    for writer in writers:
        writer.join()

    assert compared > 500
    assert sum(each.newest for each in numbers) > 6


# --- what changed cannot be read -------------------------------------------------------------------------------------


def test_revocation_holds_within_two_seconds_although_changes_cannot_be_read(database: str) -> None:
    issued, table = issue(), KeyChange._meta.db_table

    def revoke_unrecorded() -> None:
        execute(f"ALTER TABLE {table} RENAME TO put_away")
        execute("ALTER TABLE accounts_apikey DISABLE TRIGGER accounts_apikey_key_changed")
        issued.api_key.revoke()

    async def story() -> float:
        cache = KeyCache()
        await use(cache, 1.2, issued)
        await asyncio.to_thread(write, revoke_unrecorded)
        return await seconds_until(cache, issued, is_out)

    try:
        assert run(story) < OUT_WITHIN
    finally:
        execute(f"ALTER TABLE put_away RENAME TO {table}")
        execute("ALTER TABLE accounts_apikey ENABLE TRIGGER accounts_apikey_key_changed")


def test_locked_table_of_changes_keeps_no_request_waiting_for_long(database: str) -> None:
    """A request waits a second for what changed, and then reads its key itself."""
    issued = issue()

    async def story() -> list[float]:
        cache, waits = KeyCache(), []
        await begin(cache, issued)
        with psycopg.connect(database) as lock:
            lock.execute("LOCK TABLE accounts_keychange IN ACCESS EXCLUSIVE MODE")
            end = time.monotonic() + 4
            while time.monotonic() < end:
                began = time.monotonic()
                assert await find(cache, issued) is not None
                waits.append(time.monotonic() - began)
                await asyncio.sleep(0.05)
        return waits

    waits = run(story)
    assert max(waits) < 1.5
    assert sum(wait > 0.5 for wait in waits) <= 2
