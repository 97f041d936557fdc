"""Usage records by month: tables are made ahead, records find theirs, and what is archived leaves its sums."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from accounts import keys
from accounts.models import Tenant, User
from billing import balances, grants, ledger, legs, months, rollups
from billing.books import Books
from billing.invoices import jobs
from billing.models import (
    ArchivedUse,
    Balance,
    Invoice,
    LedgerEntry,
    Price,
    Reservation,
    UsageArchive,
    UsageRecord,
    UsageRollup,
)
from tests.billing.invoices.customers import seller
from tests.bookkeeping import assert_books_add_up, default_database, race
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.records import usage_record

DAY = dt.timedelta(days=1)
THIS_MONTH = months.first_of_month(timezone.now())


@pytest.fixture
def database(postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A PostgreSQL database of this test alone, because tables are made and taken out."""
    url = postgres_databases.migrated()
    with default_database(url, django_db_blocker):
        legs._wallet_ids.clear()
        yield url
        legs._wallet_ids.clear()


class World:
    """A tenant who was granted money, and spends it at whatever time a test says."""

    def __init__(self) -> None:
        self.tenant = Tenant.objects.create(name="old customer")
        user = User.objects.create_user("old@example.com")
        self.key = keys.issue(tenant=self.tenant, created_by=user, name="a key").api_key
        self.price = Price.objects.create(model="m", input=1, output=1)
        self.wallet = balances.open_wallet(self.tenant)
        ledger.post(balance=self.wallet, kind=LedgerEntry.Kind.GRANT, amount=10**9, reference="grant")

    def spend(self, started_at: dt.datetime, cost: int = 1000, **fields: Any) -> UsageRecord:
        self.wallet.refresh_from_db()
        type(self.wallet).objects.filter(pk=self.wallet.pk).update(available=self.wallet.available - cost)
        return usage_record(self.tenant, self.price, self.key, started_at=started_at, cost=cost, **fields)

    def reserve(self, created_at: dt.datetime) -> Reservation:
        return Reservation.objects.create(
            id=uuid.uuid4(), owner=uuid.uuid4(), legs=[], tenant=self.tenant, amount=0, api_key_id=self.key.pk,
            endpoint="chat.completions", model="m", price_id=self.price.pk, is_stream=False, created_at=created_at,
        )  # fmt: skip


@pytest.fixture
def world(database: str) -> World:
    return World()


@pytest.fixture
def past(world: World) -> str:
    """The name of a table of a month half a year ago, which a fresh database does not have."""
    return month_of_past(THIS_MONTH - 180 * DAY)


def month_of_past(moment: dt.datetime) -> str:
    """Divides what was before the first month once more, as an installation of that age is; the month's table."""
    begins = months.first_of_month(moment)
    ends = months.first_of_month(begins + 32 * DAY)
    name, until = f"{months.TABLE}_{begins:%Y_%m}", months.listed()[0].ends
    parts = (
        (f"{months.TABLE}_before", "MINVALUE", f"'{begins:%F}Z'"),
        (name, f"'{begins:%F}Z'", f"'{ends:%F}Z'"),
        (f"{months.TABLE}_between", f"'{ends:%F}Z'", f"'{until:%F}Z'"),
    )
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {months.TABLE}_before")
        for table, first, last in parts:
            cursor.execute(f"CREATE TABLE {table} PARTITION OF {months.TABLE} FOR VALUES FROM ({first}) TO ({last})")
    return name


def beginning_of(table: str) -> dt.datetime:
    return next(month.begins for month in months.listed() if month.table == table and month.begins)


def lies_in(record: UsageRecord) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text FROM {months.TABLE} WHERE id = %s", [record.pk])
        return str(cursor.fetchone()[0])


def roll_up() -> None:
    while rollups.advance():
        pass
    while grants.draw_due():
        pass
    call_command("rollups", "catch-up", verbosity=0)


# --- where records lie -----------------------------------------------------------------------------------------------


def test_new_database_has_this_month_and_three_ahead_and_everything_before(database: str) -> None:
    found = months.listed()
    assert [month.begins for month in found[:2]] == [None, THIS_MONTH]
    assert all(one.ends == other.begins for one, other in itertools.pairwise(found))
    assert len(found) == 5
    assert months.make_ahead() == []
    assert months.strays() == 0


