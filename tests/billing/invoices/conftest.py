"""Documents on both databases; the books add up after every test that has one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from billing.models import LegalEntity, TaxRate
from tests.billing.invoices.customers import Customer, customer, seller
from tests.bookkeeping import assert_books_add_up


@pytest.fixture
def entity(database: str) -> Iterator[LegalEntity]:
    """Who sells to everybody in this test; without taxes at its end."""
    yield seller()
    TaxRate.objects.all().delete()
    assert_books_add_up()


@pytest.fixture
def prepaid(entity: LegalEntity) -> Customer:
    """A customer since the beginning of March 2026 who pays in advance."""
    return customer()


@pytest.fixture
def postpaid(entity: LegalEntity) -> Customer:
    """A customer since the beginning of March 2026 who gets invoices."""
    return customer(postpaid=True)
