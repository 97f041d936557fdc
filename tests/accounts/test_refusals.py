"""Refused calls: counted within bounds, added up over processes, kept while the database is away."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator

import pytest
from django.db import Error, connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.plugin import DjangoDbBlocker

from accounts import refusals
from accounts.callers import Caller
from accounts.errors import GatewayError, InvalidRequest, ServiceUnavailable
from accounts.models import ApiKey, RefusedCall, Tenant
from accounts.refusals import KEPT, MOST_KINDS, Narrowing, Refusals
from accounts.tasks import forget_old_refusals
from tests.bookkeeping import default_database
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.wires import Wire

MINUTE = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
AT = MINUTE.timestamp()


@pytest.fixture(params=["postgres_databases", "sqlite_databases"], ids=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Each of the two, as the default one."""
    databases: PostgresDatabases | SqliteDatabases = request.getfixturevalue(request.param)
    with default_database(databases.migrated(), django_db_blocker):
        yield


def caller(key_id: int = 7, tenant_id: int = 3) -> Caller:
    return Caller(key_id, tenant_id, "USD", True, True, None, frozenset(), (), ())


def refused(
    counts: Refusals,
    message: str = "Invalid.",
    *,
    who: Caller | None = None,
    error: GatewayError | None = None,
    path: str = "/v1/chat/completions",
    model: object = "gpt-test",
    at: float = AT,
) -> None:
    counts.count(error or InvalidRequest(message, param="n"), who or caller(), path=path, model=model, at=at)


def rows() -> list[tuple[int | None, int | None, str, int, str]]:
    return list(RefusedCall.objects.order_by("pk").values_list("tenant_id", "api_key_id", "code", "count", "message"))


# --- counting --------------------------------------------------------------------------------------------------------


def test_calls_of_a_kind_and_minute_are_one_row(database: None) -> None:
    counts = Refusals()
    refused(counts, "First.")
    refused(counts, "Last.", at=AT + 59.9)

    counts.flush()

    row = RefusedCall.objects.get()
    assert (row.tenant_id, row.api_key_id, row.code, row.status, row.count) == (3, 7, "invalid_value", 400, 2)
    assert (row.message, row.param, row.model, row.path) == ("Last.", "n", "gpt-test", "/v1/chat/completions")
    assert (row.minute, row.at) == (MINUTE, MINUTE + dt.timedelta(seconds=59.9))


def test_another_key_code_or_minute_is_another_row(database: None) -> None:
    counts = Refusals()
    refused(counts)
    refused(counts, who=caller(8))
    refused(counts, error=ServiceUnavailable())
    refused(counts, at=AT + 60)

    counts.flush()

    assert [count for *_, count, _message in rows()] == [1, 1, 1, 1]


def test_keys_that_nobody_has_are_one_row_without_their_words(database: None) -> None:
    counts = Refusals()
    for _ in range(3):
        counts.count(InvalidRequest("No."), None, path="/v1/secret", model="gpt-secret", at=AT)

    counts.flush()
    counts.count(InvalidRequest("No."), None, path="/v1/secret", model="gpt-secret", at=AT)
    counts.flush()

    row = RefusedCall.objects.get()
    assert (row.tenant, row.api_key, row.count, row.path, row.model) == (None, None, 4, "", "")


def test_processes_add_up_and_the_last_call_stays_the_last(database: None) -> None:
    one, other = Refusals(), Refusals()
    refused(one, "Earlier.", at=AT + 1)
    refused(other, "Later.", at=AT + 2)

    other.flush()
    one.flush()

    assert rows() == [(3, 7, "invalid_value", 2, "Later.")]


