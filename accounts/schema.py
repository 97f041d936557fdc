"""Whether the database's schema is this version's: a process that finds another one does not serve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

Name = tuple[str, str]
"""A migration by its app and its own name."""


class WrongSchema(Exception):
    """The message says which schema the database has, and what to do."""


def require_own() -> None:
    """Raises WrongSchema, or what the database raises where it is away."""
    known, replaced = _of_this_version()
    applied = set(MigrationRecorder(connection).applied_migrations())
    apps = {app for app, _name in known}
    newer = sorted(name for name in applied - known - replaced if name[0] in apps)
    missing = sorted(known - applied)
    if newer:
        raise WrongSchema(
            f"The database is newer than this version, which does not know {_named(newer)}. "
            "Start the version that migrated it, or migrate back."
        )
    if missing:
        raise WrongSchema(
            f"The database is older than this version: {_named(missing)} not applied. Run `manage.py migrate` first."
        )


@cache
def _of_this_version() -> tuple[frozenset[Name], frozenset[Name]]:
    """The migrations that are there, and those that others replace."""
    loader = MigrationLoader(None)
    replaced = {name for migration in loader.replacements.values() for name in migration.replaces}
    return frozenset(loader.graph.nodes), frozenset((*loader.replacements, *replaced))


def _named(migrations: Sequence[Name]) -> str:
    first = ", ".join(" ".join(migration) for migration in migrations[:3])
    return first if len(migrations) <= 3 else f"{first} and {len(migrations) - 3} more"
