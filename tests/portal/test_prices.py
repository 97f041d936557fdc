"""The tenant's page of models and prices: what a request costs that begins now."""

from __future__ import annotations

import datetime as dt
import random
import re
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import Tenant
from billing import plans, reports, terms
from billing.models import Price, PricePlan
from billing.terms import Term
from routing.catalogue import price_list
from routing.catalogue.models import CatalogueModel, Channel, CostPrice, Route
from routing.catalogue.snapshot import build
from tests.pages import Browser

MILLION = 10**9
"""One dollar per million tokens, in ledger units."""


def served(name: str, **fields: Any) -> CatalogueModel:
    """A model with a route that could answer."""
    model = CatalogueModel.objects.create(name=name, **fields)
    channel = Channel.objects.create(name=f"for {name}", provider="fake", base_url="fake://quick")
    route = Route.objects.create(channel=channel, model=model, upstream_name="up")
    CostPrice.objects.create(route=route, input=1, output=1)
    return model


def priced(name: str, plan: PricePlan | None = None, **rates: Any) -> Price:
    values = {"input": 2 * MILLION, "output": 8 * MILLION} | rates
    return plans.publish(Price(model=name, plan=plan, **values))


def golden(tenant: Tenant, markup: str = "0") -> PricePlan:
    """A plan that the tenant is on."""
    plan = PricePlan.objects.create(name="gold")
    plans.set_markup(plan, Decimal(markup))
    plans.put_on(tenant, plan)
    return plan


def open_page(browser: Browser) -> str:
    """Its text in one line, with the tags that matter."""
    return re.sub(r"\s+", " ", browser.open(reverse("portal:prices")).text)


def shown(amount: str) -> str:
    return f'<span class="money">{amount} <span class="currency">USD</span></span>'


def test_list_price_stands_alone_where_the_tenant_pays_it(alices: Browser, tenant: Tenant) -> None:
    served("small", description="A model.")
    priced("small", cached_input=MILLION // 4, request_fee=1_000_000, cache_write=3 * MILLION)

    page = open_page(alices)

    for amount in ("2.00", "8.00", "0.25", "0.001"):
        assert shown(amount) in page
    assert "cache write: " + shown("3.00") in page
    assert "<del" not in page
    assert "Struck through" not in page


def test_plans_price_stands_beside_the_lists_struck_through(alices: Browser, tenant: Tenant) -> None:
    served("small")
    served("large")
    plan = golden(tenant)
    priced("small")
    priced("large", input=5 * MILLION)
    priced("small", plan, input=MILLION)

    page = open_page(alices)

    assert f"List price: </span>{shown('2.00')}</del>{shown('1.00')}" in page
    assert page.count("<del") == 2  # its input, and what is read from the cache at the rate of the input
    assert shown("5.00") in page


def test_model_that_only_the_plan_offers_is_listed_for_its_tenants_alone(alices: Browser, tenant: Tenant) -> None:
    served("special")
    other = PricePlan.objects.create(name="other")
    priced("special", other)
    assert "special" not in open_page(alices)
    assert (price_list.names(tenant), reports.priced_models(tenant)) == ([], [])
    assert "special" not in alices.open(reverse("portal:key_create")).text

    plans.put_on(tenant, other)

    assert "special" in open_page(alices)
    assert (price_list.names(tenant), reports.priced_models(tenant)) == (["special"], ["special"])
    assert "special" in alices.open(reverse("portal:key_create")).text


def test_what_nobody_serves_or_nobody_may_pay_is_not_listed(alices: Browser, tenant: Tenant) -> None:
    CatalogueModel.objects.create(name="unserved")
    served("disabled", is_enabled=False)
    served("unpriced")
    served("in-dong")
    served("to-come")
    for name in ("unserved", "disabled"):
        priced(name)
    priced("in-dong", currency="VND")
    priced("to-come", effective_from=timezone.now() + dt.timedelta(hours=1))

    assert "No model yet" in open_page(alices)


def test_terms_are_said_and_the_present_hour_is_the_one_shown(alices: Browser, tenant: Tenant) -> None:
    served("small")
    now = timezone.now().astimezone(dt.UTC)
    minute = now.hour * 60 + now.minute
    hours = Term({"input": MILLION}, 0, (minute - 30) % 1440, (minute + 30) % 1440)
    priced("small", terms=terms.stored([Term({"output": 9 * MILLION}, above=200_000), hours]))

    page = open_page(alices)

    assert "above 200000: output 9" in page
    assert shown("1.00") in page
    assert shown("2.00") not in page


@pytest.mark.parametrize("seed", range(8))
def test_every_figure_is_what_a_request_is_charged_by(db: None, tenant: Tenant, seed: int) -> None:
    draw = random.Random(seed)
    plan = golden(tenant, draw.choice(["0", "12.5", "-33.333"]))
    for number in range(6):
        name = served(f"m-{number}").name
        for owner in draw.choices([None, None, plan], k=draw.randrange(4)):
            own = {"cached_input": draw.choice([None, 7]), "cache_write_1h": draw.choice([None, 11])}
            hours = terms.stored([Term({"input": draw.randrange(MILLION)}, 0, 60, draw.choice([61, 1439]))])
            since = timezone.now() + dt.timedelta(hours=draw.choice([-3, -2, 5]))
            priced(name, owner, input=draw.randrange(MILLION), terms=draw.choice([None, hours]),
                   effective_from=since, request_fee=draw.randrange(9), **own)  # fmt: skip
    now = timezone.now()

    listings = {each.model.name: each.tariff for each in price_list.listings(tenant, now)}

    models = build(1).models
    charged = {name: view.price("USD", plan.pk, now.timestamp()) for name, view in models.items()}
    assert listings == {name: tariff for name, tariff in charged.items() if tariff is not None}


def test_page_asks_as_often_for_many_models_as_for_one(
    alices: Browser, tenant: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        served(f"m-{number}")
        priced(f"m-{number}")
    open_page(alices)
    with django_assert_num_queries(5):
        open_page(alices)