def test_a_flush_is_one_statement_however_many_kinds(
    database: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    counts = Refusals()
    for key_id in range(1, MOST_KINDS + 1):
        refused(counts, who=caller(key_id))

    with django_assert_num_queries(1):
        counts.flush()

    assert RefusedCall.objects.count() == MOST_KINDS


def test_nothing_refused_is_nothing_written(db: None, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        Refusals().flush()


def test_a_flood_of_kinds_does_not_grow_it(db: None, caplog: pytest.LogCaptureFixture) -> None:
    counts = Refusals()
    for key_id in range(1, MOST_KINDS + 11):
        refused(counts, who=caller(key_id))
    refused(counts, who=caller(1))

    counts.flush()

    assert RefusedCall.objects.count() == MOST_KINDS
    assert RefusedCall.objects.get(api_key_id=1).count == 2
    assert "10 refused calls were not counted" in caplog.text


def test_threads_lose_no_count(db: None) -> None:
    counts, done = Refusals(), threading.Event()

    def count() -> None:
        for _ in range(20_000):
            refused(counts)
        done.set()

    thread = threading.Thread(target=count)
    thread.start()
    while not done.is_set():
        counts.flush()
    thread.join()
    counts.flush()

    assert RefusedCall.objects.get().count == 20_000


def test_what_could_not_be_written_is_written_later(
    postgres_databases: PostgresDatabases, django_db_blocker: DjangoDbBlocker
) -> None:
    wire, counts = Wire(postgres_databases.migrated()), Refusals()
    with default_database(wire.url, django_db_blocker):
        refused(counts)
        wire.cut()
        with pytest.raises(Error):
            counts.flush()
        connection.close()
        refused(counts)
        wire.mend()
        counts.flush()
        counts.flush()

        assert [count for *_, count, _message in rows()] == [2]
    wire.cut()


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_what_is_kept_is_bounded_and_can_be_shown(database: None) -> None:
    counts = Refusals()
    refused(counts, "m" * 5_000, path="/v1/\0\n" + "p" * 5_000, model="x" * 5_000)

    counts.flush()

    row = RefusedCall.objects.get()
    assert (row.message, row.path, row.model) == ("m" * 300, "/v1/\ufffd\ufffd" + "p" * 294, "")


@pytest.mark.parametrize("model", [None, 5, ["a"], "Write me a poem", "a\nb", "", "x" * 201])
def test_what_is_no_name_of_a_model_is_not_kept(db: None, model: object) -> None:
    counts = Refusals()
    refused(counts, model=model)

    counts.flush()

    assert RefusedCall.objects.get().model == ""


def test_a_key_in_the_wrong_place_is_not_kept(db: None) -> None:
    counts = Refusals()
    refused(counts, path="/v1/models/sk-cr-0123456789abcdef", model="sk-cr-0123456789abcdef")

    counts.flush()

    row = RefusedCall.objects.get()
    assert (row.path, row.model) == ("/v1/models/sk-…", "sk-…")


def test_the_message_is_kept_without_what_it_quotes(db: None) -> None:
    counts = Refusals()
    refused(counts, error=InvalidRequest("The name 'my secret' is there twice.", kept="A name is there twice."))

    counts.flush()

    assert RefusedCall.objects.get().message == "A name is there twice."


# --- reading ---------------------------------------------------------------------------------------------------------


def row(tenant: Tenant, api_key: ApiKey, **fields: object) -> RefusedCall:
    given: dict[str, object] = {
        "tenant": tenant, "api_key": api_key, "code": "invalid_value", "status": 400, "minute": MINUTE, "at": MINUTE,
        "count": 1, "message": "Invalid.",
    }  # fmt: skip
    return RefusedCall.objects.create(**(given | fields))


def test_kinds_add_up_and_show_their_last_row(tenant: Tenant, api_key: ApiKey) -> None:
    row(tenant, api_key, count=2)
    row(tenant, api_key, count=3, minute=MINUTE + dt.timedelta(minutes=1), message="Last.")
    row(tenant, api_key, code="invalid_json", minute=MINUTE - dt.timedelta(minutes=1))

    found = refusals.kinds(tenant, Narrowing(), limit=9)

    assert [(each.code, each.count, each.message) for each in found] == [
        ("invalid_value", 5, "Last."),
        ("invalid_json", 1, "Invalid."),
    ]


def test_kinds_of_a_period_leave_out_the_rest(tenant: Tenant, api_key: ApiKey) -> None:
    for minutes in range(4):
        row(tenant, api_key, minute=MINUTE + dt.timedelta(minutes=minutes))
    since, until = MINUTE + dt.timedelta(minutes=1), MINUTE + dt.timedelta(minutes=3)

    (found,) = refusals.kinds(tenant, Narrowing(since=since, until=until), limit=9)

    assert (found.count, found.minute) == (2, MINUTE + dt.timedelta(minutes=2))


def test_another_tenants_calls_are_not_counted(tenant: Tenant, stranger_tenant: Tenant, api_key: ApiKey) -> None:
    row(tenant, api_key, minute=timezone.now())

    assert refusals.kinds(stranger_tenant, Narrowing(), limit=9) == []
    assert refusals.last_hour(stranger_tenant, timezone.now()).count == 0


def test_the_fingerprint_changes_with_every_refused_call(tenant: Tenant, api_key: ApiKey) -> None:
    counted, now = row(tenant, api_key, minute=timezone.now(), at=timezone.now()), timezone.now()
    before = refusals.last_hour(tenant, now)
    RefusedCall.objects.filter(pk=counted.pk).update(count=2)

    assert refusals.last_hour(tenant, now).fingerprint != before.fingerprint


def test_old_rows_are_deleted_in_batches(tenant: Tenant, api_key: ApiKey) -> None:
    now = timezone.now()
    for number in range(3):
        row(tenant, api_key, minute=now - KEPT - dt.timedelta(minutes=number + 1))
    fresh = row(tenant, api_key, minute=now)

    assert [refusals.forget_old(now, most=2) for _ in range(3)] == [2, 1, 0]
    assert list(RefusedCall.objects.all()) == [fresh]


def test_the_task_deletes_all_old_rows(tenant: Tenant, api_key: ApiKey) -> None:
    row(tenant, api_key, minute=timezone.now() - KEPT - dt.timedelta(minutes=1))

    forget_old_refusals()

    assert RefusedCall.objects.count() == 0
