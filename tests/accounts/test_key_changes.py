"""What changes of keys is recorded and told, whatever the hand, on both databases; and nothing else is."""

from __future__ import annotations

import datetime as dt
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from accounts import key_changes, keys
from accounts.key_cache import KeyCache, write_last_used
from accounts.key_changes import KEPT, MOST, Changes, Position
from accounts.models import ApiKey, KeyChange, Member, Tenant, User
from billing import balances, legs, quotas
from billing.books import open_books
from billing.models import Balance, PricePlan, Quota, TenantPlan
from tests.bookkeeping import account, default_database, is_postgres

NOTHING: Final[tuple[set[int], set[int]]] = (set(), set())
"""Keys and tenants."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Two tenants. The first has a key, a wallet, a plan, a quota of its own and one of its key, in their periods."""

    tenant: Tenant
    stranger: Tenant
    user: User
    api_key: ApiKey
    secret: str
    plan: TenantPlan
    other_plan: PricePlan
    quota: Quota
    key_quota: Quota
    wallet: Balance
    period: Balance

    def row(self, model: type[models.Model]) -> models.Model:
        """The one that a column of the model is changed of."""
        rows: dict[type[models.Model], models.Model] = {
            ApiKey: self.api_key, Tenant: self.tenant, Quota: self.quota, TenantPlan: self.plan, Balance: self.period,
        }  # fmt: skip
        return rows[model]


@pytest.fixture(scope="module")
def cast(database: str) -> Cast:
    user = User.objects.create_user(f"{secrets.token_hex(4)}@example.com")
    tenant, stranger = Tenant.objects.create(name="Alice Ltd"), Tenant.objects.create(name="Charlie Ltd")
    Member.objects.create(tenant=tenant, user=user, role=Member.Role.OWNER)
    issued = keys.issue(tenant=tenant, name="production")
    gold, silver = (PricePlan.objects.create(name=name) for name in ("gold", "silver"))
    plan = TenantPlan.objects.create(tenant=tenant, plan=gold)
    quota = quotas.grant(tenant, amount=1000, period="month")
    key_quota = quotas.grant(tenant, api_key=issued.api_key, amount=500, period="day")
    wallet, period = balances.open_wallet(tenant), quotas.balance_of(quota, timezone.now())
    return Cast(
        tenant, stranger, user, issued.api_key, issued.secret, plan, silver, quota, key_quota, wallet, period
    )  # fmt: skip


def named(told: Changes) -> tuple[set[int], set[int]]:
    return set(told.keys), set(told.tenants)


# --- every column ----------------------------------------------------------------------------------------------------

_NOW: Final = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
Value = Callable[[Cast], Any]


def _is(value: Any) -> Value:
    return lambda _cast: value


_RATES: Final = {"requests_per_minute": _is(7), "tokens_per_minute": _is(7), "concurrency": _is(7)}
TOLD: Final[dict[type[models.Model], dict[str, Value]]] = {
    ApiKey: {
        "id": _is(10**9), "digest": _is("f" * 64), "tenant_id": lambda cast: cast.stranger.pk,
        "created_by_id": lambda cast: cast.user.pk, "status": _is("paused"), "expires_at": _is(_NOW),
        "allowed_models": _is(["m"]), "allowed_networks": _is(["10.0.0.0/8"]), "allowed_origins": _is(["https://a.b"]),
        **_RATES,
    },
    Tenant: {
        "id": _is(10**9), "status": _is("suspended"), "currency": _is("VND"), "says_payment_required": _is(True),
        **_RATES,
    },
    Quota: {
        "id": _is(10**9), "tenant_id": lambda cast: cast.stranger.pk, "user_id": lambda cast: cast.user.pk,
        "api_key_id": lambda cast: cast.api_key.pk, "period": _is("total"), "amount": _is(7), "ended_at": _is(_NOW),
    },
    TenantPlan: {"tenant_id": lambda cast: cast.stranger.pk, "plan_id": lambda cast: cast.other_plan.pk},
    Balance: {
        "id": _is(10**9), "tenant_id": lambda cast: cast.stranger.pk, "kind": _is("wallet"),
        "quota_id": lambda cast: cast.key_quota.pk, "starts_at": _is(_NOW), "ends_at": _is(_NOW), "session": _is("s"),
    },
}  # fmt: skip
"""Of each model that a key is read from, the columns that the reading depends on, and a new value for each."""
UNTOLD: Final[dict[type[models.Model], dict[str, Value]]] = {
    ApiKey: {
        "name": _is("n"), "prefix": _is("p"), "last_four": _is("l"), "created_at": _is(_NOW),
        "last_used_at": _is(_NOW), "revoked_at": _is(_NOW),
    },
    # A period that has begun goes on to its end in whatever time zone; the next one is read when it begins.
    Tenant: {"name": _is("n"), "time_zone": _is("Asia/Ho_Chi_Minh"), "created_at": _is(_NOW)},
    # Whether it is hard stands in its balances' credit lines, which no process keeps.
    Quota: {"is_hard": _is(False), "created_at": _is(_NOW)},
    TenantPlan: {"id": _is(10**9), "since": _is(_NOW)},
    Balance: {
        "notified": _is(80), "currency": _is("VND"), "available": _is(F("available") - 1),
        "credit_line": _is(7), "closed_through": _is(_NOW), "created_at": _is(_NOW),
    },
}  # fmt: skip
"""The others, which no process keeps, or which are written for every request."""
_TOGETHER: Final[dict[str, Callable[[Cast], dict[str, Any]]]] = {
    "kind": lambda cast: {"quota_id": None, "tenant_id": cast.stranger.pk}
}
"""What a constraint wants changed in the same statement."""


