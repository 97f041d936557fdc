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


def guard(schema_editor: BaseDatabaseSchemaEditor, table: str, *, author: str = "") -> None:
    """Makes the database refuse changes of the table's rows; `author` names a column that may be emptied: a person may
    be forgotten, what they did stays.

    A table that SQLite makes anew loses its triggers: a migration that has it made anew guards it once more.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()"
        )
        return
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    with schema_editor.connection.cursor() as cursor:
        columns = [
            column.name for column in schema_editor.connection.introspection.get_table_description(cursor, table)
        ]
    kept = ", ".join(f'"{name}"' for name in columns if name != author)
    schema_editor.execute(f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OF {kept} ON {table} {refuse}")
    schema_editor.execute(f"CREATE TRIGGER {table}_append_only_delete BEFORE DELETE ON {table} {refuse}")
    if author:
        schema_editor.execute(
            f"CREATE TRIGGER {table}_append_only_author BEFORE UPDATE OF {author} ON {table} "
            f"WHEN NEW.{author} IS NOT NULL {refuse}"
        )


def unguard(schema_editor: BaseDatabaseSchemaEditor, table: str) -> None:
    """Takes away what `guard` made."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP TRIGGER {table}_append_only ON {table}")
        return
    for suffix in ("", "_delete", "_author"):
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_append_only{suffix}")
