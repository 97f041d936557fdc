"""How a table's changes of what is kept of keys become rows of `accounts_keychange`, on both databases.

A table that SQLite makes anew loses its triggers: a migration that has it made anew records it once more.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.backends.base.schema import BaseDatabaseSchemaEditor


@dataclass(frozen=True, slots=True)
class Recorded:
    """A table, the columns whose change matters, and whose change it is: a key's where a row names one, else a
    tenant's.
    """

    table: str
    columns: tuple[str, ...]
    tenant: str = ""
    api_key: str = ""
    inserted: str = ""
    """The condition under which a new row (`NEW`) matters; empty where none does."""


# An emptied table clears everything: the number is above all others.
_FUNCTION = """
CREATE FUNCTION accounts_key_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO accounts_keychange (cleared, xact) VALUES (9223372036854775807, pg_current_xact_id()::text::bigint);
        RETURN NULL;
    END IF;
    INSERT INTO accounts_keychange (tenant_id, api_key_id, xact)
    SELECT DISTINCT CASE WHEN api_key IS NULL THEN tenant END, api_key, pg_current_xact_id()::text::bigint
    FROM (
        SELECT (fields ->> TG_ARGV[0])::bigint AS tenant, (fields ->> TG_ARGV[1])::bigint AS api_key
        FROM (VALUES (to_jsonb(OLD)), (to_jsonb(NEW))) AS given (fields) WHERE fields IS NOT NULL
    ) AS subjects;
    RETURN NULL;
END $$
"""


def make_function(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """What PostgreSQL's triggers call; SQLite's say it themselves."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(_FUNCTION, params=None)


def drop_function(schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION accounts_key_changed()")


def record(schema_editor: BaseDatabaseSchemaEditor, recorded: Recorded) -> None:
    """Has the table's changes recorded, whoever makes them: form, shell or SQL.

    An update that names none of the columns, as a hold's of its balances, does not even ask the condition.
    """
    write = _on_postgresql if schema_editor.connection.vendor == "postgresql" else _on_sqlite
    for name, rest in write(recorded).items():
        schema_editor.execute(f"CREATE TRIGGER {recorded.table}_key_{name} AFTER {rest}", params=None)


def forget(schema_editor: BaseDatabaseSchemaEditor, recorded: Recorded) -> None:
    """Takes away what `record` made."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for name in _on_postgresql(recorded) if is_postgresql else _on_sqlite(recorded):
        where = f" ON {recorded.table}" if is_postgresql else ""
        schema_editor.execute(f"DROP TRIGGER {recorded.table}_key_{name}{where}")


def _on_postgresql(recorded: Recorded) -> dict[str, str]:
    table, (columns, old, new) = recorded.table, _columns(recorded)
    call = f"EXECUTE FUNCTION accounts_key_changed('{recorded.tenant}', '{recorded.api_key}')"
    found = {
        "changed": f"UPDATE OF {columns} ON {table} FOR EACH ROW WHEN (({old}) IS DISTINCT FROM ({new})) {call}",
        "deleted": f"DELETE ON {table} FOR EACH ROW {call}",
        "truncated": f"TRUNCATE ON {table} FOR EACH STATEMENT {call}",
    }
    if recorded.inserted:
        found["inserted"] = f"INSERT ON {table} FOR EACH ROW WHEN ({recorded.inserted}) {call}"
    return found


def _on_sqlite(recorded: Recorded) -> dict[str, str]:
    table, (columns, old, new) = recorded.table, _columns(recorded)
    of_old, of_new = (f"SELECT {_subject(recorded, row)}, 0" for row in ("OLD", "NEW"))
    insert = "INSERT INTO accounts_keychange (tenant_id, api_key_id, xact)"
    found = {
        "changed": f"UPDATE OF {columns} ON {table} WHEN ({old}) IS NOT ({new}) "
        f"BEGIN {insert} {of_old} UNION {of_new}; END",
        "deleted": f"DELETE ON {table} BEGIN {insert} {of_old}; END",
    }
    if recorded.inserted:
        found["inserted"] = f"INSERT ON {table} WHEN {recorded.inserted} BEGIN {insert} {of_new}; END"
    return found


def _columns(recorded: Recorded) -> tuple[str, str, str]:
    """Their names, and those of an update's two rows."""
    names, old, new = (", ".join(f"{row}{name}" for name in recorded.columns) for row in ("", "OLD.", "NEW."))
    return names, old, new


def _subject(recorded: Recorded, row: str) -> str:
    tenant = f"{row}.{recorded.tenant}" if recorded.tenant else "NULL"
    if not recorded.api_key:
        return f"{tenant}, NULL"
    api_key = f"{row}.{recorded.api_key}"
    return f"CASE WHEN {api_key} IS NULL THEN {tenant} END, {api_key}"
