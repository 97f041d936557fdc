"""A payment noted while months close and documents change, on PostgreSQL: everybody locks in one order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction
from django.urls import reverse
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import User
from billing import ledger
from billing.invoices import finalising
from billing.models import BillingPeriod, Invoice, LedgerEntry
from tests.billing.invoices.customers import CENT, LINE, breaks, customer, seller
from tests.bookkeeping import assert_books_add_up, default_database
from tests.databases import PostgresDatabases
from tests.pages import Browser

_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


@pytest.fixture(scope="module", autouse=True)
def postgresql(postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with default_database(postgres_databases.migrated(), django_db_blocker):
        yield


def test_noting_a_payment_closes_months_before_it_holds_the_document() -> None:
    """Somebody has the document and then asks for the wallet, as a credit note does; neither is broken off."""
    seller()
    one = customer(postpaid=True)
    one.spend(3000 * CENT)
    invoice = one.final()
    before = BillingPeriod.objects.filter(wallet=one.wallet).count()
    desk = Browser(User.objects.create_superuser("olga@example.com"))

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            finalising.locked(invoice.pk)
            pressed = pool.submit(_press, desk, invoice)
            _until_it_waits(pressed)
            ledger.post(balance=one.wallet, kind=LedgerEntry.Kind.TOP_UP, amount=500 * CENT, reference="meanwhile")
        status = pressed.result(20)

    invoice.refresh_from_db()
    assert (status, invoice.state, invoice.payment.posted) == (302, "paid", 2500 * CENT)
    assert BillingPeriod.objects.filter(wallet=one.wallet).count() > before
    assert (one.available, breaks(one)) == (LINE, [])
    assert_books_add_up()


def _press(desk: Browser, invoice: Invoice) -> int:
    """It was paid, says an operator; the months since March are over and not closed yet."""
    try:
        return desk.forge(reverse("admin:billing_invoice_pay", args=(invoice.pk,)), {"reason": "bank"}).status
    finally:
        connections["default"].close()


def _until_it_waits(pressed: Future[int]) -> None:
    """For what this transaction holds."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not pressed.done():
        with connection.cursor() as cursor:
            cursor.execute(_WAITING)
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError(f"it does not wait for the document: {pressed}")
