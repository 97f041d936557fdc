"""The administration's pages, as axe-core looks at them: light and dark, wide and narrow, in both languages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db.models import Model
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver

from accounts.models import ApiKey, Tenant
from billing import quotas
from billing.models import UsageRecord
from routing.models import CatalogueModel, Channel, CostPrice, Route
from tests import axe
from tests.axe import SHAPES, Reader
from tests.pages import Browser

pytestmark = pytest.mark.skipif(
    not (axe.CHROMIUM and axe.DRIVER), reason="Chromium and its driver are not installed"
)  # fmt: skip

UNFOLDS = ("landmark-one-main", "landmark-unique", "region", "empty-table-header")
"""Good practice beyond WCAG that the frame of Unfold, whose templates are not ours, does not keep."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    with axe.chromium() as browser:
        yield browser


@pytest.fixture
def pages(
    live_server: LiveServer, record: UsageRecord, tenant: Tenant, api_key: ApiKey, model: CatalogueModel
) -> list[str]:
    """The overview, the margins, every list, and the pages of what operators change and look at most."""
    channel = Channel.objects.create(name="served", provider="fake", base_url="fake://served")
    route = Route.objects.create(channel=channel, model=model, upstream_name="up")
    CostPrice.objects.create(route=route, input=1, output=1)
    quota = quotas.grant(tenant, amount=10**9, period="month", api_key=api_key)
    rows: list[Model] = [record, tenant, api_key, model, channel, route, quota, record.price]
    names = [f"admin:{kind._meta.app_label}_{kind._meta.model_name}" for kind in admin.site._registry]
    return [
        reverse("admin:index"),
        *(reverse(f"{name}_changelist") for name in names),
        *(reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=(row.pk,)) for row in rows),
        *(reverse(f"admin:{name}_add") for name in ("billing_price", "billing_quota", "routing_channel")),
        reverse("admin:accounts_tenant_post_entry", args=(tenant.pk,)),
    ]


@pytest.mark.parametrize(("theme", "language", "width"), SHAPES, ids=str)
def test_no_page_has_a_fault(
    chromium: webdriver.Chrome, live_server: LiveServer, desk: Browser, pages: list[str],
    theme: str, language: str, width: int,
) -> None:  # fmt: skip
    reader = Reader(chromium, live_server.url, without=UNFOLDS)
    reader.sign_in(desk, theme=theme, language=language, width=width)

    assert reader.faults(pages) == {}
