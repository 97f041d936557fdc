"""Two gateways for the whole run: PostgreSQL with Redis, and the embedded default."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.callers import Caller
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.installation import DOUBLE, SINGLE, Offer
from tests.worlds import World, redis_database, running


@pytest.fixture(scope="session")
def postgres_world(
    postgres_databases: PostgresDatabases,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[World]:
    with running(
        database_url=postgres_databases.migrated(),
        redis_url=redis_database(1),
        var=tmp_path_factory.mktemp("postgres_world"),
        blocker=django_db_blocker,
        stock={SINGLE: 120, DOUBLE: 60},
    ) as world:
        yield world


@pytest.fixture(scope="session")
def sqlite_world(
    sqlite_databases: SqliteDatabases,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[World]:
    with running(
        database_url=sqlite_databases.migrated(),
        var=tmp_path_factory.mktemp("sqlite_world"),
        blocker=django_db_blocker,
        stock={SINGLE: 12, DOUBLE: 6},
    ) as world:
        yield world


@pytest.fixture
def world(postgres_world: World) -> Iterator[World]:
    """The gateway on PostgreSQL and Redis; afterwards its books add up and it holds nothing."""
    before = postgres_world.installation.newest_wallet()
    yield postgres_world
    postgres_world.dismiss()
    postgres_world.installation.assert_books(after=before)


@pytest.fixture(params=["postgres_world", "sqlite_world"])
def each_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Both gateways, one after the other."""
    world: World = request.getfixturevalue(request.param)
    before = world.installation.newest_wallet()
    yield world
    world.dismiss()
    world.installation.assert_books(after=before)


@pytest.fixture
def caller(world: World) -> Caller:
    """An app with 10 USD."""
    return world.caller()


@pytest.fixture
def each_caller(each_world: World) -> Caller:
    return each_world.caller()


@pytest.fixture
def model(world: World) -> Offer:
    """A model with one route, at 2 USD per million input tokens and 8 per million output tokens."""
    return world.offer(SINGLE)


@pytest.fixture
def double(world: World) -> Offer:
    """A model with two routes, the cheaper one first."""
    return world.offer(DOUBLE)
