"""The operator's pages of prices, which are only added."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from billing.models import Price
from routing.models import CatalogueModel
from tests.pages import Browser, Page

RATES = {"model": "demo-small", "currency": "USD", "input": "0.25", "output": "2"}


@pytest.fixture
def form(desk: Browser, model: CatalogueModel) -> Page:
    """The page to add a price on."""
    return desk.open(reverse("admin:billing_price_add"))


def _press(form: Page, **changes: str) -> Page:
    return form.press("Save", **{**RATES, **changes})


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
    form: Page, operator: User, changes: dict[str, str], expected: dict[str, Any]
) -> None:
    assert _press(form, **changes).status == 302
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
        pytest.param(
            {"effective_from_0": "2020-01-01", "effective_from_1": "00:00"}, "cannot take effect in the past", id="past"
        ),
    ],
)
def test_refused_price_is_not_written(form: Page, changes: dict[str, str], message: str) -> None:
    assert message in _press(form, **changes).text
    assert Price.objects.count() == 0


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"currency": "EUR"}, id="unknown currency"),
        pytest.param({"model": "nobody"}, id="model that is not in the catalogue"),
    ],
)
def test_forged_choice_is_not_written(desk: Browser, model: CatalogueModel, forged: dict[str, str]) -> None:
    assert "Select a valid choice." in desk.forge(reverse("admin:billing_price_add"), RATES | forged).text
    assert Price.objects.count() == 0


def test_price_takes_effect_at_once_or_when_it_says(form: Page) -> None:
    before = timezone.now()
    _press(form)
    _press(form, effective_from_0="2099-01-01", effective_from_1="00:00").press("Save")
    later, now = Price.objects.order_by("-version")
    assert before <= now.effective_from <= timezone.now()
    assert (later.version, later.effective_from) == (2, dt.datetime(2099, 1, 1, tzinfo=dt.UTC))


def _page(desk: Browser, price: Price) -> Page:
    return desk.open(reverse("admin:billing_price_change", args=(price.pk,)))


def test_new_version_leaves_the_old_one(desk: Browser, price: Price) -> None:
    _page(desk, price).click("New version").press("Save", input="0.5").press("Save")
    assert list(Price.objects.order_by("version").values_list("version", "input")) == [
        (1, 250_000_000),
        (2, 500_000_000),
    ]


def test_new_version_begins_with_the_old_rates(desk: Browser, price: Price) -> None:
    held = _page(desk, price).click("New version").values("Save")
    rates = {"input": ["0.25"], "cached_input": ["0.025"], "output": ["2"], "request_fee": ["0.000001"]}
    assert {name: held[name] for name in rates} == rates


def test_price_is_shown_in_currency_units(desk: Browser, price: Price) -> None:
    page = _page(desk, price).text
    assert "0.25\N{NO-BREAK SPACE}USD" in page
    assert "0.000001\N{NO-BREAK SPACE}USD" in page
    assert "no price of its own" in page


@pytest.mark.parametrize("page", ["change", "delete"])
def test_written_price_stays_against_a_forged_form(desk: Browser, price: Price, page: str) -> None:
    url = reverse(f"admin:billing_price_{page}", args=(price.pk,))
    assert desk.forge(url, {**RATES, "input": "9", "post": "yes"}).status == 403
    price.refresh_from_db()
    assert price.input == 250_000_000


@pytest.mark.parametrize("rows", [1, 15])
def test_list_asks_the_same_number_of_queries(
    desk: Browser, django_assert_num_queries: DjangoAssertNumQueries, rows: int
) -> None:
    for number in range(rows):
        Price.objects.create(model=f"model-{number}", input=1, output=1)
    with django_assert_num_queries(8):
        desk.get(reverse("admin:billing_price_changelist"))


def test_state_on_a_prices_page_is_a_word(desk: Browser, form: Page) -> None:
    _press(form)

    text = desk.open(reverse("admin:billing_price_change", args=[Price.objects.get().pk])).text

    assert "in force" in text
    assert "&#x27;now&#x27;" not in text