@pytest.mark.parametrize(
    ("moment", "table"),
    [
        (THIS_MONTH, f"{months.TABLE}_{THIS_MONTH:%Y_%m}"),
        (THIS_MONTH - dt.timedelta(microseconds=1), f"{months.TABLE}_before"),
        (dt.datetime(1999, 12, 31, tzinfo=dt.UTC), f"{months.TABLE}_before"),
        (THIS_MONTH + 400 * DAY, months.DEFAULT),
    ],
)
def test_record_lies_in_the_month_in_which_its_request_began(world: World, moment: dt.datetime, table: str) -> None:
    assert lies_in(world.spend(moment, settled_at=moment + 40 * DAY)) == table
    assert_books_add_up()


def test_the_same_request_cannot_be_recorded_twice(world: World) -> None:
    record = world.spend(THIS_MONTH)
    with pytest.raises(DatabaseError, match="duplicate key"):
        usage_record(world.tenant, world.price, world.key, id=record.pk, started_at=THIS_MONTH)
    assert UsageRecord.objects.count() == 1


@pytest.mark.parametrize("table", [months.TABLE, f"{months.TABLE}_{THIS_MONTH:%Y_%m}"])
@pytest.mark.parametrize("change", ["UPDATE {} SET cost = 0", "DELETE FROM {}"])
def test_records_refuse_changes_in_whatever_table(world: World, table: str, change: str) -> None:
    record = world.spend(THIS_MONTH)
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(change.format(table))
    assert UsageRecord.objects.get(pk=record.pk).cost == 1000


# --- ahead -----------------------------------------------------------------------------------------------------------


def test_months_are_made_without_a_gap_however_long_nobody_ran(database: str) -> None:
    later = months.first_of_month(THIS_MONTH + 400 * DAY)
    assert len(months.make_ahead(later + 5 * DAY)) == 13
    found = months.listed()
    assert all(one.ends == other.begins for one, other in itertools.pairwise(found))
    assert found[-1].ends == months.first_of_month(later + 125 * DAY)


def test_records_without_a_month_are_told_and_moved_word_for_word(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    early, late = (world.spend(THIS_MONTH + days * DAY) for days in (150, 300))
    before = list(UsageRecord.objects.order_by("pk").values())
    with pytest.raises(CommandError, match="2 records or more lie in no month"):
        call_command("months", "list")
    months.make_ahead(early.started_at)
    assert lies_in(early) == f"{months.TABLE}_{early.started_at:%Y_%m}"
    assert lies_in(late) == months.DEFAULT
    assert "1 usage records or more lie in no month" in caplog.text
    assert list(UsageRecord.objects.order_by("pk").values()) == before
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {months.DEFAULT}")
    assert_books_add_up()


def test_many_processes_make_each_month_once(database: str) -> None:
    later = THIS_MONTH + 100 * DAY
    race(lambda _books: months.make_ahead(later), 6)
    months.make_ahead(later)
    assert len(months.listed()) == len({month.table for month in months.listed()}) == 8


def test_statement_in_the_way_makes_the_next_run_do_it(database: str, caplog: pytest.LogCaptureFixture) -> None:
    later = THIS_MONTH + 100 * DAY
    with psycopg.connect(database) as other:
        other.execute(f"SELECT count(*) FROM {months.TABLE}")
        assert months.make_ahead(later) == []
        assert "waits" in caplog.text
        other.rollback()
    assert len(months.make_ahead(later)) == 3


# --- archive ---------------------------------------------------------------------------------------------------------


def test_archived_month_leaves_its_sums_and_a_file(world: World, past: str, tmp_path: Path) -> None:
    begins = beginning_of(past)
    old = [world.spend(begins + hours * dt.timedelta(hours=1), cost=hours) for hours in range(1, 30)]
    kept = [world.spend(begins - DAY, cost=7), world.spend(begins + 60 * DAY, cost=9)]
    roll_up()
    before = list(UsageRollup.objects.order_by("pk").values())
    file = tmp_path / "old.csv.gz"

    call_command("months", "archive", past, str(file))

    assert set(UsageRecord.objects.values_list("pk", flat=True)) == {record.pk for record in kept}
    assert list(ArchivedUse.objects.values_list("balance", "cost")) == [(world.wallet.pk, sum(range(1, 30)))]
    assert_books_add_up()
    with gzip.open(file, "rt") as lines:
        rows = {row["id"]: row for row in csv.DictReader(lines)}
    assert {id_: int(row["cost"]) for id_, row in rows.items()} == {str(record.pk): record.cost for record in old}
    assert list(UsageRollup.objects.order_by("pk").values()) == before


def test_archive_that_was_broken_off_writes_its_file_when_it_is_run_again(
    world: World, past: str, tmp_path: Path
) -> None:
    begins = beginning_of(past)
    world.spend(begins)
    roll_up()
    months.archive(past)
    call_command("months", "archive", past, str(tmp_path / "one.csv.gz"))
    call_command("months", "archive", past, str(tmp_path / "two.csv.gz"))
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()) == gzip.decompress(
        (tmp_path / "two.csv.gz").read_bytes()
    )
    assert UsageArchive.objects.count() == 1
    assert_books_add_up()


