"""The statements that move money: many holds, or many settlements, in one short transaction.

Used only by the writer's thread (billing/writer/) and by recovery.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import psycopg
from django.db import connections

from billing.books.postgresql import PostgresBooks
from billing.books.rows import (
    HELD,
    Books,
    Held,
    Hold,
    HoldOutcome,
    Idempotency,
    Progress,
    Refused,
    Repeated,
    Settlement,
    choose,
)
from billing.books.sqlite import SqliteBooks

__all__ = [
    "AWAY",
    "HELD",
    "Books",
    "Held",
    "Hold",
    "HoldOutcome",
    "Idempotency",
    "PostgresBooks",
    "Progress",
    "Refused",
    "Repeated",
    "Settlement",
    "SqliteBooks",
    "choose",
    "open_books",
]


def open_books(alias: str = "default") -> Books:
    """A connection to the books of a configured database; raises the driver's error."""
    return PostgresBooks(alias) if connections[alias].vendor == "postgresql" else SqliteBooks(alias)


AWAY: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    sqlite3.OperationalError,
)
"""What the drivers raise when the database is away, busy, full or read-only: the same work may succeed later."""
