"""The operator's pages of prices and books: prices are only added, the books are only looked at."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import keys
from accounts.models import ApiKey, Tenant, User
from billing import balances, ledger
from billing.models import Balance, LedgerEntry, Price, Process, Reservation, UsageRecord
from routing.models import CatalogueModel


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("olga@example.com", name="Olga")


@pytest.fixture
def desk(client: Client, operator: User) -> Client:
    """The operator's browser."""
    client.force_login(operator)
    return client


@pytest.fixture
def model(db: None) -> CatalogueModel:
    return CatalogueModel.objects.create(name="demo-small")


@pytest.fixture
def price(model: CatalogueModel) -> Price:
    return Price.objects.create(
        model=model.name, input=250_000_000, cached_input=25_000_000, output=2_000_000_000, request_fee=1_000
    )


@pytest.fixture
def record(tenant: Tenant, price: Price) -> UsageRecord:
    return _record(tenant, price, keys.issue(tenant=tenant, name="robot").api_key)


def _record(tenant: Tenant, price: Price, api_key: ApiKey) -> UsageRecord:
    began = timezone.now()
    return UsageRecord.objects.create(
        id=uuid.uuid4(), tenant=tenant, legs=[balances.open_wallet(tenant).pk], api_key=api_key, price=price,
        endpoint="chat.completions", requested_model="demo-small:floor", model="demo-small", currency="USD",
        outcome="success", status=200, usage_source="upstream", input_tokens=1_532, cached_input_tokens=1_024,
        output_tokens=317, reasoning_tokens=64, cost=787_600, held=8_000_000, claimed_cost=787_600,
        provider_cost=266_400, provider_currency="USD", channel="cheap", upstream_model="small-2",
        decision={"strategy": "cheapest", "candidates": [
            {"route": 1, "channel": "cheap", "upstream_model": "small-2", "state": "chosen", "reason": None,
             "expected_cost": 266_400, "currency": "USD", "success_rate": 0.98, "priority": 0, "weight": 1},
            {"route": 2, "channel": "other", "upstream_model": "small-3", "state": "out", "reason": "breaker_open",
             "expected_cost": None, "currency": "USD", "success_rate": 0.5, "priority": 0, "weight": 1},
        ]},
        attempts=[
            {"channel": "steady", "upstream_model": "small-1", "outcome": "bad_status", "status": 503,
             "detail": "<script>alert(1)</script>", "started_ms": 2, "duration_ms": 140},
        ],
        started_at=began, first_byte_ms=210, duration_ms=790, settled_at=began,
    )  # fmt: skip


# --- prices ----------------------------------------------------------------------------------------------------------

ADD = "admin:billing_price_add"


def _price_form(**changes: str) -> dict[str, str]:
    return {"model": "demo-small", "currency": "USD", "input": "0.25", "output": "2", **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, {"input": 250_000_000, "output": 2_000_000_000, "cached_input": None}, id="plain"),
        pytest.param({"cached_input": "0.025"}, {"cached_input": 25_000_000}, id="cached"),
        pytest.param({"input": "0", "cached_input": "0"}, {"input": 0, "cached_input": 0}, id="zero is a price"),
        pytest.param({"input": "0.000000001"}, {"input": 1}, id="one ledger unit"),
        pytest.param({"request_fee": "0.0005"}, {"request_fee": 500_000}, id="fee"),
        pytest.param({"currency": "VND", "input": "6500.5"}, {"currency": "VND", "input": 6_500_500_000}, id="dong"),
    ],
)
def test_price_is_entered_in_currency_units(
    desk: Client, operator: User, model: CatalogueModel, changes: dict[str, str], expected: dict[str, Any]
) -> None:
    assert desk.post(reverse(ADD), _price_form(**changes)).status_code == 302
    price = Price.objects.get()
    assert {name: getattr(price, name) for name in expected} == expected
    assert (price.version, price.created_by) == (1, operator)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"input": "0.0000000001"}, "at most 9 decimal places", id="finer than a ledger unit"),
        pytest.param({"currency": "VND", "input": "0.0000001"}, "at most 6 decimal places", id="finer dong"),
        pytest.param({"input": "-1"}, "greater than or equal to 0", id="negative"),
        pytest.param({"input": ""}, "This field is required.", id="no input price"),
        pytest.param({"output": "Infinity"}, "Enter a number.", id="infinite"),
        pytest.param({"output": "1e15"}, "no more than", id="too many digits"),
        pytest.param({"output": "99999999999"}, "This amount is too large.", id="too large"),
        pytest.param({"currency": "EUR"}, "Select a valid choice.", id="unknown currency"),
        pytest.param({"model": "nobody"}, "Select a valid choice.", id="model that is not in the catalogue"),
        pytest.param(
            {"effective_from_0": "2020-01-01", "effective_from_1": "00:00"}, "cannot take effect in the past", id="past"
        ),
    ],
)
def test_refused_price_is_not_written(
    desk: Client, model: CatalogueModel, changes: dict[str, str], message: str
) -> None:
    assert message in desk.post(reverse(ADD), _price_form(**changes)).content.decode()
    assert Price.objects.count() == 0


