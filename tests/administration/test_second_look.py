"""What is shown of a price before it is saved, and what has to be confirmed by itself."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey, Tenant
from billing import plans
from billing.models import Price, PricePlan, PriceWithdrawal, UsageRecord
from routing.models import CatalogueModel, Channel, CostPrice, Route
from tests.pages import Browser, Page
from tests.records import usage_record

RATES = {"model": "demo-small", "currency": "USD", "input": "0.25", "output": "2"}
MILLION = 10**6


@pytest.fixture
def route(model: CatalogueModel) -> Route:
    channel = Channel.objects.create(name="served", provider="fake", base_url="fake://served")
    made = Route.objects.create(channel=channel, model=model, upstream_name="upstream-1")
    CostPrice.objects.create(route=made, input=100_000_000, output=1_000_000_000)
    return made


def new_version(desk: Browser, price: Price, **changes: str) -> Page:
    return (
        desk.open(reverse("admin:billing_price_change", args=(price.pk,))).click("New version").press("Save", **changes)
    )


def test_change_of_a_price_shows_old_new_factor_cost_and_margin(desk: Browser, price: Price, route: Route) -> None:
    look = new_version(desk, price, input="0.5")
    assert Price.objects.count() == 1
    for shown in (
        "0.25\N{NO-BREAK SPACE}USD",
        "0.50\N{NO-BREAK SPACE}USD",
        "\N{MULTIPLICATION SIGN} 2.000",
        "80.0\N{NO-BREAK SPACE}%",
        "50.0\N{NO-BREAK SPACE}%",
    ):
        assert shown in look.text
    assert "Nothing was priced by it in the last 7 days." in look.text

    assert look.press("Save").status == 302
    assert Price.objects.get(version=2).input == 500_000_000


def test_factor_too_small_for_its_decimals_does_not_pose_as_nothing(desk: Browser, price: Price) -> None:
    assert "\N{MULTIPLICATION SIGN} 0.00008" in new_version(desk, price, input="0.00002").text


def test_last_week_is_reckoned_again(desk: Browser, price: Price, tenant: Tenant, api_key: ApiKey) -> None:
    for hours in (1, 100, 8 * 24):
        usage_record(tenant, price, api_key, input_tokens=MILLION, output_tokens=MILLION, cost=2_250_001_000,
                     started_at=timezone.now() - dt.timedelta(hours=hours))  # fmt: skip
    look = _words(new_version(desk, price, output="3"))
    assert "2 requests of the last 7 days were priced at 4.500002\N{NO-BREAK SPACE}USD" in look
    assert "they would have been 6.500002\N{NO-BREAK SPACE}USD" in look


@pytest.mark.parametrize(
    ("changes", "doubts"),
    [
        ({"input": "0.09"}, ["costs more than this price brings"]),
        ({"output": "0.99"}, ["costs more than this price brings"]),
        ({"input": "2.6"}, ["Input changes by more than a factor of 10."]),
        ({"input": "0.25", "cached_input": "0"}, ["Cached input becomes free."]),
        ({"output": "0"}, ["costs more than this price brings", "Output becomes free."]),
        ({"output": "200"}, ["Output changes by more than a factor of 10."]),
        (
            {"terms": "above 1: input 0.001"},
            ["costs more than this price brings", "Input changes by more than a factor"],
        ),
        ({"terms": "01:00-02:00: output 0"}, ["costs more than this price brings", "Output becomes free."]),
        ({"request_fee": "0.1"}, ["Fee per request changes by more than a factor of 10."]),
    ],
)
def test_what_is_unusual_has_to_be_confirmed_line_by_line(
    desk: Browser, price: Price, route: Route, changes: dict[str, str], doubts: list[str]
) -> None:
    look = new_version(desk, price, **changes)
    for doubt in doubts:
        assert doubt in look.text
    held = look.values("Save")
    again = look.press("Save")
    assert again.status == 200
    assert "Confirm each line" in again.text
    assert Price.objects.count() == 1

    ticks: dict[str, Any] = dict.fromkeys(_ticks(again), True)
    assert len(ticks) >= len(doubts)
    assert again.press("Save", **ticks).status == 302
    assert Price.objects.count() == 2
    assert held["seen"] == [str(price.pk)]


def _words(page: Page) -> str:
    """Its text in one line; amounts keep their no-break spaces."""
    return re.sub(r"[ \n]+", " ", page.text)


def _ticks(page: Page) -> list[str]:
    return re.findall(r'type="checkbox" name="(\w+)"', page.text)


def test_first_price_is_saved_at_once_unless_it_is_below_cost(
    desk: Browser, model: CatalogueModel, route: Route
) -> None:
    form = desk.open(reverse("admin:billing_price_add"))
    look = form.press("Save", **(RATES | {"input": "0.05"}))
    assert "costs more than this price brings" in look.text
    assert Price.objects.count() == 0
    assert form.press("Save", **RATES).status == 302


def test_price_that_changed_meanwhile_is_another_look(desk: Browser, price: Price) -> None:
    look = new_version(desk, price, input="0.5")
    Price.objects.create(model=price.model, input=1, output=1)
    assert look.press("Save").status == 200
    assert Price.objects.count() == 2


def test_typing_error_is_shown_on_the_form_and_not_looked_at(desk: Browser, price: Price) -> None:
    page = new_version(desk, price, terms="above 5 input 6")
    assert "has no colon between its condition and its rates" in page.text
    assert Price.objects.count() == 1


def test_terms_are_typed_kept_and_carried_to_the_next_version(desk: Browser, price: Price) -> None:
    text = "above 200000: input 0.5\n16:30-00:30: output 1"
    look = new_version(desk, price, terms=text)
    assert "16:30-00:30: output 1" in look.text
    look.press("Save")
    newest = Price.objects.get(version=2)
    assert newest.tariff.at(0).output == 1_000_000_000
    assert newest.tariff.at(12 * 3600).for_input(200_001).input == 500_000_000
    form = desk.open(reverse("admin:billing_price_change", args=(newest.pk,))).click("New version")
    assert form.values("Save")["terms"] == [text]


def test_price_of_a_plan_is_looked_at_beside_that_plan(desk: Browser, price: Price) -> None:
    plan = PricePlan.objects.create(name="gold")
    plans.set_markup(plan, Decimal(100))
    copy = Price.objects.get(plan=plan)
    look = new_version(desk, copy, input="1")
    assert "0.50\N{NO-BREAK SPACE}USD" in look.text
    assert "What gold asks for demo-small in USD" in look.text
    look.press("Save")
    assert Price.objects.filter(plan=plan, copy_of=None).get().input == 10**9


def test_cost_price_above_the_price_has_to_be_confirmed(desk: Browser, price: Price, route: Route) -> None:
    page = desk.open(reverse("admin:routing_route_change", args=(route.pk,))).click("New cost price")
    look = page.press("Save", input="0.3")
    assert "Customers pay less for this model than this route would cost" in look.text
    assert CostPrice.objects.count() == 1
    assert look.press("Save", below_cost=True).status == 302
    assert CostPrice.objects.get(version=2).input == 300_000_000


def test_coming_price_is_withdrawn_by_its_button(desk: Browser, price: Price) -> None:
    new_version(desk, price, effective_from_0="2099-01-01", effective_from_1="00:00").press("Save")
    coming = Price.objects.get(version=2)
    page = desk.open(reverse("admin:billing_price_change", args=(coming.pk,)))
    assert "to come" in page.text
    page.click("Withdraw").press("Withdraw")
    assert PriceWithdrawal.objects.get().price == coming
    assert "withdrawn" in desk.open(reverse("admin:billing_price_changelist")).text


def test_price_in_force_is_not_withdrawn(desk: Browser, price: Price) -> None:
    page = desk.open(reverse("admin:billing_price_change", args=(price.pk,))).click("Withdraw").press("Withdraw")
    assert "can only be followed by another one" in page.text
    assert PriceWithdrawal.objects.count() == 0


def test_coming_cost_price_is_withdrawn_too(desk: Browser, route: Route) -> None:
    coming = CostPrice.objects.create(
        route=route, input=1, output=1, effective_from=timezone.now() + dt.timedelta(days=1)
    )
    desk.open(reverse("admin:routing_costprice_change", args=(coming.pk,))).click("Withdraw").press("Withdraw")
    assert hasattr(CostPrice.objects.get(pk=coming.pk), "withdrawal")


def test_plan_and_markup_of_a_tenant_are_set_on_their_pages(desk: Browser, price: Price, tenant: Tenant) -> None:
    desk.open(reverse("admin:billing_priceplan_add")).press("Save", name="gold", markup="12.5", is_confirmed=True)
    plan = PricePlan.objects.get()
    assert Price.objects.get(plan=plan).input == 281_250_000
    desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,))).press("Save", plan=plan.pk)
    assert plans.plan_of(tenant.pk) == plan.pk
    page = desk.open(reverse("admin:accounts_tenant_change", args=(tenant.pk,)))
    assert page.values("Save")["plan"] == [str(plan.pk)]
    page.press("Save", plan="")
    assert plans.plan_of(tenant.pk) == 0
    desk.open(reverse("admin:billing_priceplan_change", args=(plan.pk,))).press("Save", markup="0", is_confirmed=True)
    assert [row.input for row in Price.objects.filter(plan=plan).order_by("version")] == [281_250_000, 250_000_000]


@pytest.mark.parametrize(("markup", "count"), [("15", 2), ("-5", 2), ("-5.001", 1), ("-100", 1), ("50", 1)])
def test_markup_that_moves_far_is_asked_for_once_more(desk: Browser, price: Price, markup: str, count: int) -> None:
    """A sign that slipped would sell everything below cost within two seconds."""
    plan = PricePlan.objects.create(name="gold")
    plans.set_markup(plan, Decimal(5))
    page = desk.open(reverse("admin:billing_priceplan_change", args=(plan.pk,)))

    asked = page.press("Save", markup=markup)

    assert Price.objects.filter(plan=plan).count() == count
    if count == 1:
        assert "More than ten points from 5 %" in asked.text
        assert asked.press("Save", is_confirmed=True).status == 302
        assert Price.objects.filter(plan=plan).count() == 2


def test_effect_of_a_cost_price_is_what_the_route_would_have_cost(
    desk: Browser, price: Price, route: Route, tenant: Tenant, api_key: ApiKey
) -> None:
    usage_record(tenant, price, api_key, input_tokens=MILLION, output_tokens=0, channel="served",
                 upstream_model="upstream-1", provider_cost=100_000_000, provider_currency="USD",
                 started_at=timezone.now())  # fmt: skip
    assert UsageRecord.objects.count() == 1
    page = desk.open(reverse("admin:routing_route_change", args=(route.pk,))).click("New cost price")
    look = _words(page.press("Save", input="0.2"))
    assert (
        "1 request of the last 7 days was priced at 0.10\N{NO-BREAK SPACE}USD; at these rates it would have been 0.20"
        in look
    )


def own_price(markup: str, **rates: int) -> Price:
    """Of a plan with this markup; somebody entered it."""
    plan = PricePlan.objects.create(name="gold")
    plans.set_markup(plan, Decimal(markup))
    return plans.publish(
        Price(model="demo-small", plan=plan, **({"input": 200_000_000, "output": 10**9, "request_fee": 900} | rates))
    )


def page_of(desk: Browser, price: Price) -> Page:
    return desk.open(reverse("admin:billing_price_change", args=(price.pk,)))


def test_plan_follows_the_list_after_a_look_at_old_new_and_factor(desk: Browser, price: Price) -> None:
    own = own_price("50")
    count = Price.objects.count()

    look = page_of(desk, own).click("Follow the list")
    for shown in ("0.20\N{NO-BREAK SPACE}USD", "0.375\N{NO-BREAK SPACE}USD", "\N{MULTIPLICATION SIGN} 1.875"):
        assert shown in look.text
    assert Price.objects.count() == count

    answer = look.press("Save")
    newest = Price.objects.filter(plan=own.plan).order_by("version").last()
    assert newest is not None
    assert (newest.copy_of, newest.input, newest.output, answer.status) == (price, 375_000_000, 3 * 10**9, 302)
    assert "The plan follows the list for this model." in answer.landed().text
    assert "follows the list" in desk.open(reverse("admin:billing_price_history", args=(own.pk,))).text


def test_following_the_list_is_confirmed_where_it_is_unusual(desk: Browser, price: Price) -> None:
    own = own_price("0", input=1_000_000)
    count = Price.objects.count()

    look = page_of(desk, own).click("Follow the list")
    again = look.press("Save")
    assert "Confirm each line" in again.text
    assert Price.objects.count() == count
    assert again.press("Save", **dict.fromkeys(_ticks(again), True)).status == 302
    assert Price.objects.count() == count + 1


def test_list_that_changed_meanwhile_is_another_look(desk: Browser, price: Price) -> None:
    own = own_price("0")
    look = page_of(desk, own).click("Follow the list")
    plans.publish(Price(model="demo-small", input=300_000_000, output=10**9))
    count = Price.objects.count()

    again = look.press("Save")
    assert "0.30\N{NO-BREAK SPACE}USD" in again.text
    assert Price.objects.count() == count


def test_plan_cannot_follow_a_list_without_a_price(desk: Browser, model: CatalogueModel) -> None:
    own = own_price("0")
    answer = page_of(desk, own).click("Follow the list")
    assert "The list has no price for this model." in answer.text
    assert Price.objects.get() == own


def test_what_follows_the_list_already_has_no_button_for_it(desk: Browser, price: Price) -> None:
    own = own_price("0")
    copy = Price.objects.get(plan=own.plan, copy_of=price)
    for row in (price, copy):
        assert "Follow the list" not in page_of(desk, row).links
        assert desk.open(reverse("admin:billing_price_follow_list", args=(row.pk,))).status == 403
