"""One gateway for all fuzzing, with a model that answers and a wallet that lasts."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.databases import PostgresDatabases
from tests.worlds import World, redis_database

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20000"))
"""Bodies of the long form, all strategies together."""
_CHECKS = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]

# What fails first is shown: a route that failed is closed for a while, and whatever is tried then says less.
_COMMON = settings(deadline=None, database=None, suppress_health_check=_CHECKS, phases=[Phase.explicit, Phase.generate])
settings.register_profile("short", _COMMON, max_examples=80)
settings.register_profile("long", _COMMON, max_examples=EXAMPLES // 4)


@pytest.fixture(scope="session")
def shared_world(start_shared_world: Callable[..., World], postgres_databases: PostgresDatabases) -> World:
    return start_shared_world(database_url=postgres_databases.migrated(), redis_url=redis_database(3))
