"""The overview, and the polling that it shares with the list of requests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import Tenant
from billing.models import Balance, Price, UsageRecord
from routing.models import CatalogueModel
from tests.pages import Browser
from tests.records import NOON


def test_the_empty_overview_shows_the_first_call(alices: Browser, price: Price) -> None:
    CatalogueModel.objects.create(name=price.model)
    page = alices.open(reverse("portal:overview")).text

    assert "/v1/chat/completions" in page
    assert "from openai import OpenAI" in page
    assert "gpt-test" in page


def test_the_overview_shows_the_latest_requests(alices: Browser, record: Callable[..., UsageRecord]) -> None:
    newest = record(started_at=NOON + dt.timedelta(seconds=1))
    oldest = record()

    rows = alices.open(reverse("portal:overview")).response.context["rows"]

    assert [row for row, _key in rows] == [newest, oldest]


@pytest.mark.parametrize("name", ["portal:overview", "portal:requests"])
def test_polling_answers_nothing_until_there_is_something_new(
    alices: Browser, record: Callable[..., UsageRecord], name: str
) -> None:
    record()
    seen = alices.open(reverse(name)).response.context["seen"]
    quiet = alices.get(reverse(f"{name}_live"), {"seen": seen})
    new = record(started_at=NOON + dt.timedelta(seconds=1))

    answer = alices.get(reverse(f"{name}_live"), {"seen": seen})

    assert (quiet.status_code, quiet.content) == (204, b"")
    assert answer.status_code == 200
    assert new.pk.hex in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_polling_notices_a_changed_wallet(alices: Browser, tenant: Tenant) -> None:
    seen = alices.open(reverse("portal:overview")).response.context["seen"]
    Balance.objects.filter(tenant=tenant).update(available=1)

    assert alices.open(reverse("portal:overview_live", query={"seen": seen})).status == 200


def test_quiet_polling_takes_six_queries(
    alices: Browser, record: Callable[..., UsageRecord], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    record()
    seen = alices.open(reverse("portal:overview")).response.context["seen"]

    with django_assert_num_queries(6):  # session, user, memberships, refused calls, newest requests, wallet
        alices.get(reverse("portal:overview_live"), {"seen": seen})


def test_the_overview_takes_the_same_queries_however_much_there_is(
    alices: Browser, record: Callable[..., UsageRecord], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        record(started_at=NOON + dt.timedelta(seconds=number))

    # session, user, memberships; refused calls; newest requests, wallet; wallet, roll-ups
    # and newer records, holds; refused calls; requests, keys, models
    with django_assert_num_queries(16):
        alices.get(reverse("portal:overview"))
