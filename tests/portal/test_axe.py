"""Every page of the portal, as axe-core looks at it: light and dark, wide and narrow, in both languages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver

from accounts.models import ApiKey, Tenant
from billing import plans, quotas
from billing.models import Price, PricePlan, QuotaDefault, UsageRecord
from routing.catalogue.models import CatalogueModel, Channel, CostPrice, Route
from tests import axe
from tests.axe import SHAPES, Reader
from tests.pages import Browser
from tests.records import refused_call

pytestmark = pytest.mark.skipif(
    not (axe.CHROMIUM and axe.DRIVER), reason="Chromium and its driver are not installed"
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    with axe.chromium() as browser:
        yield browser


@pytest.fixture
def pages(
    live_server: LiveServer, tenant: Tenant, api_key: ApiKey, price: Price, record: Callable[..., UsageRecord]
) -> list[str]:
    """The addresses of all pages, with something on each of them."""
    written = record(cost=700, input_tokens=1200, output_tokens=30, started_at=timezone.now())
    for hours in range(3):
        record(outcome="upstream_error", started_at=timezone.now() - dt.timedelta(hours=hours))
    quota = quotas.grant(tenant, amount=10**9, period="month")
    quotas.grant(tenant, amount=10**9, period="session", api_key=api_key)
    QuotaDefault.objects.create(tenant=tenant, about="member", amount=1)
    refused_call(tenant, api_key)
    model = CatalogueModel.objects.create(name=price.model, description="A model.")
    channel = Channel.objects.create(name="served", provider="fake", base_url="fake://quick")
    CostPrice.objects.create(
        route=Route.objects.create(channel=channel, model=model, upstream_name="up"), input=1, output=1
    )
    plan = PricePlan.objects.create(name="gold")
    plans.publish(Price(model=price.model, plan=plan, input=750_000_000, output=10**9, cache_write=10**9))
    plans.put_on(tenant, plan)
    plain = ["overview", "requests", "usage", "prices", "keys", "key_create", "quotas", "quota_create", "billing",
             "topups", "invoices", "billing_profile"]  # fmt: skip
    return [
        *(reverse(f"portal:{name}") for name in plain),
        reverse("portal:key", args=[api_key.pk]),
        reverse("portal:key_revoke", args=[api_key.pk]),
        reverse("portal:quota", args=[quota.pk]),
        reverse("portal:request", args=[written.pk]),
        reverse("account_email"),
        reverse("account_set_password"),
        reverse("mfa_index"),
        reverse("home"),
    ]


@pytest.mark.parametrize(("theme", "language", "width"), SHAPES, ids=str)
def test_no_page_has_a_fault(
    chromium: webdriver.Chrome, live_server: LiveServer, alices: Browser, pages: list[str],
    theme: str, language: str, width: int,
) -> None:  # fmt: skip
    reader = Reader(chromium, live_server.url)
    reader.sign_in(alices, theme=theme, language=language, width=width)

    assert reader.faults(pages) == {}


def test_a_fault_is_seen(chromium: webdriver.Chrome) -> None:
    """What the other tests rest on."""
    reader = Reader(chromium, "data:text/html,")
    table = "<div class='table-wrap' style='overflow:auto;width:9px'>wider</div>"
    faults = reader.faults([f"<title>x</title><main><h1>x</h1><a href='/'></a><img src='x'>{table}</main>"])
    (broken,) = faults.values()
    assert {"link-name", "image-alt", "wider"} <= set(broken)
