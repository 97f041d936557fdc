"""The page of margins."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from functools import partial

import pytest
from django.contrib.auth.models import Permission

from accounts.models import ApiKey, Tenant, User
from billing import rollups
from billing.models import Price, UsageRecord
from tests.pages import Browser
from tests.records import usage_record

PAGE = "/admin/margins/?first=2026-03-01&last=2026-03-02"


@pytest.fixture
def record(tenant: Tenant, price: Price, api_key: ApiKey) -> Callable[..., UsageRecord]:
    return partial(usage_record, tenant, price, api_key, provider_currency="USD")


def cells(desk: Browser, url: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", desk.open(url).text.partition("record-table")[2], re.DOTALL)
    return [
        [re.sub(r"<[^>]*>", "", cell).replace("\N{NO-BREAK SPACE}", " ") for cell in re.findall(r"<td.*?</td>", row)]
        for row in rows[1:]
    ]


@pytest.mark.parametrize("is_rolled_up", [False, True])
@pytest.mark.parametrize(
    ("by", "subjects"), [("channel", ["cheap", "dear"]), ("model", ["demo-small"]), ("tenant", ["Alice Ltd"])]
)
def test_margin_is_what_was_paid_less_the_cost(
    desk: Browser, record: Callable[..., UsageRecord], by: str, subjects: list[str], is_rolled_up: bool
) -> None:
    record(cost=10**9, provider_cost=25 * 10**7, channel="cheap")
    record(cost=10**8, provider_cost=2 * 10**8, channel="dear")
    record(cost=7, channel="dear", started_at=dt.datetime(2026, 2, 28, 12, tzinfo=dt.UTC))
    while is_rolled_up and rollups.advance(dt.datetime(2026, 3, 3, tzinfo=dt.UTC)):
        pass
    rows = cells(desk, f"{PAGE}&by={by}")
    assert [row[0] for row in rows] == subjects
    if by == "channel":
        assert rows == [
            ["cheap", "1", "1.00 USD", "0.25 USD", "0.75 USD", "75.0 %"],
            ["dear", "1", "0.10 USD", "0.20 USD", "-0.10 USD", "-100.0 %"],
        ]
    else:
        assert rows[0][1:] == ["2", "1.10 USD", "0.45 USD", "0.65 USD", "59.1 %"]


def test_different_currencies_have_no_margin(desk: Browser, record: Callable[..., UsageRecord]) -> None:
    record(cost=10**9, provider_cost=10**6, provider_currency="VND", channel="far")
    assert cells(desk, PAGE) == [["far", "1", "1.00 USD", "1 VND", "\N{EN DASH}", "\N{EN DASH}"]]


def test_stretch_that_cannot_be_shown_says_why(desk: Browser) -> None:
    assert "at most 400 days" in desk.open("/admin/margins/?first=2020-01-01&last=2026-03-01").text
    assert "at most 400 days" in desk.open("/admin/margins/?first=9999-12-31&last=9999-12-31").text
    assert "The last day comes after the first" in desk.open("/admin/margins/?first=2026-03-02&last=2026-03-01").text


def test_page_is_for_those_who_may_see_records_and_costs(db: None, record: Callable[..., UsageRecord]) -> None:
    staff = User.objects.create_user("staff@example.com", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_usagerecord"))
    assert Browser(staff).open(PAGE).status == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_costprice"))
    assert Browser(User.objects.get(pk=staff.pk)).open(PAGE).status == 200
