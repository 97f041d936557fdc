"""The overview and the list of requests."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts import keys
from accounts.models import ApiKey, Tenant, User
from billing import reports
from billing.models import Balance, Price, Reservation, UsageRecord
from billing.reports import Filter, Position
from portal.templatetags import money

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


@pytest.fixture
def alices(client: Client, alice: User, tenant: Tenant) -> Client:
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def price(db: None) -> Price:
    return Price.objects.create(model="gpt-test", input=1_000_000_000, output=2_000_000_000)


@pytest.fixture
def api_key(tenant: Tenant) -> ApiKey:
    return keys.issue(tenant=tenant, name="production").api_key


@pytest.fixture
def record(tenant: Tenant, api_key: ApiKey, price: Price) -> Callable[..., UsageRecord]:
    """Writes a usage record of Alice's tenant; the wallet is left alone."""

    def write(**fields: Any) -> UsageRecord:
        started_at = fields.pop("started_at", NOON)
        given = {
            "id": uuid.uuid4(),
            "tenant": tenant,
            "legs": [Balance.objects.get(tenant=tenant).pk],
            "api_key": api_key,
            "endpoint": "chat/completions",
            "requested_model": "gpt-test",
            "model": "gpt-test",
            "price": price,
            "currency": "USD",
            "outcome": "success",
            "status": 200,
            "usage_source": "upstream",
            "input_tokens": 10,
            "output_tokens": 5,
            "cost": 20_000,
            "held": 90_000,
            "claimed_cost": 20_000,
            "started_at": started_at,
            "settled_at": started_at + dt.timedelta(seconds=1),
            "duration_ms": 1000,
        }
        return UsageRecord.objects.create(**(given | fields))

    return write


def listed(client: Client, **query: str) -> list[uuid.UUID]:
    return [row.pk for row, _key in client.get(reverse("portal:requests"), query).context["rows"]]


