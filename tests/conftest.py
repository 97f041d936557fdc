"""The cast and the stage: Alice owns a tenant, Bob is a member of it, Charlie is a stranger who owns another."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from accounts.tenants import open_tenant
from billing import balances, ledger, legs, money
from billing.models import LedgerEntry

# Throttles of pages are each test's own. What counts in Redis or in the database is tested there.
settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# Operators of tests have no second factor; who needs one is tested there.
settings.ADMIN_SECOND_FACTOR = False

# What the shared modules assert is explained like what the tests assert, if this comes before their first import.
pytest.register_assert_rewrite("tests.callers", "tests.envelopes", "tests.installation", "tests.pages")

from tests import servers
from tests.bookkeeping import default_database
from tests.callers import Caller
from tests.certificates import certificate_for_loopback
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.gateway import Gateway
from tests.pages import Browser
from tests.worlds import World, running

# --- the cast --------------------------------------------------------------------------------------------------------


@pytest.fixture
def alice(db: None) -> User:
    """Nobody of the cast has a password: `Browser(alice)` is signed in."""
    return User.objects.create_user("alice@example.com", name="Alice")


@pytest.fixture
def tenant(alice: User) -> Tenant:
    """Alice's, with 5 USD in its wallet."""
    return _funded(open_tenant(owner=alice, name="Alice Ltd"))


@pytest.fixture
def bob(tenant: Tenant) -> User:
    """A developer in Alice's tenant."""
    user = User.objects.create_user("bob@example.com", name="Bob")
    Member.objects.create(tenant=tenant, user=user, role=Member.Role.DEVELOPER)
    return user


@pytest.fixture
def api_key(tenant: Tenant) -> ApiKey:
    """Of Alice's tenant."""
    return keys.issue(tenant=tenant, name="production").api_key


@pytest.fixture
def charlie(db: None) -> User:
    """Nothing to do with Alice's tenant."""
    return User.objects.create_user("charlie@example.com", name="Charlie")


@pytest.fixture
def stranger_tenant(charlie: User) -> Tenant:
    """Charlie's, with 5 USD in its wallet."""
    return _funded(open_tenant(owner=charlie, name="Charlie Ltd"))


@pytest.fixture
def operator(db: None) -> User:
    """A superuser without a tenant."""
    return User.objects.create_superuser("olga@example.com", name="Olga")


@pytest.fixture
def browser(db: None) -> Browser:
    """Nobody is signed in."""
    return Browser()


@pytest.fixture
def alices(alice: User, tenant: Tenant) -> Browser:
    """A browser in which Alice is signed in."""
    return Browser(alice)


@pytest.fixture
def desk(operator: User) -> Browser:
    """The operator's browser."""
    return Browser(operator)


def _funded(tenant: Tenant) -> Tenant:
    ledger.post(
        balance=balances.open_wallet(tenant),
        kind=LedgerEntry.Kind.GRANT,
        amount=money.from_decimal(Decimal(5), tenant.currency),
        reference=f"test:{tenant.pk}:{secrets.token_hex(4)}",
    )
    return tenant


# --- servers and processes -------------------------------------------------------------------------------------------


def _needs(server: str) -> None:
    if server in servers.missing:
        pytest.skip(f"{server}: {servers.missing[server]}")


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[PostgresDatabases]:
    _needs("PostgreSQL")
    made = PostgresDatabases(servers.postgres_url, os.environ["DATABASE_URL"])
    yield made
    made.drop_all()


@pytest.fixture(scope="session")
def pooler(postgres_databases: PostgresDatabases) -> Iterator[int]:
    """The port of a PgBouncer in transaction mode before the run's PostgreSQL (`servers.through(url, port)`)."""
    try:
        server = servers.start_pgbouncer(postgres_databases.server_url)
    except servers.Unavailable as reason:
        if servers.IN_CI:
            raise
        servers.missing["PgBouncer"] = str(reason)
        pytest.skip(f"PgBouncer: {reason}")
    yield servers.port_of(server.url)
    server.process.stop()