def _cases(decided: dict[type[models.Model], dict[str, Value]]) -> list[Any]:
    return [
        pytest.param(model, column, id=f"{model.__name__}.{column}")
        for model, columns in decided.items()
        for column in columns
    ]


@pytest.mark.parametrize("model", TOLD, ids=lambda model: model.__name__)
def test_every_column_is_decided_about(model: type[models.Model]) -> None:
    """A new column of these models is one that keys are read by (a trigger's, too), or one that they are not."""
    assert {field.column for field in model._meta.concrete_fields} == TOLD[model].keys() | UNTOLD[model].keys()
    assert not TOLD[model].keys() & UNTOLD[model].keys()


def test_keys_are_read_from_these_tables_alone(cast: Cast) -> None:
    cache = KeyCache(legs.legs_of_keys)
    legs._wallet_ids.clear()
    ApiKey.objects.filter(pk=cast.api_key.pk).update(created_by=cast.user)
    with CaptureQueriesContext(connection) as queries:
        assert cast.secret in cache._read([cast.secret])
    ApiKey.objects.filter(pk=cast.api_key.pk).update(created_by=None)

    texts = " ".join(query["sql"] for query in queries.captured_queries)
    assert set(re.findall(r'(?:FROM|JOIN) "?([a-z_]+)', texts)) == {model._meta.db_table for model in TOLD}


def _change(row: models.Model, cast: Cast, column: str, value: Any) -> Changes:
    """What is told of an update of one column, which is then taken back."""
    since = key_changes.read(None).position
    with transaction.atomic():
        together = _TOGETHER[column](cast) if column in _TOGETHER else {}
        assert type(row)._base_manager.filter(pk=row.pk).update(**{column: value, **together}) == 1
        told = key_changes.read(since)
        transaction.set_rollback(True)
    assert not told.has_gap
    return told


@pytest.mark.parametrize(("model", "column"), _cases(TOLD))
def test_changed_column_is_told(cast: Cast, model: type[models.Model], column: str) -> None:
    told = _change(cast.row(model), cast, column, TOLD[model][column](cast))

    if model is ApiKey:
        assert (cast.api_key.pk in told.keys, told.tenants) == (True, frozenset())
    else:
        assert cast.tenant.pk in told.tenants


@pytest.mark.parametrize(("model", "column"), _cases(UNTOLD))
def test_column_that_nobody_keeps_is_not_told(cast: Cast, model: type[models.Model], column: str) -> None:
    told = _change(cast.row(model), cast, column, UNTOLD[model][column](cast))

    assert named(told) == NOTHING


@pytest.mark.parametrize(("model", "column"), _cases(TOLD))
def test_update_to_what_it_was_is_not_told(cast: Cast, model: type[models.Model], column: str) -> None:
    row = cast.row(model)
    with transaction.atomic():
        since = key_changes.read(None).position
        type(row)._base_manager.filter(pk=row.pk).update(**{column: F(column)})
        told = key_changes.read(since)

    assert named(told) == NOTHING


def test_both_subjects_of_a_change_are_told(cast: Cast) -> None:
    assert _change(cast.wallet, cast, "tenant_id", cast.stranger.pk).tenants == {cast.tenant.pk, cast.stranger.pk}
    assert _change(cast.api_key, cast, "id", 10**9).keys == {cast.api_key.pk, 10**9}


def test_quota_of_a_key_is_told_as_the_keys_alone(cast: Cast) -> None:
    told = _change(cast.key_quota, cast, "amount", 7)

    assert named(told) == ({cast.api_key.pk}, set())


