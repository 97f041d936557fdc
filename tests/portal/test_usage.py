"""The usage page: its table, its chart, its file, and what it refuses."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable
from functools import partial

import pytest
from django.urls import reverse

from accounts import keys
from accounts.models import ApiKey, Tenant, User
from billing.models import Price, UsageRecord
from tests.pages import Browser
from tests.records import usage_record

MARCH = "?first=2026-03-01&last=2026-03-31"


@pytest.fixture
def price(db: None) -> Price:
    return Price.objects.create(model="gpt-test", input=1_000_000_000, output=2_000_000_000)


@pytest.fixture
def record(tenant: Tenant, price: Price, api_key: ApiKey) -> Callable[..., UsageRecord]:
    return partial(usage_record, tenant, price, api_key)


def table(browser: Browser, query: str) -> list[list[str]]:
    answer = browser.get(reverse("portal:usage_csv") + query)
    assert answer.status_code == 200
    return list(csv.reader(io.StringIO(answer.content.decode())))


def test_file_has_every_day_in_order_and_exact_amounts(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    record(started_at=dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC), cost=1, cached_input_tokens=3)
    record(started_at=dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC), cost=2_500_000_000)
    record(started_at=dt.datetime(2026, 3, 1, 13, tzinfo=dt.UTC), cost=500_000_000)
    record(started_at=dt.datetime(2026, 4, 1, 13, tzinfo=dt.UTC))

    assert table(alices, MARCH + "&by=day") == [
        ["day", "requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost", "currency"],
        ["2026-03-01", "2", "20", "0", "10", "3", "USD"],
        ["2026-03-02", "1", "10", "3", "5", "0.000000001", "USD"],
    ]


def test_name_that_is_a_formula_is_no_formula_in_the_file(
    alices: Browser, alice: User, tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    evil = keys.issue(tenant=tenant, created_by=alice, name="=HYPERLINK(1)").api_key
    record(api_key=evil)
    assert table(alices, MARCH + "&by=key")[1][0].startswith("'=HYPERLINK(1)")


@pytest.mark.parametrize("by", ["day", "hour", "model", "key", "member"])
def test_page_shows_each_view_and_its_sum(alices: Browser, record: Callable[..., UsageRecord], by: str) -> None:
    record(cost=1_000_000_001)
    record(cost=2_000_000_000)
    text = alices.open(reverse("portal:usage") + f"?first=2026-03-01&last=2026-03-09&by={by}").text
    assert "3.000000001" in text
    assert "<rect" in text
    shown = {
        "day": ">2026-03-01<",
        "hour": ">2026-03-01 12:00<",
        "model": "gpt-test",
        "key": "production",
        "member": "Alice",
    }
    assert shown[by] in text


def test_page_without_anything_to_show_says_so(alices: Browser) -> None:
    assert "No request has ended in these days." in alices.open(reverse("portal:usage")).text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?first=2026-03-02&last=2026-03-01", "before the first"),
        ("?first=2020-01-01&last=2026-03-01", "at most 400"),
        ("?first=2026-01-01&last=2026-03-01&by=hour", "by the hour at most 31"),
        ("?first=&last=2026-03-01", "first and the last day"),
        ("?by=&first=", "first and the last day"),
        ("?first=0001-01-01&last=0001-01-02", "out of all bounds"),
        ("?by=secret", "Select a valid choice"),
        ("?key=999999", "Select a valid choice"),
    ],
)
def test_stretch_that_cannot_be_shown_is_refused_in_words(alices: Browser, query: str, words: str) -> None:
    page = alices.open(reverse("portal:usage") + query)
    assert page.status == 200
    assert words in page.text
    assert alices.get(reverse("portal:usage_csv") + query).status_code == 400


def test_other_tenants_usage_is_not_shown(
    alices: Browser, stranger_tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    record(tenant=stranger_tenant, legs=[])
    assert len(table(alices, MARCH)) == 1
