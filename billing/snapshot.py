"""One view of the books for everything that is read within, however long it takes and whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def snapshot() -> Iterator[None]:
    """Reads within see one moment, and can write nothing on PostgreSQL. A block within a block is one with it."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                # Before the snapshot is taken: no month leaves the records between here and the sums it leaves.
                cursor.execute("LOCK TABLE billing_usagerecord IN ACCESS SHARE MODE")
        yield
