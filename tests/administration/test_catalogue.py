"""The operator's pages of models, routes and what routes cost."""

from __future__ import annotations

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiKey, Tenant
from billing.models import Price
from routing.models import CatalogueModel, Channel, CostPrice, Route
from tests.pages import Browser, Page
from tests.records import usage_record


@pytest.fixture
def route(db: None) -> Route:
    channel = Channel.objects.create(name="vendor", provider="openai", base_url="https://one.example/v1")
    model = CatalogueModel.objects.create(name="demo-small")
    return Route.objects.create(channel=channel, model=model, upstream_name="small-1")


def _page(desk: Browser, route: Route) -> Page:
    return desk.open(reverse("admin:routing_route_change", args=(route.pk,)))


def test_model_shows_the_price_that_holds(desk: Browser, route: Route) -> None:
    Price.objects.create(model="demo-small", input=250_000_000, output=2_000_000_000)
    earlier, later = (timezone.now() + dt.timedelta(days=days) for days in (-1, 1))
    Price.objects.create(model="demo-small", input=990_000_000, output=9_000_000_000, effective_from=later)
    Price.objects.create(model="demo-small", input=880_000_000, output=9_000_000_000, effective_from=earlier)
    page = desk.open(reverse("admin:routing_cataloguemodel_changelist")).text
    assert "0.25\N{NO-BREAK SPACE}USD / 2.00\N{NO-BREAK SPACE}USD" in page
    assert ("0.99" in page, "0.88" in page) == (False, False)


def test_limits_of_a_model_must_fit_each_other(desk: Browser) -> None:
    answer = desk.open(reverse("admin:routing_cataloguemodel_add")).press(
        "Save", name="m", context_window="1000", output_limit="2000", default_output="10", prompt_overhead="1"
    )
    assert "must not exceed" in answer.text
    assert CatalogueModel.objects.count() == 0


def test_model_says_what_it_is_called_for(desk: Browser) -> None:
    page = desk.open(reverse("admin:routing_cataloguemodel_add"))
    page.press("Save", name="plain")
    page.press("Save", name="vectors", endpoints=["embeddings"])

    plain, vectors = (CatalogueModel.objects.get(name=name) for name in ("plain", "vectors"))
    assert (plain.endpoints, sorted(plain.served)) == (None, ["chat.completions"])
    assert (vectors.endpoints, sorted(vectors.served)) == (["embeddings"], ["embeddings"])
    assert desk.forge(page.url, {"name": "odd", "endpoints": "pictures"}).status == 200
    assert not CatalogueModel.objects.filter(name="odd").exists()


def _rename(desk: Browser, route: Route, name: str) -> Page:
    return desk.open(reverse("admin:routing_cataloguemodel_change", args=(route.model_id,))).press("Save", name=name)


def test_model_that_nothing_goes_by_is_renamed(desk: Browser, route: Route) -> None:
    assert _rename(desk, route, "demo-large").status == 302
    assert CatalogueModel.objects.get().name == "demo-large"


def test_model_with_prices_keys_and_records_keeps_its_name(
    desk: Browser, route: Route, tenant: Tenant, api_key: ApiKey
) -> None:
    prices = [Price.objects.create(model="demo-small", input=1, output=1) for _number in range(2)]
    ApiKey.objects.update(allowed_models=["other", "demo-small"])
    usage_record(tenant, prices[0], api_key)

    answer = _rename(desk, route, "demo-large")

    assert answer.status == 200
    assert "2 prices, 1 key’s list of models, usage records" in answer.text
    assert CatalogueModel.objects.get().name == "demo-small"


@pytest.mark.parametrize("hanging", ["price", "key"])
def test_one_thing_that_goes_by_the_name_is_enough(desk: Browser, route: Route, api_key: ApiKey, hanging: str) -> None:
    if hanging == "price":
        Price.objects.create(model="demo-small", input=1, output=1)
    else:
        ApiKey.objects.update(allowed_models=["demo-small"])

    assert "used by: 1 " in _rename(desk, route, "demo-large").text
    assert CatalogueModel.objects.get().name == "demo-small"


