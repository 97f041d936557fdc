"""The money core runs the same cases on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from billing import legs
from billing.books import Books, open_books
from tests.bookkeeping import Account, account


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