def test_figures_are_of_the_tenants_own_day_and_month(tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    tenant.time_zone = "Asia/Ho_Chi_Minh"
    record(started_at=dt.datetime(2026, 2, 28, 16, 59, 58, tzinfo=dt.UTC), cost=1)  # settled 23:59:59, February there
    record(started_at=dt.datetime(2026, 2, 28, 16, 59, 59, tzinfo=dt.UTC), cost=2)  # settled 00:00:00 of 1 March
    record(started_at=dt.datetime(2026, 3, 1, 17, 0, tzinfo=dt.UTC), cost=4)  # 2 March

    assert reports.figures(tenant, NOON + dt.timedelta(hours=6)) == reports.Figures("USD", 5_000_000_000, 0, 4, 6, 1)


def test_figures_show_what_is_held(tenant: Tenant, api_key: ApiKey, price: Price) -> None:
    Reservation.objects.create(
        id=uuid.uuid4(),
        legs=[Balance.objects.get(tenant=tenant).pk],
        amount=7,
        owner=uuid.uuid4(),
        tenant_id=tenant.pk,
        api_key_id=api_key.pk,
        endpoint="chat/completions",
        model="gpt-test",
        price_id=price.pk,
        created_at=NOON,
    )

    assert reports.figures(tenant, NOON).held == 7


def test_figures_leave_out_other_tenants(
    tenant: Tenant, stranger_tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    record(tenant=stranger_tenant, legs=[])

    assert reports.figures(tenant, NOON) == reports.Figures("USD", 5_000_000_000, 0, 0, 0, 0)


def test_a_tenant_without_wallet_has_nothing(tenant: Tenant) -> None:
    bare = Tenant.objects.create(name="Bare Ltd")

    assert reports.figures(bare, NOON) == reports.Figures("USD", 0, 0, 0, 0, 0)


def test_the_empty_overview_shows_the_first_call(alices: Client, price: Price) -> None:
    page = alices.get(reverse("portal:overview")).content.decode()

    assert "/v1/chat/completions" in page
    assert "from openai import OpenAI" in page
    assert "gpt-test" in page


def test_the_overview_shows_the_latest_requests(alices: Client, record: Callable[..., UsageRecord]) -> None:
    newest = record(started_at=NOON + dt.timedelta(seconds=1))
    oldest = record()

    rows = alices.get(reverse("portal:overview")).context["rows"]

    assert [row for row, _key in rows] == [newest, oldest]


@pytest.mark.parametrize("name", ["portal:overview", "portal:requests"])
def test_polling_answers_nothing_until_there_is_something_new(
    alices: Client, record: Callable[..., UsageRecord], name: str
) -> None:
    record()
    seen = alices.get(reverse(name)).context["seen"]
    quiet = alices.get(reverse(f"{name}_live"), {"seen": seen})
    new = record(started_at=NOON + dt.timedelta(seconds=1))

    answer = alices.get(reverse(f"{name}_live"), {"seen": seen})

    assert (quiet.status_code, quiet.content) == (204, b"")
    assert answer.status_code == 200
    assert new.pk.hex in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_polling_notices_a_changed_wallet(alices: Client, tenant: Tenant) -> None:
    seen = alices.get(reverse("portal:overview")).context["seen"]
    Balance.objects.filter(tenant=tenant).update(available=1)

    assert alices.get(reverse("portal:overview_live"), {"seen": seen}).status_code == 200


def test_quiet_polling_takes_five_queries(
    alices: Client, record: Callable[..., UsageRecord], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    record()
    seen = alices.get(reverse("portal:overview")).context["seen"]

    with django_assert_num_queries(5):  # session, user, memberships, newest requests, wallet
        alices.get(reverse("portal:overview_live"), {"seen": seen})


def test_the_list_takes_the_same_queries_however_long_it_is(
    alices: Client, record: Callable[..., UsageRecord], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        record(started_at=NOON + dt.timedelta(seconds=number))

    with django_assert_num_queries(8):  # session, user, memberships, models, keys, newest requests, wallet, requests
        alices.get(reverse("portal:requests"))


def test_the_overview_takes_the_same_queries_however_much_there_is(
    alices: Client, record: Callable[..., UsageRecord], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        record(started_at=NOON + dt.timedelta(seconds=number))

    # session, user, memberships; newest requests, wallet; wallet, sums, holds; requests, keys, models
    with django_assert_num_queries(11):
        alices.get(reverse("portal:overview"))


def test_the_list_pages_through_everything_once(tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    written = {record(started_at=NOON - dt.timedelta(seconds=number // 3)).pk for number in range(8)}

    first = reports.requests(tenant, Filter(), limit=3)
    second = reports.requests(tenant, Filter(), after=first.following, limit=3)
    third = reports.requests(tenant, Filter(), after=second.following, limit=3)

    pages = [len(page.records) for page in (first, second, third)]
    assert (pages, third.following) == ([3, 3, 2], None)
    assert {row.pk for page in (first, second, third) for row in page.records} == written


def test_the_list_links_to_its_next_page(alices: Client, record: Callable[..., UsageRecord]) -> None:
    for number in range(51):
        record(started_at=NOON - dt.timedelta(seconds=number))

    page = alices.get(reverse("portal:requests"), {"model": "gpt-test"})

    following = page.context["following"]
    assert f"?model=gpt-test&amp;after={following}" in page.content.decode()
    assert len(listed(alices, model="gpt-test", after=str(following))) == 1


@pytest.mark.parametrize("text", ["", "nonsense", "20260101000000000000-", "-0", "99999999999999999999-00"])
def test_a_position_that_nobody_wrote_is_no_position(text: str) -> None:
    assert Position.parse(text) is None


def test_a_position_survives_its_url() -> None:
    position = Position(NOON + dt.timedelta(microseconds=1), uuid.uuid4())

    assert Position.parse(str(position)) == position


def test_the_list_is_narrowed_by_key(alices: Client, tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    other = keys.issue(tenant=tenant, name="other").api_key
    record()
    wanted = record(api_key=other)

    assert listed(alices, key=str(other.pk)) == [wanted.pk]


def test_the_list_is_narrowed_by_model(alices: Client, record: Callable[..., UsageRecord]) -> None:
    Price.objects.create(model="other", input=1, output=1)
    record()
    wanted = record(model="other")

    assert listed(alices, model="other") == [wanted.pk]


def test_the_list_is_narrowed_by_outcome(alices: Client, record: Callable[..., UsageRecord]) -> None:
    record()
    wanted = record(outcome="timeout", status=504)

    assert listed(alices, outcome="timeout") == [wanted.pk]


def test_the_list_is_narrowed_by_days_of_the_tenant(
    alices: Client, tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(time_zone="Asia/Ho_Chi_Minh")
    record(started_at=dt.datetime(2026, 3, 1, 16, 59, 59, tzinfo=dt.UTC))
    wanted = record(started_at=dt.datetime(2026, 3, 1, 17, 0, tzinfo=dt.UTC))
    record(started_at=dt.datetime(2026, 3, 2, 17, 0, tzinfo=dt.UTC))

    assert listed(alices, first="2026-03-02", last="2026-03-02") == [wanted.pk]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"key": "1 OR 1=1"}, id="not a key"),
        pytest.param({"key": "999999999999999999999999"}, id="no such key"),
        pytest.param({"model": "\x00"}, id="no such model"),
        pytest.param({"outcome": "sideways"}, id="no such outcome"),
        pytest.param({"first": "9999-12-31", "last": "0001-01-01"}, id="no such days"),
        pytest.param({"after": "00010101000000000000-00"}, id="no such position"),
    ],
)
def test_what_is_not_valid_narrows_nothing(
    alices: Client, record: Callable[..., UsageRecord], query: dict[str, str]
) -> None:
    written = record()

    assert listed(alices, **query) == [written.pk]


def test_the_key_of_another_tenant_narrows_nothing(
    alices: Client, stranger_tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    theirs = keys.issue(tenant=stranger_tenant, name="theirs").api_key
    record(tenant=stranger_tenant, api_key=theirs, legs=[])
    own = record()

    assert listed(alices, key=str(theirs.pk)) == [own.pk]


def test_a_request_outlives_its_key(alices: Client, api_key: ApiKey, record: Callable[..., UsageRecord]) -> None:
    written = record()
    ApiKey.objects.filter(pk=api_key.pk).delete()

    assert listed(alices) == [written.pk]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        pytest.param(0, "USD", "0.000000", id="nothing"),
        pytest.param(1_234_567_890_123, "USD", "1,234.567890", id="thousands"),
        pytest.param(12_500, "USD", "0.000013", id="half up"),
        pytest.param(999, "USD", "&lt; 0.000001", id="never posing as nothing"),
        pytest.param(1_234_567_890, "VND", "1,234.57", id="dong"),
    ],
)
def test_money_in_lists(amount: int, currency: str, text: str) -> None:
    assert f">{text} <span" in money.money(amount, currency)


def test_spendable_never_promises_more_than_there_is() -> None:
    assert ">4.9999 <span" in money.spendable(4_999_999_999, "USD")


@pytest.mark.parametrize(
    ("amount", "text"),
    [pytest.param(1, "0.000000001", id="one unit"), pytest.param(5_000_000_000, "5.00", id="whole")],
)
def test_exact_money_has_every_digit(amount: int, text: str) -> None:
    assert f">{text} <span" in money.exact(amount, "USD")
