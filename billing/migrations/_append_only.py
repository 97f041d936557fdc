"""What migrations do to rows that are written once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.backends.base.schema import BaseDatabaseSchemaEditor


@contextmanager
def writable(schema_editor: BaseDatabaseSchemaEditor, table: str) -> Iterator[None]:
    """Lifts the trigger that refuses changes of the table (PostgreSQL has one), for this migration's own hands."""
    trigger = f"{table}_append_only"
    if schema_editor.connection.vendor != "postgresql":
        yield
        return
    schema_editor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    yield
    schema_editor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")
