"""Versions of a price are numbered without gaps, also when several operators save at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import IntegrityError, connection

from billing.models import Price

OPERATORS = 4


def test_operators_who_save_at_once_get_a_version_each(database: str) -> None:
    start = Barrier(OPERATORS)

    def save(rate: int) -> int:
        start.wait(10)
        try:
            return Price.objects.create(model="raced", input=rate, output=rate).version
        finally:
            connection.close()

    with ThreadPoolExecutor(OPERATORS) as pool:
        versions = list(pool.map(save, range(OPERATORS)))
    assert sorted(versions) == [1, 2, 3, 4]
    assert Price.objects.filter(model="raced").count() == OPERATORS


def test_version_that_is_named_is_not_renumbered(database: str) -> None:
    Price.objects.create(model="named", version=7, input=1, output=1)
    with pytest.raises(IntegrityError):
        Price.objects.create(model="named", version=7, input=2, output=2)
    assert Price.objects.create(model="named", input=3, output=3).version == 8


def test_price_that_the_database_refuses_is_refused(database: str) -> None:
    with pytest.raises(IntegrityError):
        Price.objects.create(model="refused", input=-1, output=1)
    assert not Price.objects.filter(model="refused").exists()
