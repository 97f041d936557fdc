"""History cannot be changed: the models refuse, and on PostgreSQL the database does, whatever the hand."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, models
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from billing import grants, ledger, months
from billing.books import Books, open_books
from billing.models import AppendOnly, Draw, LedgerEntry, PaymentOrder, Price
from tests.bookkeeping import Account, account, default_database
from tests.databases import PostgresDatabases


@pytest.fixture(scope="module")
def postgres(postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A migrated PostgreSQL database as the default one."""
    with default_database(postgres_databases.migrated(), django_db_blocker):
        yield


@pytest.fixture
def postgres_history(postgres: None) -> dict[str, models.Model]:
    """One row of each kind of history, by its table."""
    books = open_books()
    rows = _history(account(1000), books)
    books.close()
    return rows


@pytest.fixture
def history(books: Books, rich: Account) -> dict[str, models.Model]:
    return _history(rich, books)


def _history(rich: Account, books: Books) -> dict[str, models.Model]:
    held = rich.hold(10)
    books.post([held], [], secrets.token_hex(16))
    books.post([], [rich.settlement(held.id, 5)], secrets.token_hex(16))
    entry = LedgerEntry.objects.get(balance=rich.wallet)
    grants.draw(rich.wallet, timezone.now() + dt.timedelta(seconds=1))
    draw = Draw.objects.get(balance=rich.wallet)
    return {"billing_price": rich.price, "billing_usagerecord": rich.records[0], "billing_ledgerentry": entry,
            "billing_draw": draw}  # fmt: skip


TABLES = ["billing_price", "billing_usagerecord", "billing_ledgerentry", "billing_draw"]
ON_SQLITE = ["billing_ledgerentry", "billing_draw"]
COLUMNS = {"billing_ledgerentry": ("note", "changed"), "billing_draw": ("amount", 77)}
"""One to change, with its new value; of all others: the model's name."""


@pytest.mark.parametrize("table", TABLES)
def test_model_refuses_to_save_again(history: dict[str, models.Model], table: str) -> None:
    with pytest.raises(ValidationError):
        history[table].save()


@pytest.mark.parametrize("table", TABLES)
def test_model_refuses_to_delete(history: dict[str, models.Model], table: str) -> None:
    with pytest.raises(ValidationError):
        history[table].delete()
    history[table].refresh_from_db()


def test_new_row_under_an_old_id_does_not_overwrite_it(history: dict[str, models.Model], rich: Account) -> None:
    entry = history["billing_ledgerentry"]

    with pytest.raises(DatabaseError):
        LedgerEntry(pk=entry.pk, balance=rich.wallet, kind="grant", amount=7, reference=secrets.token_hex(8)).save()

    assert LedgerEntry.objects.get(pk=entry.pk).amount == 1000


@pytest.mark.parametrize("table", TABLES)
def test_database_refuses_an_update(postgres_history: dict[str, models.Model], table: str) -> None:
    rows = type(postgres_history[table])._default_manager.filter(pk=postgres_history[table].pk)
    column, value = COLUMNS.get(table, ("model", "changed"))

    with pytest.raises(DatabaseError, match=f"{table}[_0-9]* is append-only"):
        rows.update(**{column: value})
    assert not rows.filter(**{column: value}).exists()


@pytest.mark.parametrize("table", ON_SQLITE)
def test_sqlite_refuses_an_update_and_a_delete(history: dict[str, models.Model], table: str) -> None:
    row = history[table]
    column, value = COLUMNS[table]
    with pytest.raises(DatabaseError, match=f"{table} is append-only"):
        type(row)._default_manager.filter(pk=row.pk).update(**{column: value})
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match=f"{table} is append-only"):
        cursor.execute(f"DELETE FROM {table} WHERE id = {row.pk}")
    row.refresh_from_db()
    assert getattr(row, column) != value


def test_author_of_an_entry_is_forgotten_but_never_replaced(books: Books, rich: Account) -> None:
    dora = User.objects.create_user(f"{secrets.token_hex(4)}@example.com")
    entry = ledger.post(balance=rich.wallet, kind=LedgerEntry.Kind.GRANT, amount=7, reference="by dora " + dora.email,
                        created_by=dora)  # fmt: skip
    with pytest.raises(DatabaseError, match="append-only"):
        LedgerEntry.objects.filter(pk=entry.pk).update(created_by=User.objects.create_user(f"e{dora.email}"))

    dora.delete()

    entry.refresh_from_db()
    assert (entry.amount, entry.created_by) == (7, None)


@pytest.mark.parametrize("table", TABLES)
def test_database_refuses_a_delete(postgres_history: dict[str, models.Model], table: str) -> None:
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match=f"{table}[_0-9]* is append-only"):
        cursor.execute(f"DELETE FROM {table} WHERE TRUE")
    postgres_history[table].refresh_from_db()


def test_every_append_only_model_has_its_trigger(postgres: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_object_table FROM information_schema.triggers WHERE trigger_name LIKE '%_append_only'"
        )
        guarded = {row[0] for row in cursor.fetchall()}

    history = {model._meta.db_table for model in apps.get_models() if issubclass(model, AppendOnly)}
    assert {table for table in guarded if not table.startswith("billing_usagerecord_")} == history
    assert {month.table for month in months.listed()} | {months.DEFAULT} == guarded - history
    assert len(history) >= len(TABLES) + 1  # cost prices are routing's


def test_user_who_made_history_can_still_be_deleted(postgres: None) -> None:
    dora = User.objects.create_user("dora@example.com")
    price = Price.objects.create(model="by dora", input=0, output=3, created_by=dora)

    dora.delete()

    price.refresh_from_db()
    assert (price.model, price.output, price.created_by) == ("by dora", 3, None)


ASKED_FOR = {"rate": 1, "pay_amount": 1, "credit_amount": 1, "gateway": "bank", "bonus": 5, "memo": "x", "tenant_id": 1}


@pytest.fixture
def order(postgres: None) -> PaymentOrder:
    return PaymentOrder.objects.create(
        tenant=account(0).tenant, gateway="stripe", pay_currency="USD", pay_amount=2000, credit_currency="USD",
        credit_amount=20 * 10**9, expires_at=timezone.now(),
    )  # fmt: skip


@pytest.mark.parametrize("column", ASKED_FOR)
def test_p6_what_a_payment_order_asked_for_stays(order: PaymentOrder, column: str) -> None:
    with pytest.raises(DatabaseError, match="what a payment order asked for stays"):
        PaymentOrder.objects.filter(pk=order.pk).update(**{column: ASKED_FOR[column]})


def test_payment_order_cannot_be_deleted(order: PaymentOrder) -> None:
    with pytest.raises(ValidationError):
        order.delete()
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="what a payment order asked for stays"):
        cursor.execute("DELETE FROM billing_paymentorder WHERE id = %s", [order.pk])


def test_what_becomes_of_a_payment_order_is_written(order: PaymentOrder) -> None:
    assert PaymentOrder.objects.filter(pk=order.pk).update(state="expired") == 1
