"""Reading many rows with constant memory, without a cursor on the server.

A cursor belongs to one connection of PostgreSQL, which a pooler gives to somebody else between two transactions; so
none is used anywhere (DISABLE_SERVER_SIDE_CURSORS), and `iterator()` would fetch everything at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def in_portions(rows: QuerySet[Row], size: int) -> Iterator[Row]:
    """The rows by primary key, so many a query. What is written meanwhile may be among them."""
    rows = rows.order_by("pk")
    portion = list(rows[:size])
    while portion:
        yield from portion
        portion = list(rows.filter(pk__gt=portion[-1].pk)[:size]) if len(portion) == size else []
