"""A gateway in this process, with its books in a SQLite database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pytest_django.plugin import DjangoDbBlocker

from billing import legs, processes
from costrouter import gateway as wiring
from routing.pipeline.gateway import Gateway
from tests.bookkeeping import default_database
from tests.databases import SqliteDatabases


@dataclass(frozen=True, slots=True)
class Stage:
    """An event loop, and the gateway that lives on it."""

    runner: asyncio.Runner
    gateway: Gateway


@pytest.fixture(scope="module")
def stage(sqlite_databases: SqliteDatabases, django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    """A gateway that keeps its books in a SQLite database of its own."""
    with default_database(sqlite_databases.migrated(), django_db_blocker), asyncio.Runner() as runner:
        legs._wallet_ids.clear()  # another module's database had the same ids
        gateway, owner = wiring.build(), processes.register()
        writer = gateway.writer

        async def start() -> None:
            writer.start(owner)

        async def stop() -> None:
            await asyncio.get_running_loop().run_in_executor(None, writer.stop)
            gateway.client.close()
            await gateway.limiter.close()
            await asyncio.sleep(0)  # connections close when the loop comes round

        runner.run(start())
        yield Stage(runner, gateway)
        runner.run(stop())