# --- new and deleted rows --------------------------------------------------------------------------------------------


def _told(change: Callable[[], object]) -> Changes:
    """What is told of a change that is then taken back."""
    since = key_changes.read(None).position
    with transaction.atomic():
        change()
        told = key_changes.read(since)
        transaction.set_rollback(True)
    return told


@pytest.mark.parametrize("subject", ["tenant", "member", "key"])
def test_new_quota_is_told(cast: Cast, subject: str) -> None:
    about = {"member": {"user": cast.user}, "key": {"api_key": cast.api_key}}.get(subject, {})

    told = _told(lambda: quotas.grant(cast.tenant, amount=1, period="total", **about))  # type: ignore[arg-type]

    is_keys = subject == "key"
    assert told.keys == ({cast.api_key.pk} if is_keys else frozenset())
    assert told.tenants == (frozenset() if is_keys else {cast.tenant.pk})


def test_first_plan_and_first_wallet_of_a_tenant_are_told(cast: Cast) -> None:
    plan = _told(lambda: TenantPlan.objects.create(tenant=cast.stranger, plan=cast.other_plan))
    wallet = _told(lambda: balances.open_wallet(cast.stranger))

    assert (named(plan), named(wallet)) == ((set(), {cast.stranger.pk}), (set(), {cast.stranger.pk}))


def test_new_key_new_tenant_new_period_and_new_session_are_not_told(cast: Cast) -> None:
    def change() -> None:
        keys.issue(tenant=cast.tenant, name="the next")
        Tenant.objects.create(name="Dora Ltd")
        quotas.balance_of(cast.key_quota, timezone.now() + dt.timedelta(days=1))
        quotas.session_limit(cast.quota, "a session")

    told = _told(change)

    assert named(told) == NOTHING


@pytest.mark.parametrize("model", TOLD, ids=lambda model: model.__name__)
def test_row_that_is_deleted_by_raw_sql_is_told(cast: Cast, model: type[models.Model]) -> None:
    def change() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE id = {cast.row(model).pk}")

    told = _told(change)

    assert told.keys == ({cast.api_key.pk} if model is ApiKey else frozenset())
    assert told.tenants == (frozenset() if model is ApiKey else {cast.tenant.pk})


def test_cascade_is_told(database: str) -> None:
    dora = User.objects.create_user(f"{secrets.token_hex(4)}@example.com")
    tenant = Tenant.objects.create(name="Dora Ltd")
    Member.objects.create(tenant=tenant, user=dora, role=Member.Role.OWNER)
    api_key = keys.issue(tenant=tenant, name="hers", created_by=dora).api_key
    quotas.grant(tenant, user=dora, amount=1, period="day")

    told = _told(dora.delete)

    assert named(told) == ({api_key.pk}, {tenant.pk})


def test_bulk_update_is_told_of_every_row(database: str) -> None:
    tenant = Tenant.objects.create(name="Bulk Ltd")
    made = [keys.issue(tenant=tenant, name="one of many").api_key.pk for _key in range(20)]

    assert _told(lambda: ApiKey.objects.filter(tenant=tenant).update(status="paused")).keys == set(made)


def test_requests_leave_no_changes(database: str) -> None:
    """Holds, settlements and stamps of last use fire no trigger."""
    rich = account(1000)
    api_key = keys.issue(tenant=rich.tenant, name="busy").api_key
    before, books = KeyChange.objects.count(), open_books()
    held = rich.hold(10, api_key_id=api_key.pk)
    books.post([held], [], secrets.token_hex(16))
    books.post([], [rich.settlement(held.id, 5)], secrets.token_hex(16))
    books.close()
    write_last_used({api_key.pk})

    assert KeyChange.objects.count() == before
    assert rich.available == 995


# --- what is told, and when ------------------------------------------------------------------------------------------


def _pause(cast: Cast, status: str = "paused") -> None:
    ApiKey.objects.filter(pk=cast.api_key.pk).update(status=status)


@pytest.fixture
def _as_it_was(cast: Cast) -> Iterator[None]:
    yield
    _pause(cast, "active")


@pytest.mark.usefixtures("_as_it_was")
def test_change_is_told_once(cast: Cast) -> None:
    first = key_changes.read(None)
    _pause(cast)
    second = key_changes.read(first.position)
    third = key_changes.read(second.position)
    _pause(cast, "active")
    fourth = key_changes.read(third.position)

    assert [told.keys for told in (first, second, third, fourth)] == [
        frozenset(), {cast.api_key.pk}, frozenset(), {cast.api_key.pk},
    ]  # fmt: skip