def test_price_takes_effect_at_once_or_when_it_says(desk: Client, model: CatalogueModel) -> None:
    before = timezone.now()
    desk.post(reverse(ADD), _price_form())
    desk.post(reverse(ADD), _price_form(effective_from_0="2099-01-01", effective_from_1="00:00"))
    later, now = Price.objects.order_by("-version")
    assert before <= now.effective_from <= timezone.now()
    assert (later.version, later.effective_from) == (2, dt.datetime(2099, 1, 1, tzinfo=dt.UTC))


def test_new_version_leaves_the_old_one(desk: Client, price: Price) -> None:
    desk.post(reverse(ADD), _price_form(input="0.5"))
    assert list(Price.objects.order_by("version").values_list("version", "input")) == [
        (1, 250_000_000),
        (2, 500_000_000),
    ]


def test_new_version_begins_with_the_old_rates(desk: Client, price: Price) -> None:
    page = desk.get(reverse("admin:billing_price_new_version", args=(price.pk,)), follow=True).content.decode()
    assert 'name="input" value="0.25"' in page
    assert 'name="cached_input" value="0.025"' in page
    assert 'name="output" value="2"' in page
    assert 'name="request_fee" value="0.000001"' in page


def test_price_is_shown_in_currency_units(desk: Client, price: Price) -> None:
    page = desk.get(reverse("admin:billing_price_change", args=(price.pk,))).content.decode()
    assert "0.25\N{NO-BREAK SPACE}USD" in page
    assert "0.000001\N{NO-BREAK SPACE}USD" in page
    assert "no price of its own" in page


@pytest.mark.parametrize("page", ["change", "delete"])
def test_written_price_stays(desk: Client, price: Price, page: str) -> None:
    url = reverse(f"admin:billing_price_{page}", args=(price.pk,))
    assert desk.post(url, _price_form(input="9", post="yes")).status_code == 403
    price.refresh_from_db()
    assert price.input == 250_000_000


# --- books that are only looked at -----------------------------------------------------------------------------------


def _balance(record: UsageRecord) -> Model:
    return Balance.objects.get(tenant=record.tenant)


def _entry(record: UsageRecord) -> Model:
    return LedgerEntry.objects.get()


def _reservation(record: UsageRecord) -> Model:
    return Reservation.objects.create(
        id=uuid.uuid4(), legs=record.legs, amount=7, owner=uuid.uuid4(), tenant_id=record.tenant_id,
        api_key_id=record.api_key_id, endpoint="chat.completions", model="demo-small", price_id=record.price_id,
        created_at=timezone.now(),
    )  # fmt: skip


def _process(record: UsageRecord) -> Model:
    return Process.objects.create(host="web-1", pid=1, started_at=timezone.now(), heartbeat_at=timezone.now())


def _itself(record: UsageRecord) -> Model:
    return record


