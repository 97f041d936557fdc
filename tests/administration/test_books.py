"""The operator's pages of the books, which are only looked at."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import Tenant, User
from billing import balances, ledger
from billing.models import Balance, LedgerEntry, Process, Reservation, UsageRecord
from tests.pages import Browser
from tests.records import reservation, usage_record


def _balance(record: UsageRecord) -> Model:
    return Balance.objects.get(tenant=record.tenant)


def _entry(record: UsageRecord) -> Model:
    return LedgerEntry.objects.get()


def _reservation(record: UsageRecord) -> Model:
    return reservation(record)


def _process(record: UsageRecord) -> Model:
    return Process.objects.create(host="web-1", pid=1, started_at=timezone.now(), heartbeat_at=timezone.now())


def _itself(record: UsageRecord) -> Model:
    return record


BOOKS = pytest.mark.parametrize("make", [_balance, _entry, _reservation, _process, _itself])


@BOOKS
@pytest.mark.parametrize("page", ["add", "change", "delete"])
def test_books_refuse_to_be_written_by_a_forged_form(
    desk: Browser, record: UsageRecord, make: Callable[[UsageRecord], Model], page: str
) -> None:
    row = make(record)
    before = type(row)._default_manager.values().get(pk=row.pk)
    args = () if page == "add" else (row.pk,)
    url = reverse(f"admin:billing_{row._meta.model_name}_{page}", args=args)
    forged = {"amount": "1", "available": "99999999999", "cost": "0", "credit_line": "1", "host": "x", "post": "yes"}
    assert desk.forge(url, forged).status == 403
    assert list(type(row)._default_manager.values()) == [before]


@BOOKS
def test_books_have_no_actions_not_even_forged_ones(
    desk: Browser, record: UsageRecord, make: Callable[[UsageRecord], Model]
) -> None:
    row = make(record)
    url = reverse(f"admin:billing_{row._meta.model_name}_changelist")
    page = desk.open(url)
    desk.forge(url, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert (page.actions, "Run" in page.buttons) == ({}, False)
    assert type(row)._default_manager.filter(pk=row.pk).exists() is True


@BOOKS
def test_books_can_be_read(desk: Browser, record: UsageRecord, make: Callable[[UsageRecord], Model]) -> None:
    row = make(record)
    url = reverse(f"admin:billing_{row._meta.model_name}_change", args=(row.pk,))
    assert desk.open(url).status == 200


def test_balance_is_shown_exactly(desk: Browser, record: UsageRecord) -> None:
    Balance.objects.update(available=-1)
    assert "-0.000000001\N{NO-BREAK SPACE}USD" in desk.open(reverse("admin:billing_balance_changelist")).text


# --- lists stay cheap ------------------------------------------------------------------------------------------------


def _fill(record: UsageRecord, operator: User, rows: int) -> None:
    for number in range(rows):
        tenant = Tenant.objects.create(name=f"Tenant {number}")
        wallet = balances.open_wallet(tenant)
        ledger.post(
            balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=1, reference=f"fill:{number}", created_by=operator
        )
        fresh = usage_record(tenant, record.price, record.api_key)
        _reservation(fresh)
        _process(fresh)


@pytest.mark.parametrize("rows", [1, 15])
@pytest.mark.parametrize(
    ("name", "queries"),
    [("balance", 5), ("ledgerentry", 4), ("reservation", 7), ("process", 5), ("usagerecord", 4)],
)
def test_list_asks_the_same_number_of_queries(
    desk: Browser,
    operator: User,
    record: UsageRecord,
    django_assert_num_queries: DjangoAssertNumQueries,
    name: str,
    queries: int,
    rows: int,
) -> None:
    _fill(record, operator, rows)
    with django_assert_num_queries(queries):
        desk.get(reverse(f"admin:billing_{name}_changelist"))


def test_reservation_shows_what_was_used_so_far(desk: Browser, record: UsageRecord) -> None:
    row = reservation(record)
    Reservation.objects.filter(pk=row.pk).update(usage={"input": 1_200, "cached_input": 7})
    page = desk.open(reverse("admin:billing_reservation_change", args=(row.pk,)))
    assert "input 1,200, cached input 7" in page.text