def test_change_that_is_rolled_back_is_not_told(cast: Cast) -> None:
    since = key_changes.read(None).position
    with transaction.atomic():
        _pause(cast)
        transaction.set_rollback(True)

    assert key_changes.read(since).keys == frozenset()


def test_what_is_read_on_another_server_or_an_older_state_has_a_gap(database: str) -> None:
    now = key_changes.read(None).position

    assert not key_changes.read(now).has_gap
    assert key_changes.read(Position(now.number, "another", frozenset())).has_gap
    assert key_changes.read(Position(now.number + 1_000_000, now.server, frozenset())).has_gap


def test_more_changes_than_are_told_are_a_gap(database: str) -> None:
    tenant = Tenant.objects.create(name="Many Ltd")
    ApiKey.objects.bulk_create(
        ApiKey(tenant=tenant, name="k", digest=secrets.token_hex(32)) for _key in range(MOST + 1)
    )

    def pause(number: int) -> Changes:
        ids = ApiKey.objects.filter(tenant=tenant).order_by("pk").values_list("pk", flat=True)[:number]
        return _told(lambda: ApiKey.objects.filter(pk__in=list(ids)).update(status="paused"))

    assert (len(pause(100).keys), pause(100).has_gap) == (100, False)
    assert pause(MOST + 1).has_gap


def test_emptied_table_is_a_gap(cast: Cast) -> None:
    if is_postgres():
        statement = "TRUNCATE billing_tenantplan"
    else:
        statement = "DELETE FROM billing_tenantplan"  # which is told row by row

    def change() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    told = _told(change)

    assert told.has_gap or told.tenants == {cast.tenant.pk}


# --- the table stays small -------------------------------------------------------------------------------------------


def _read_up(position: key_changes.Position) -> key_changes.Position:
    """Where nothing is left to be read: any transaction on the server, of another test too, holds that back."""
    deadline = time.monotonic() + 20
    while (position := key_changes.read(position).position).seen:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return position


@pytest.mark.usefixtures("_as_it_was")
def test_old_changes_go_and_who_has_not_read_them_is_told_of_a_gap(cast: Cast) -> None:
    now = timezone.now()
    asleep = key_changes.read(None).position
    for status in ("paused", "active", "paused"):
        _pause(cast, status)
    awake = _read_up(asleep)
    assert key_changes.forget_old(now) == 0
    assert key_changes.forget_old(now + 1.9 * KEPT) == 0
    KeyChange.objects.update(at=now - 2 * KEPT - dt.timedelta(seconds=1))
    _pause(cast, "active")

    assert key_changes.forget_old(now) >= 3

    assert list(KeyChange.objects.values_list("api_key_id", flat=True).order_by("pk")) == [cast.api_key.pk, None]
    told = key_changes.read(awake)
    assert (named(told), told.has_gap) == (({cast.api_key.pk}, set()), False)
    assert key_changes.read(asleep).has_gap
    assert not key_changes.read(told.position).has_gap
    assert key_changes.forget_old(now) == 0


@pytest.mark.usefixtures("_as_it_was")
def test_only_one_row_is_left_where_nothing_changes_any_more(cast: Cast) -> None:
    asleep = key_changes.read(None).position
    _pause(cast)
    for _hour in range(3):
        KeyChange.objects.update(at=timezone.now() - dt.timedelta(hours=1))
        key_changes.forget_old(timezone.now())

    assert list(KeyChange.objects.values_list("api_key_id", "tenant_id")) == [(None, None)]
    assert key_changes.read(asleep).has_gap


# --- migrations ------------------------------------------------------------------------------------------------------


def test_migrations_go_back_and_come_again(
    request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker, database: str
) -> None:
    kind = "postgres_databases" if is_postgres() else "sqlite_databases"
    with default_database(request.getfixturevalue(kind).migrated(), django_db_blocker):
        rich = account(10)
        api_key = keys.issue(tenant=rich.tenant, name="kept").api_key

        call_command("migrate", "accounts", "0005", verbosity=0)
        there = KeyChange._meta.db_table in connection.introspection.table_names()
        ApiKey.objects.filter(pk=api_key.pk).update(status="paused")
        Tenant.objects.filter(pk=rich.tenant.pk).update(concurrency=5)
        Balance.objects.filter(pk=rich.wallet.pk).update(session="x")
        call_command("migrate", verbosity=0)
        since = key_changes.read(None).position
        ApiKey.objects.filter(pk=api_key.pk).update(status="active")
        Balance.objects.filter(pk=rich.wallet.pk).update(session="")
        told = key_changes.read(since)

    assert (there, named(told)) == (False, ({api_key.pk}, {rich.tenant.pk}))