def test_file_that_misses_records_is_told(world: World, past: str, tmp_path: Path) -> None:
    begins = beginning_of(past)
    world.spend(begins)
    roll_up()
    months.archive(past)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {past}")
    with pytest.raises(CommandError, match="do not drop"):
        call_command("months", "archive", past, str(tmp_path / "file.csv.gz"))


def test_what_is_archived_cannot_be_added_up_again_and_stays(world: World, past: str) -> None:
    begins = beginning_of(past)
    world.spend(begins)
    world.spend(begins + 90 * DAY)
    roll_up()
    months.archive(past)
    before = list(UsageRollup.objects.order_by("starts_at").values("starts_at", "cost", "requests"))
    call_command("rollups", "rebuild")
    assert list(UsageRollup.objects.order_by("starts_at").values("starts_at", "cost", "requests")) == before
    call_command("rollups", "check")


@pytest.mark.parametrize(
    "reason", ["is still open", "is added up until", "the two before it stay", "there is no month"]
)
def test_month_that_has_to_stay_stays(world: World, past: str, reason: str, tmp_path: Path) -> None:
    begins = beginning_of(past)
    world.spend(begins)
    table = past
    if reason != "is added up until":
        roll_up()
    if reason == "is still open":
        world.reserve(begins + DAY)
    elif reason == "the two before it stay":
        table = f"{months.TABLE}_between"
    elif reason == "there is no month":
        table = "accounts_user"
    before = months.listed()
    with pytest.raises(CommandError, match=reason):
        call_command("months", "archive", table, str(tmp_path / "file.csv.gz"))
    assert months.listed() == before
    assert not UsageArchive.objects.exists()
    assert not list(tmp_path.iterdir())
    assert_books_add_up()


def test_month_stays_until_its_usage_is_in_final_documents(world: World, past: str) -> None:
    """What is archived cannot be added up again: a document made later would say that nothing was used."""
    begins = beginning_of(past)
    Balance.objects.filter(pk=world.wallet.pk).update(created_at=begins)
    world.spend(begins + DAY, cost=1000, settled_at=begins + DAY)
    roll_up()
    wallet = Balance.objects.select_related("tenant").get(pk=world.wallet.pk)
    seller()
    for step in (lambda: None, lambda: jobs.close(wallet)):
        step()
        with pytest.raises(months.CannotArchive, match=f"tenant {world.tenant.pk} is in no final document"):
            months.archive(past)
    list(jobs.finalise_all())

    months.archive(past)

    assert [invoice.used for invoice in Invoice.objects.filter(tenant=world.tenant, state="final") if invoice.used] == [
        1000
    ]
    assert_books_add_up()


def test_archive_with_a_reader_in_the_way_changes_nothing(database: str, world: World, past: str) -> None:
    begins = beginning_of(past)
    world.spend(begins)
    roll_up()
    with psycopg.connect(database) as other:
        other.execute(f"SELECT count(*) FROM {months.TABLE}")
        with pytest.raises(CommandError, match="nothing was changed"):
            call_command("months", "archive", past, "never.csv.gz")
    assert not UsageArchive.objects.exists()
    assert_books_add_up()


def test_books_add_up_at_every_moment_while_months_are_archived(world: World, past: str) -> None:
    begins = beginning_of(past)
    for hour in range(50):
        world.spend(begins + hour * dt.timedelta(hours=1), cost=hour)
    roll_up()

    turns = iter(range(3))

    def story(_books: Books) -> None:
        if next(turns) == 0:
            assert months.archive(past).records == 50
        for _look in range(30):
            assert not any(account.difference for account in ledger.accounts())

    race(story, 3)
    assert UsageArchive.objects.count() == 1


# --- SQLite ----------------------------------------------------------------------------------------------------------


def test_sqlite_keeps_one_table(sqlite_databases: SqliteDatabases, django_db_blocker: DjangoDbBlocker) -> None:
    with default_database(sqlite_databases.migrated(), django_db_blocker):
        assert not months.listed()
        assert not months.make_ahead()
        assert months.strays() == 0
        with pytest.raises(CommandError, match="one table"):
            call_command("months", "list")