def test_model_with_prices_is_changed_otherwise(desk: Browser, route: Route) -> None:
    Price.objects.create(model="demo-small", input=1, output=1)
    page = desk.open(reverse("admin:routing_cataloguemodel_change", args=(route.model_id,)))

    assert page.press("Save", description="better").status == 302
    assert CatalogueModel.objects.get().description == "better"


def test_route_is_added_from_its_channel(desk: Browser, route: Route) -> None:
    route.delete()
    channel = desk.open(reverse("admin:routing_channel_change", args=(route.channel_id,)))
    assert channel.click("Add a route").values("Save")["channel"] == [str(route.channel_id)]


def test_cost_price_is_added_exactly(desk: Browser, route: Route) -> None:
    form = _page(desk, route).click("New cost price")
    assert form.press("Save", currency="USD", input="0.15", output="0.6", cached_input="0.0375").status == 302
    written = CostPrice.objects.values_list("input", "output", "cached_input", "route", "version")
    assert list(written) == [(150_000_000, 600_000_000, 37_500_000, route.pk, 1)]


@pytest.mark.parametrize("page", ["change", "delete"])
def test_written_cost_price_stays_against_a_forged_form(desk: Browser, route: Route, page: str) -> None:
    cost_price = CostPrice.objects.create(route=route, input=1, output=1)
    url = reverse(f"admin:routing_costprice_{page}", args=(cost_price.pk,))
    assert desk.forge(url, {"input": "9", "output": "9", "post": "yes"}).status == 403
    assert CostPrice.objects.get().input == 1


def test_route_leads_to_its_next_cost_price(desk: Browser, route: Route) -> None:
    CostPrice.objects.create(route=route, input=150_000_000, output=600_000_000)
    assert _page(desk, route).click("New cost price").values("Save")["input"] == ["0.15"]


def test_route_shows_the_cost_price_that_holds(desk: Browser, route: Route) -> None:
    CostPrice.objects.create(route=route, input=150_000_000, output=600_000_000)
    page = desk.open(reverse("admin:routing_route_changelist")).text
    assert "0.15\N{NO-BREAK SPACE}USD / 0.60\N{NO-BREAK SPACE}USD" in page


@pytest.mark.parametrize("rows", [1, 15])
@pytest.mark.parametrize(("name", "queries"), [("cataloguemodel", 5), ("route", 5), ("costprice", 7)])
def test_list_asks_the_same_number_of_queries(
    desk: Browser, django_assert_num_queries: DjangoAssertNumQueries, name: str, queries: int, rows: int
) -> None:
    for number in range(rows):
        channel = Channel.objects.create(name=f"c{number}", provider="fake", base_url="fake://c")
        model = CatalogueModel.objects.create(name=f"m{number}")
        route = Route.objects.create(channel=channel, model=model, upstream_name="u")
        CostPrice.objects.create(route=route, input=1, output=1)
        Price.objects.create(model=model.name, input=1, output=1)
    with django_assert_num_queries(queries):
        desk.get(reverse(f"admin:routing_{name}_changelist"))


def test_model_that_cannot_be_called_says_why_on_its_page_and_in_the_list(
    desk: Browser, route: Route
) -> None:  # fmt: skip
    pages = [reverse("admin:routing_cataloguemodel_changelist"),
             reverse("admin:routing_cataloguemodel_change", args=(route.model_id,))]  # fmt: skip

    def said() -> set[str]:
        words = ("it has no price", "no enabled route with a cost price", "switched off", "offered")
        return {word for page in pages for word in words if word in desk.open(page).text}

    assert said() == {"it has no price"}
    Price.objects.create(model=route.model.name, input=1, output=1)
    assert said() == {"no enabled route with a cost price"}
    CostPrice.objects.create(route=route, input=1, output=1)
    assert said() == {"offered"}
    Channel.objects.update(status=Channel.Status.DISABLED)
    assert said() == {"no enabled route with a cost price"}
    CatalogueModel.objects.update(is_enabled=False)
    assert said() == {"switched off"}
