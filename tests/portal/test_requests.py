"""The list of requests and what narrows it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from django.template.loader import render_to_string
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts import keys
from accounts.models import ApiKey, Tenant
from billing.models import Price, UsageRecord
from billing.reports import Position
from tests.pages import Browser
from tests.records import NOON


def listed(browser: Browser, **query: str) -> list[uuid.UUID]:
    return [row.pk for row, _key in browser.open(reverse("portal:requests", query=query)).response.context["rows"]]


def test_the_list_takes_the_same_queries_however_long_it_is(
    alices: Browser, record: Callable[..., UsageRecord], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        record(started_at=NOON + dt.timedelta(seconds=number))

    with django_assert_num_queries(8):  # session, user, memberships, models, keys, newest requests, wallet, requests
        alices.get(reverse("portal:requests"))


def test_the_list_links_to_its_next_page(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    for number in range(51):
        record(started_at=NOON - dt.timedelta(seconds=number))

    page = alices.get(reverse("portal:requests"), {"model": "gpt-test"})

    following = page.context["following"]
    assert f"?model=gpt-test&amp;after={following}" in page.content.decode()
    assert len(listed(alices, model="gpt-test", after=str(following))) == 1


def test_the_list_is_narrowed_by_key(alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    other = keys.issue(tenant=tenant, name="other").api_key
    record()
    wanted = record(api_key=other)

    assert listed(alices, key=str(other.pk)) == [wanted.pk]


def test_the_list_is_narrowed_by_model(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    Price.objects.create(model="other", input=1, output=1)
    record()
    wanted = record(model="other")

    assert listed(alices, model="other") == [wanted.pk]


def test_the_list_is_narrowed_by_outcome(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    record()
    wanted = record(outcome="timeout", status=504)

    assert listed(alices, outcome="timeout") == [wanted.pk]


def test_the_list_is_narrowed_by_days_of_the_tenant(
    alices: Browser, tenant: Tenant, record: Callable[..., UsageRecord]
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
    alices: Browser, record: Callable[..., UsageRecord], query: dict[str, str]
) -> None:
    written = record()

    assert listed(alices, **query) == [written.pk]


def test_the_key_of_another_tenant_narrows_nothing(
    alices: Browser, stranger_tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    theirs = keys.issue(tenant=stranger_tenant, name="theirs").api_key
    record(tenant=stranger_tenant, api_key=theirs, legs=[])
    own = record()

    assert listed(alices, key=str(theirs.pk)) == [own.pk]


def test_a_request_outlives_its_key(alices: Browser, api_key: ApiKey, record: Callable[..., UsageRecord]) -> None:
    written = record()
    ApiKey.objects.filter(pk=api_key.pk).delete()

    assert listed(alices) == [written.pk]


def test_a_page_says_how_far_it_looked_and_leads_on() -> None:
    following = Position(NOON, uuid.uuid4())
    context = {"rows": [], "following": following, "looked_through": 10_000, "query": "model=m&"}
    page = render_to_string("portal/requests_live.html", context)
    assert "Looked through 10,000 requests so far" in page
    assert f"?model=m&amp;after={following}" in page