@pytest.fixture
def pooled_postgres_url(migrated_postgres_url: Callable[[], str], pooler: int) -> Callable[[], str]:
    """Makes a migrated PostgreSQL database and returns its URL through PgBouncer."""
    return lambda: servers.through(migrated_postgres_url(), pooler)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The server is thrown away with it; a pooler's idle connections would keep it from being dropped."""
    return servers.POOLED


@pytest.fixture
def postgres_url(postgres_databases: PostgresDatabases) -> Callable[[], str]:
    """Makes an empty PostgreSQL database and returns its URL."""
    return postgres_databases.empty


@pytest.fixture
def migrated_postgres_url(postgres_databases: PostgresDatabases) -> Callable[[], str]:
    """Makes a migrated PostgreSQL database and returns its URL."""
    return postgres_databases.migrated


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="module", params=["postgres_databases", "sqlite_databases"], ids=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The URL of a migrated database, the default one of every thread: once PostgreSQL, once SQLite.

    A module's tests share it; each works with tenants of its own.
    """
    databases: PostgresDatabases | SqliteDatabases = request.getfixturevalue(request.param)
    url = databases.migrated()
    with default_database(url, django_db_blocker):
        yield url
    legs._wallet_ids.clear()


@pytest.fixture
def migrated_sqlite_url(sqlite_databases: SqliteDatabases) -> Callable[[], str]:
    """Makes a migrated SQLite database and returns its URL."""
    return sqlite_databases.migrated


@pytest.fixture
def redis_url() -> str:
    """The URL of a Redis database with nothing in it."""
    _needs("Redis")
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
    return str(settings.REDIS_URL)


@pytest.fixture(scope="session")
def tls_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of its own behind a password, which speaks TLS alone."""
    _needs("Redis")
    server = servers.start_redis(certificate_for_loopback(tmp_path_factory.mktemp("tls")))
    yield server.url
    server.process.stop()


@pytest.fixture
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways (`start_gateway(database_url=..., redis_url=..., workers=1, env={...})`), stopped at the end."""
    started: list[Gateway] = []

    def start(**options: Any) -> Gateway:
        gateway = Gateway(var=tmp_path_factory.mktemp("gateway"), **options)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        gateway.stop()


def _starting(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[Callable[..., World]]:
    """Starts worlds (the options are those of `worlds.running`), stopped at the end."""
    with ExitStack() as stack:

        def start(**options: Any) -> World:
            var = tmp_path_factory.mktemp("world")
            return stack.enter_context(running(var=var, blocker=django_db_blocker, **options))

        yield start


start_world = pytest.fixture(_starting, name="start_world")
start_shared_world = pytest.fixture(_starting, name="start_shared_world", scope="session")


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The `shared_world` of the folder or module; afterwards its books add up and it holds nothing."""
    with shared_world.checked() as world:
        yield world


@pytest.fixture
def caller(world: World) -> Caller:
    """An app with 10 USD."""
    return world.caller()


@pytest.fixture
def var_folder() -> Path:
    """The folder that settings.VAR_DIR names in this run."""
    return Path(settings.VAR_DIR)


# --- nobody leaves the house -----------------------------------------------------------------------------------------


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host in {"", "localhost"}


def _refuse_the_outside(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook (https://docs.python.org/3/library/audit_events.html): no connection beyond loopback."""
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            raise RuntimeError(f"tests connect to loopback only, not to {address}")
    elif event in _LOOKUPS and not _is_literal(arguments[0]):
        raise socket.gaierror(socket.EAI_NONAME, f"tests resolve no names: {arguments[0]}")


_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}


def _is_literal(host: str | bytes | None) -> bool:
    text = host.decode() if isinstance(host, bytes) else host or ""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text in {"", "localhost"}
    return True


sys.addaudithook(_refuse_the_outside)
