"""What changed of keys, as processes ask for it: one statement a second, instead of reading every key again (ADR 0027).

Wherever something changes that a process keeps of a key, a trigger writes a row, in the same transaction
(migrations/_key_changes.py). A row has a number: on PostgreSQL that of its transaction, on SQLite, which has one writer
at a time, its own. Whoever reads remembers a number below which nothing can appear any more, and reads from there on
the next time: what commits late is not missed, and what is read twice is told once.

A row is a matter of seconds, and gone after minutes. Who has not read it by then is told that there is a gap.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from django.db import connection, transaction
from django.db.models import Max

from accounts.models import KeyChange

MOST: Final = 5_000
"""Changes that are told one by one; where there are more it is quicker to read again what is used."""
KEPT: Final = dt.timedelta(minutes=2)

# `xmin` is the oldest transaction under way: it and whatever begins after it have that number or a higher one, and what
# has a lower one is there to be seen. One statement has one snapshot, so both are of one moment
# (https://www.postgresql.org/docs/current/functions-info.html). Another server, or a restored one, counts differently.
_XMIN: Final = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_POSTGRESQL: Final = (
    f"SELECT {_XMIN}, pg_postmaster_start_time()::text, c.id, c.tenant_id, c.api_key_id, c.cleared "  # noqa: S608
    f"FROM (VALUES (0)) AS one LEFT JOIN accounts_keychange c ON c.xact >= COALESCE(%s, {_XMIN}) LIMIT %s"
)
# The ids of rows that are gone are not given again (https://www.sqlite.org/autoinc.html).
_NEXT: Final = "(SELECT 1 + COALESCE(max(seq), 0) FROM sqlite_sequence WHERE name = 'accounts_keychange')"
_SQLITE: Final = (
    f"SELECT {_NEXT}, '', c.id, c.tenant_id, c.api_key_id, c.cleared "  # noqa: S608
    f"FROM (VALUES (0)) AS one LEFT JOIN accounts_keychange c ON c.id >= COALESCE(%s, {_NEXT}) LIMIT %s"
)


@dataclass(frozen=True, slots=True)
class Position:
    """How far changes have been read: whatever commits from now on has at least this number."""

    number: int
    server: str
    seen: frozenset[int]
    """Rows from this number on that have been read already, by id."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a position, and the next one."""

    position: Position
    keys: frozenset[int] = frozenset()
    tenants: frozenset[int] = frozenset()
    """Of all of whose keys something changed."""
    has_gap: bool = False
    """Anything may have changed."""


def read(since: Position | None) -> Changes:
    """What has been committed since; from no position on, nothing. Raises what the database raises."""
    with connection.cursor() as cursor:
        statement = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
        cursor.execute(statement, [since.number if since else None, MOST + 1])
        found = cursor.fetchall()
    number, server = found[0][:2]
    rows = {pk: rest for _number, _server, pk, *rest in found if pk is not None}
    position = Position(number, server, frozenset(rows))
    if since is None:
        return Changes(position)
    new = [rest for pk, rest in rows.items() if pk not in since.seen]
    is_elsewhere = server != since.server or number < since.number
    is_cleared = any(cleared is not None and cleared > since.number for _tenant, _key, cleared in new)
    return Changes(
        position,
        keys=frozenset(key for _tenant, key, _cleared in new if key is not None),
        tenants=frozenset(tenant for tenant, _key, _cleared in new if tenant is not None),
        has_gap=is_elsewhere or is_cleared or len(rows) > MOST,
    )


def forget_old(now: dt.datetime) -> int:
    """Removes changes that every process has had minutes to read, and says so in their place; how many.

    Once in so many minutes, whoever calls it how often: while a transaction is under way for longer than that, each
    time is a gap for everybody.
    """
    if not KeyChange.objects.filter(cleared=None, at__lt=now - 2 * KEPT).exists():
        return 0
    number = "xact" if connection.vendor == "postgresql" else "id"
    own = "pg_current_xact_id()::text::bigint" if connection.vendor == "postgresql" else "0"
    with transaction.atomic():
        old = KeyChange.objects.filter(at__lt=now - KEPT)
        last = old.aggregate(last=Max(number))["last"]
        if last is None:
            return 0  # somebody else did
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO accounts_keychange (cleared, xact) VALUES (%s, {own})", [last + 1])  # noqa: S608
        return old.filter(**{f"{number}__lte": last}).delete()[0]
