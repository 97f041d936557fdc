"""Two gateways for the whole run: PostgreSQL with Redis, and the embedded default."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.callers import PATH, Caller
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.installation import DOUBLE, SINGLE, Offer
from tests.worlds import World, redis_database


@pytest.fixture(scope="session")
def shared_world(start_shared_world: Callable[..., World], postgres_databases: PostgresDatabases) -> World:
    """The gateway on PostgreSQL and Redis."""
    return start_shared_world(
        database_url=postgres_databases.migrated(), redis_url=redis_database(1), stock={SINGLE: 120, DOUBLE: 60}
    )


@pytest.fixture(scope="session")
def sqlite_world(start_shared_world: Callable[..., World], sqlite_databases: SqliteDatabases) -> World:
    return start_shared_world(database_url=sqlite_databases.migrated(), stock={SINGLE: 12, DOUBLE: 6})


@pytest.fixture(params=[pytest.param("shared_world", id="postgres"), pytest.param("sqlite_world", id="sqlite")])
def each_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Both gateways, one after the other."""
    running: World = request.getfixturevalue(request.param)
    with running.checked() as world:
        yield world


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


@pytest.fixture(scope="module")
def filler(shared_world: World) -> tuple[Caller, Offer]:
    return shared_world.caller(), shared_world.offer(SINGLE)


@pytest.fixture
def retry_budget(filler: tuple[Caller, Offer]) -> None:
    """Failover is paid for by a share of all requests: some more for each test, so that none takes another's."""
    caller, model = filler
    url = f"{caller.installation.gateway_url}{PATH}"
    for _number in range(3):
        assert httpx.post(url, json=caller.body(model), headers=caller.authorization).status_code == 200
