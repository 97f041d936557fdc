"""A database of the former version, with its history, becomes one of this version and can go back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from accounts.models import Member, Tenant, User
from billing import terms
from billing.kinds import NOTHING, Usage
from billing.models import IdempotencyKey, LedgerEntry, Price, PricePlan, Reservation, UsageRecord
from billing.prices import cost
from billing.terms import Term
from tests.bookkeeping import assert_books_add_up, default_database, is_postgres
from tests.databases import PostgresDatabases, SqliteDatabases

FORMER = "0003_reservation_balance_unconstrained"
SETTLED, OVER, WAITING, STREAMING = (uuid.UUID(int=number) for number in range(1, 5))
PRICE = 7


@dataclass(frozen=True, slots=True)
class Former:
    """What stood in the former version's database: a wallet with 5,000 units granted."""

    tenant: Tenant
    wallet: int


def _insert(table: str, **values: Any) -> None:
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))


def _id(value: uuid.UUID) -> Any:
    return value if is_postgres() else value.hex


def _migrate(target: str) -> None:
    call_command("migrate", "billing", target, verbosity=0)


def _migrate_to_newest() -> None:
    call_command("migrate", verbosity=0)


class Versions:
    """The schema of the former version with a wallet, its ledger, two records and two open reservations in it; and the
    same brought to the newest version. Each is made once, and copied for a test."""

    def __init__(self, databases: PostgresDatabases | SqliteDatabases, blocker: DjangoDbBlocker) -> None:
        self._databases, self._blocker = databases, blocker

    @cached_property
    def former(self) -> tuple[str, Former]:
        url = self._databases.migrated()
        with default_database(url, self._blocker):
            _migrate(FORMER)
            return url, _fill()

    @cached_property
    def newest(self) -> tuple[str, Former]:
        url = self._databases.copied(self.former[0])
        with default_database(url, self._blocker):
            _migrate_to_newest()
        return url, self.former[1]

    @contextmanager
    def copied(self, version: tuple[str, Former]) -> Iterator[Former]:
        url, former = version
        with default_database(self._databases.copied(url), self._blocker):
            yield former


