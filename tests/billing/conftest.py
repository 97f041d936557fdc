"""The money core runs the same cases on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from billing import legs
from billing.books import Books, open_books
from tests.bookkeeping import Account, account, default_database
from tests.databases import PostgresDatabases, SqliteDatabases


@pytest.fixture(scope="module", params=["postgres_databases", "sqlite_databases"], ids=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The URL of a migrated database, the default one of every thread: once PostgreSQL, once SQLite.

    A module's tests share it; each works with tenants of its own.
    """
    databases: PostgresDatabases | SqliteDatabases = request.getfixturevalue(request.param)
    url = databases.migrated()
    with default_database(url, django_db_blocker):
        yield url


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    """A connection to the books."""
    opened = open_books()
    yield opened
    opened.close()


@pytest.fixture
def rich(database: str) -> Account:
    """A tenant with 1,000 ledger units."""
    return account(1000)


@pytest.fixture
def other(database: str) -> Account:
    """Another tenant with 500 ledger units."""
    return account(500)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Ids of one test's database say nothing in another."""
    legs._wallet_ids.clear()
    yield
    legs._wallet_ids.clear()
