"""What the gateway's own role may do on PostgreSQL: all that it needs, and nothing to history but to add to it.

For an installation in which one role owns the tables and migrates them, and another one serves requests. Triggers
refuse changes of history to both; the role that serves cannot even lift them.
"""

from __future__ import annotations

from django.apps import apps
from django.db import connection, models
from psycopg import sql

from billing.models import AppendOnly


def statements(role: str) -> list[sql.Composed]:
    """The SQL that gives a role what it needs and takes away what it must not have; can be run any number of times."""
    name = sql.Identifier(role)
    return [
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name),
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}").format(name),
        sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(name),
        *(
            sql.SQL("REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER ON {} FROM {}").format(sql.Identifier(table), name)
            for table in _tables()
        ),
        # A person may be forgotten; what they did stays.
        *(
            sql.SQL("GRANT UPDATE (created_by_id) ON {} TO {}").format(sql.Identifier(_table(model)), name)
            for model in history()
            if hasattr(model, "created_by")
        ),
    ]


def history() -> list[type[models.Model]]:
    """The models whose rows are written once."""
    return [model for model in apps.get_models() if issubclass(model, AppendOnly)]


def _table(model: type[models.Model]) -> str:
    return model._meta.db_table  # noqa: SLF001 - Django's own name for its public description of a model


def _tables() -> list[str]:
    """Those of history, and the months of the usage records, which are tables of their own."""
    names = [_table(model) for model in history()]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "JOIN pg_class p ON p.oid = i.inhparent WHERE p.relname = ANY(%s) ORDER BY 1",
            [names],
        )
        return names + [row[0] for row in cursor.fetchall()]