@pytest.fixture(scope="module", params=["postgres_databases", "sqlite_databases"], ids=["postgresql", "sqlite"])
def versions(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Versions:
    return Versions(request.getfixturevalue(request.param), django_db_blocker)


@pytest.fixture
def former(versions: Versions) -> Iterator[Former]:
    with versions.copied(versions.former) as former:
        yield former


@pytest.fixture
def newest(versions: Versions) -> Iterator[Former]:
    with versions.copied(versions.newest) as former:
        yield former


def _fill() -> Former:
    now = "2026-03-01 12:00:00+00" if is_postgres() else "2026-03-01 12:00:00"
    tenant = Tenant.objects.create(name="Former Ltd")
    _insert("billing_balance", tenant_id=tenant.pk, kind="wallet", currency="USD", available=4_505, credit_line=0,
            created_at=now)  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM billing_balance WHERE tenant_id = %s", [tenant.pk])
        (wallet,) = cursor.fetchone()
    _insert("billing_ledgerentry", balance_id=wallet, kind="grant", amount=5_000, reference="former", note="",
            created_at=now)  # fmt: skip
    _insert("billing_price", id=PRICE, model="former", currency="USD", version=1, effective_from=now, request_fee=0,
            input=1_000_000, cached_input=100_000, output=2_000_000, created_at=now)  # fmt: skip
    record = {
        "tenant_id": tenant.pk, "balance_id": wallet, "api_key_id": 1, "endpoint": "chat.completions",
        "requested_model": "former", "model": "former", "price_id": PRICE, "currency": "USD", "outcome": "success",
        "status": 200, "error_code": "", "is_stream": False, "usage_source": "upstream", "cache_write_tokens": 0,
        "reasoning_tokens": 0, "input_audio_tokens": 0, "output_audio_tokens": 0, "images": 0,
        "provider_currency": "", "channel": "first", "upstream_model": "up", "attempts": "[]", "decision": "{}",
        "started_at": now, "duration_ms": 7, "settled_at": now,
    }  # fmt: skip
    _insert("billing_usagerecord", id=_id(SETTLED), input_tokens=100, cached_input_tokens=50, output_tokens=20, cost=95,
            held=200, claimed_cost=95, **record)  # fmt: skip
    _insert("billing_usagerecord", id=_id(OVER), input_tokens=10, cached_input_tokens=0, output_tokens=200, cost=100,
            held=100, claimed_cost=410, **record)  # fmt: skip
    reservation = {
        "balance_id": wallet, "amount": 150, "owner": _id(uuid.uuid4()), "tenant_id": tenant.pk, "api_key_id": 1,
        "endpoint": "chat.completions", "model": "former", "price_id": PRICE, "is_stream": True, "created_at": now,
        "channel": "",
    }  # fmt: skip
    _insert("billing_reservation", id=_id(WAITING), input_tokens=40, output_tokens=0, **reservation)
    _insert("billing_reservation", id=_id(STREAMING), input_tokens=41, output_tokens=12, **reservation)
    return Former(tenant, wallet)


def test_history_of_the_former_version_is_kept_and_adds_up(newest: Former) -> None:
    settled, over = (UsageRecord.objects.select_related("price").get(pk=pk) for pk in (SETTLED, OVER))
    assert (settled.legs, over.legs) == ([newest.wallet], [newest.wallet])
    assert settled.usage == Usage(input=100, cached_input=50, output=20)
    assert settled.cost == cost(settled.usage, settled.price.tariff) == 95
    assert (over.cost, over.written_off) == (100, 310)
    waiting, streaming = (Reservation.objects.get(pk=pk) for pk in (WAITING, STREAMING))
    assert (waiting.legs, waiting.tenant, waiting.noted_usage) == ([newest.wallet], newest.tenant, NOTHING)
    assert (streaming.amount, streaming.noted_usage) == (150, Usage(input=41, output=12))
    entry = LedgerEntry.objects.get()
    assert (entry.amount, entry.contra) == (5_000, "promotions")
    assert_books_add_up()
    call_command("verify", verbosity=0)


def test_records_of_the_former_version_are_shown(newest: Former) -> None:
    owner, operator = User.objects.create_user("a@example.com"), User.objects.create_superuser("o@example.com")
    Member.objects.create(tenant=newest.tenant, user=owner, role=Member.Role.OWNER)
    browser, desk = Client(), Client()
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    desk.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")

    with override_settings(ALLOWED_HOSTS=["testserver"]):
        pages = [browser.get(reverse("portal:request", args=[pk])).content.decode() for pk in (SETTLED, OVER)]
        records = [desk.get(reverse("admin:billing_usagerecord_change", args=[pk])) for pk in (SETTLED, OVER)]
        reservation = desk.get(reverse("admin:billing_reservation_change", args=[STREAMING]))
        price = desk.get(reverse("admin:billing_price_change", args=[PRICE]))

    assert "0.000000095 <span" in pages[0]
    assert "written off" in pages[1]
    assert "0.00000031\N{NO-BREAK SPACE}USD" in records[1].content.decode()
    assert [page.status_code for page in (*records, reservation, price)] == [200] * 4


def test_former_version_can_be_gone_back_to(newest: Former) -> None:
    _migrate(FORMER)

    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT balance_id FROM billing_usagerecord")
        assert cursor.fetchall() == [(newest.wallet,)]
        cursor.execute("SELECT balance_id, tenant_id, input_tokens, output_tokens FROM billing_reservation ORDER BY id")
        assert cursor.fetchall() == [(newest.wallet, newest.tenant.pk, 0, 0), (newest.wallet, newest.tenant.pk, 41, 12)]


@pytest.mark.long
def test_history_is_guarded_again_when_the_migrations_are_through(newest: Former) -> None:
    if is_postgres():
        with connection.cursor() as cursor, pytest.raises(DatabaseError, match="append-only"):
            cursor.execute("UPDATE billing_usagerecord SET cost = 0")
    assert UsageRecord.objects.get(pk=SETTLED).cost == 95


@pytest.mark.long
def test_idempotency_keys_come_and_go_with_their_migration(former: Former) -> None:
    _migrate("0010_idempotency_keys")
    table = IdempotencyKey._meta.db_table
    IdempotencyKey.objects.create(
        api_key_id=1, value="0" * 64, body="1" * 64, request_id=WAITING, created_at="2026-03-01T12:00:00Z"
    )
    there = table in connection.introspection.table_names()
    with pytest.raises(IntegrityError):
        IdempotencyKey.objects.create(
            api_key_id=1, value="0" * 64, body="2" * 64, request_id=SETTLED, created_at="2026-03-01T12:00:00Z"
        )

    _migrate("0009_cost_within_claim")

    assert (there, table in connection.introspection.table_names()) == (True, False)


def a_plans_price() -> None:
    plan = PricePlan.objects.create(name="gold")
    Price.objects.create(model="former", plan=plan, input=1, output=1)


def a_term() -> None:
    Price.objects.create(model="former", input=1, output=1, terms=terms.stored([Term({"input": 5}, above=9)]))


def a_withdrawal() -> None:
    later = timezone.now() + dt.timedelta(days=1)
    Price.objects.create(model="former", input=1, output=1, effective_from=later).take_back(None)


@pytest.mark.long
@pytest.mark.parametrize("make", [a_plans_price, a_term, a_withdrawal], ids=lambda make: make.__name__)
def test_what_the_former_version_would_misread_is_not_taken_back(newest: Former, make: Callable[[], None]) -> None:
    make()
    prices = list(Price.objects.order_by("pk").values("pk", "plan", "terms", "input"))

    with pytest.raises(RuntimeError, match="mean something else to the former version"):
        _migrate("0011_quotas")

    _migrate_to_newest()
    assert list(Price.objects.order_by("pk").values("pk", "plan", "terms", "input")) == prices
    assert_books_add_up()


@pytest.mark.long
def test_plans_are_taken_back_as_long_as_nothing_is_priced_by_them(newest: Former) -> None:
    PricePlan.objects.create(name="gold")

    _migrate("0011_quotas")

    assert PricePlan._meta.db_table not in connection.introspection.table_names()
    _migrate_to_newest()
    assert Price.objects.get(pk=PRICE).input == 1_000_000
