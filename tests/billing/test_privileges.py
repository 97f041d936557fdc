"""A role of PostgreSQL that serves requests and cannot change history, even without the triggers."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.utils import timezone
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from billing import grants, ledger, months, privileges
from billing.books import open_books
from billing.models import LedgerEntry
from billing.reservations import new_id
from tests.bookkeeping import Account, account, assert_books_add_up, default_database
from tests.databases import PostgresDatabases, SqliteDatabases, manage

TABLES = sorted(model._meta.db_table for model in privileges.history())


@pytest.fixture(scope="module")
def restricted(postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The name of the role; the default database is reached as it."""
    url, role = postgres_databases.migrated(), f"serving_{secrets.token_hex(4)}"
    name = sql.Identifier(role)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'serving'").format(name))
        owner.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(name))  # as many do at first
    manage("restrict_role", role, database_url=url)
    manage("restrict_role", role, database_url=url)
    parts = urlsplit(url)
    theirs = urlunsplit(parts._replace(netloc=f"{role}:serving@{parts.hostname}:{parts.port}"))
    with default_database(theirs, django_db_blocker):
        yield role
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP OWNED BY {}").format(name))
        owner.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.fixture
def served(restricted: str) -> Account:
    """A wallet that has seen a request, a grant that expires, a correction and the drawing of it all."""
    served, books = account(1000), open_books()
    held = served.hold(10)
    books.post([held], [], new_id())
    books.post([], [served.settlement(held.id, 5)], new_id())
    books.close()
    grants.give(
        balance=served.wallet, amount=9, reference=new_id(), expires_at=timezone.now() + dt.timedelta(seconds=1)
    )
    grants.draw(served.wallet, timezone.now())
    grants.expire_due(timezone.now() + dt.timedelta(seconds=2))
    return served


def test_role_can_serve_requests_and_keep_the_books(served: Account) -> None:
    kinds = list(LedgerEntry.objects.filter(balance=served.wallet).order_by("pk").values_list("kind", flat=True))
    assert kinds == ["grant", "grant", "expiry"]
    assert len(served.records) == 1
    assert served.available == 995
    assert grants.differences() == []
    assert_books_add_up()


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE", "TRUNCATE"])
@pytest.mark.parametrize("table", TABLES)
def test_role_cannot_change_history(served: Account, table: str, verb: str) -> None:
    key = next(model._meta.pk.column for model in privileges.history() if model._meta.db_table == table)
    statement = {"UPDATE": f"UPDATE {table} SET {key} = {key}", "DELETE": f"DELETE FROM {table}",
                 "TRUNCATE": f"TRUNCATE {table} CASCADE"}[verb]  # fmt: skip
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
        cursor.execute(statement)


def test_role_cannot_change_a_month_of_records_by_its_own_name(served: Account) -> None:
    tables = [month.table for month in months.listed()]
    assert tables
    for table in tables:
        with connection.cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
            cursor.execute(f"DELETE FROM {table}")
    assert len(served.records) == 1


def test_role_cannot_lift_the_triggers(served: Account) -> None:
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="must be owner"):
        cursor.execute("ALTER TABLE billing_ledgerentry DISABLE TRIGGER ALL")


def test_role_can_forget_a_person(served: Account) -> None:
    dora = User.objects.create_user("dora@example.com")
    entry = ledger.post(
        balance=served.wallet, kind=LedgerEntry.Kind.GRANT, amount=1, reference=new_id(), created_by=dora
    )
    dora.delete()
    entry.refresh_from_db()
    assert (entry.amount, entry.created_by) == (1, None)


def test_sql_can_be_read_before_it_is_run(postgres_databases: PostgresDatabases) -> None:
    printed = manage("restrict_role", "some one", "--print", database_url=postgres_databases.migrated())
    assert 'REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER ON "billing_ledgerentry" FROM "some one";' in printed
    assert 'GRANT UPDATE (created_by_id) ON "billing_ledgerentry" TO "some one";' in printed


def test_sqlite_has_no_roles(sqlite_databases: SqliteDatabases, django_db_blocker: DjangoDbBlocker) -> None:
    with default_database(sqlite_databases.migrated(), django_db_blocker), pytest.raises(CommandError, match="roles"):
        call_command("restrict_role", "anybody")