BOOKS = pytest.mark.parametrize("make", [_balance, _entry, _reservation, _process, _itself])


@BOOKS
@pytest.mark.parametrize("page", ["add", "change", "delete"])
def test_books_refuse_to_be_written(
    desk: Client, record: UsageRecord, make: Callable[[UsageRecord], Model], page: str
) -> None:
    row = make(record)
    before = type(row)._default_manager.values().get(pk=row.pk)
    args = () if page == "add" else (row.pk,)
    url = reverse(f"admin:billing_{row._meta.model_name}_{page}", args=args)
    forged = {"amount": "1", "available": "99999999999", "cost": "0", "credit_line": "1", "host": "x", "post": "yes"}
    assert desk.post(url, forged).status_code == 403
    assert list(type(row)._default_manager.values()) == [before]


@BOOKS
def test_books_have_no_actions(desk: Client, record: UsageRecord, make: Callable[[UsageRecord], Model]) -> None:
    row = make(record)
    url = reverse(f"admin:billing_{row._meta.model_name}_changelist")
    desk.post(url, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert type(row)._default_manager.filter(pk=row.pk).exists() is True


@BOOKS
def test_books_can_be_read(desk: Client, record: UsageRecord, make: Callable[[UsageRecord], Model]) -> None:
    row = make(record)
    url = reverse(f"admin:billing_{row._meta.model_name}_change", args=(row.pk,))
    assert desk.get(url).status_code == 200


# --- usage records ---------------------------------------------------------------------------------------------------

RECORDS = "admin:billing_usagerecord_changelist"


@pytest.mark.parametrize("spelling", ["{0.public_id}", "{0.id}", "{0.id.hex}", " {0.public_id} ", "demo-small"])
def test_record_is_found_by_its_id_and_model(desk: Client, record: UsageRecord, spelling: str) -> None:
    page = desk.get(reverse(RECORDS), {"q": spelling.format(record)}).content.decode()
    assert reverse("admin:billing_usagerecord_change", args=(record.pk,)) in page


@pytest.mark.parametrize("term", ["chatcmpl-" + "0" * 32, "%", "demo", "' OR 1=1--"])
def test_other_search_finds_nothing(desk: Client, record: UsageRecord, term: str) -> None:
    page = desk.get(reverse(RECORDS), {"q": term}).content.decode()
    assert reverse("admin:billing_usagerecord_change", args=(record.pk,)) not in page


@pytest.fixture
def record_page(desk: Client, record: UsageRecord) -> str:
    return desk.get(reverse("admin:billing_usagerecord_change", args=(record.pk,))).content.decode()


def _cells(*texts: str) -> str:
    return "</td><td".join(f">{text}" for text in texts)


def test_record_shows_its_price_sum(record_page: str) -> None:
    text = record_page.replace('class="number"', "").replace('class=""', "").replace("\N{NO-BREAK SPACE}", " ")
    text = text.replace("<td >", "<td>")
    assert f"<td{_cells('input', '508', '0.25 USD', '0.000127 USD')}</td>" in text
    assert f"<td{_cells('cached input', '1,024', '0.025 USD', '0.0000256 USD')}</td>" in text
    assert f"<td{_cells('output', '253', '2.00 USD', '0.000506 USD')}</td>" in text
    assert f"<td{_cells('reasoning', '64', '2.00 USD', '0.000128 USD')}</td>" in text
    assert f"<td{_cells('fee per request', '', '', '0.000001 USD')}</td>" in text
    assert "0.0007876 USD" in text


def test_record_shows_what_was_written_off(desk: Client, record: UsageRecord) -> None:
    passed = _passed_its_hold(record)
    page = desk.get(reverse("admin:billing_usagerecord_change", args=(passed.pk,))).content.decode()
    assert "Written off" in page
    assert "0.00000123\N{NO-BREAK SPACE}USD" in page


def _passed_its_hold(record: UsageRecord) -> UsageRecord:
    """Another record, that cost 1,230 ledger units more than hold and balances could pay."""
    passed = UsageRecord.objects.get(pk=record.pk)
    passed.pk, passed.held, passed.cost, passed.claimed_cost = uuid.uuid4(), 500_000, 786_370, 787_600
    passed._state.adding = True
    passed.save()
    return passed


def test_record_shows_its_decision_in_words(record_page: str) -> None:
    assert "failing; the breaker is open" in record_page
    assert "small-3" in record_page
    assert "98%" in record_page


def test_record_shows_attempts_with_their_detail_escaped(record_page: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in record_page
    assert "<script>alert(1)" not in record_page
    assert "error status" in record_page


def test_record_outlives_its_key(desk: Client, record: UsageRecord) -> None:
    ApiKey.objects.all().delete()
    page = desk.get(reverse("admin:billing_usagerecord_change", args=(record.pk,)))
    assert f"(#{record.api_key_id})" in page.content.decode()
    assert desk.get(reverse(RECORDS)).status_code == 200


def test_record_without_decision_or_attempts_can_be_read(desk: Client, record: UsageRecord) -> None:
    bare = UsageRecord.objects.get(pk=record.pk)
    bare.pk, bare.decision, bare.attempts, bare.provider_cost = uuid.uuid4(), {}, [], None
    bare._state.adding = True
    bare.save()
    assert desk.get(reverse("admin:billing_usagerecord_change", args=(bare.pk,))).status_code == 200


# --- lists stay cheap ------------------------------------------------------------------------------------------------


def _fill(record: UsageRecord, operator: User, rows: int) -> None:
    for number in range(rows):
        tenant = Tenant.objects.create(name=f"Tenant {number}")
        wallet = balances.open_wallet(tenant)
        ledger.post(
            balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=1, reference=f"fill:{number}", created_by=operator
        )
        fresh = _record(tenant, record.price, record.api_key)
        _reservation(fresh)
        _process(fresh)
        Price.objects.create(model=f"model-{number}", input=1, output=1)


@pytest.mark.parametrize("rows", [1, 15])
@pytest.mark.parametrize(
    ("name", "queries"),
    [("price", 7), ("balance", 5), ("ledgerentry", 7), ("reservation", 7), ("process", 5), ("usagerecord", 6)],
)
def test_list_asks_the_same_number_of_queries(
    desk: Client,
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


def test_first_page_counts_what_is_open(desk: Client, record: UsageRecord) -> None:
    _reservation(record)
    page = desk.get("/admin/").content.decode()
    assert "0.0007876\N{NO-BREAK SPACE}USD" in page
    assert "0.000000007\N{NO-BREAK SPACE}USD" in page


def test_balance_is_shown_exactly(desk: Client, record: UsageRecord) -> None:
    Balance.objects.update(available=-1)
    assert "-0.000000001\N{NO-BREAK SPACE}USD" in desk.get(reverse("admin:billing_balance_changelist")).content.decode()


def test_first_page_says_how_often_holds_are_passed_and_what_it_costs(desk: Client, record: UsageRecord) -> None:
    _passed_its_hold(record)
    figures = {figure["label"]: figure["lines"] for figure in desk.get("/admin/").context["figures"]}
    assert figures["Passed their hold today (UTC)"] == ("50.00 %",)
    assert figures["Written off today (UTC)"] == ("0.00000123\N{NO-BREAK SPACE}USD",)


def test_first_page_of_a_quiet_day(desk: Client) -> None:
    figures = {figure["label"]: figure["lines"] for figure in desk.get("/admin/").context["figures"]}
    assert (figures["Passed their hold today (UTC)"], figures["Written off today (UTC)"]) == (("0.00 %",), ("0",))


def test_reservation_shows_what_was_used_so_far(desk: Client, record: UsageRecord) -> None:
    row = _reservation(record)
    Reservation.objects.filter(pk=row.pk).update(usage={"input": 1_200, "cached_input": 7})
    page = desk.get(reverse("admin:billing_reservation_change", args=(row.pk,))).content.decode()
    assert "input 1,200, cached input 7" in page
