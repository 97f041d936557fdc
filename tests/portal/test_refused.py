"""The list of refused calls: what each is, how often it was, and what to do about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone, translation
from pytest_django import DjangoAssertNumQueries

from accounts import keys
from accounts.models import ApiKey, RefusedCall, Tenant, User
from billing.models import UsageRecord
from portal.reference import document
from portal.refused import MOST_KINDS
from routing.api.remedies import REMEDIES, WITH_RECORD
from tests.pages import Browser, Page
from tests.records import refused_call

CODES: Final = [row["code"] for row in document.document("en")["x-errors"]]


@pytest.fixture
def refuse(tenant: Tenant, api_key: ApiKey) -> Callable[..., RefusedCall]:
    """Of Alice's tenant and key."""
    return partial(refused_call, tenant, api_key)


def opened(browser: Browser, **query: str) -> Page:
    return browser.open(reverse("portal:requests", query={"outcome": "refused:", **query}))


def listed(browser: Browser, **query: str) -> list[tuple[str, int]]:
    return [(kind.last.code, kind.count) for kind in opened(browser, **query).response.context["kinds"]]


# --- remedies --------------------------------------------------------------------------------------------------------


def test_every_error_code_has_a_remedy_and_no_other() -> None:
    assert set(REMEDIES) == set(CODES)
    assert set(CODES) >= WITH_RECORD


@pytest.mark.parametrize("code", CODES)
def test_remedy_is_there_in_both_languages(code: str) -> None:
    with translation.override("vi"):
        vietnamese = translation.gettext(REMEDIES[code])

    assert REMEDIES[code]
    assert vietnamese not in {"", REMEDIES[code]}


# --- the list --------------------------------------------------------------------------------------------------------


def test_a_refused_call_shows_message_key_and_remedy(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    refuse(count=1_204)

    page = alices.open(reverse("portal:requests")).click("Refused calls").text

    assert [text in page for text in ("404", "model_not_found", "1,204", "gpt-typo", "production")] == [True] * 5
    assert "Check the spelling against the list of models" in page


def test_a_vietnamese_page_shows_the_remedy_in_vietnamese(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    refuse()

    page = alices.open(reverse("portal:requests")).press("Tiếng Việt").landed().click("Lời gọi bị từ chối").text

    assert "Đối chiếu cách viết với danh sách mô hình" in page


def test_minutes_of_a_kind_are_one_line(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    refuse(count=2)
    refuse(count=3, at=timezone.now() - dt.timedelta(days=2))

    assert listed(alices) == [("model_not_found", 5)]


def test_what_was_refused_is_escaped(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    refuse(message="<script>alert(1)</script>", path="/v1/<b>")

    page = opened(alices).text

    assert "<script>alert(1)" not in page
    assert "/v1/<b>" not in page


def test_the_list_is_narrowed_by_code_as_the_form_offers(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    refuse()
    refuse(code="invalid_json", status=400)

    page = alices.open(reverse("portal:requests")).press("Show", outcome="refused:invalid_json")

    assert [kind.last.code for kind in page.response.context["kinds"]] == ["invalid_json"]


def test_the_list_is_narrowed_by_key(alices: Browser, tenant: Tenant, refuse: Callable[..., RefusedCall]) -> None:
    other = keys.issue(tenant=tenant, name="other").api_key
    refuse()
    refuse(api_key=other, count=7)

    page = opened(alices).press("Show", key=str(other.pk))

    assert [kind.count for kind in page.response.context["kinds"]] == [7]


def test_the_list_is_narrowed_by_days_of_the_tenant(
    alices: Browser, tenant: Tenant, refuse: Callable[..., RefusedCall]
) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(time_zone="Asia/Ho_Chi_Minh")
    refuse(at=dt.datetime(2026, 3, 1, 16, 59, tzinfo=dt.UTC))
    refuse(at=dt.datetime(2026, 3, 1, 17, 0, tzinfo=dt.UTC), count=7)
    refuse(at=dt.datetime(2026, 3, 2, 17, 0, tzinfo=dt.UTC))

    page = opened(alices).press("Show", first="2026-03-02", last="2026-03-02")

    assert [kind.count for kind in page.response.context["kinds"]] == [7]


def test_the_way_back_to_the_requests_keeps_key_and_days(
    alices: Browser, api_key: ApiKey, record: Callable[..., UsageRecord]
) -> None:
    written = record()
    page = opened(alices, key=str(api_key.pk), first="2026-01-01")

    back = alices.open(reverse("portal:requests") + f"?key={api_key.pk}&first=2026-01-01")

    assert [row.pk for row, _key in back.response.context["rows"]] == [written.pk]
    assert f"?key={api_key.pk}&amp;first=2026-01-01" in page.text


@pytest.mark.parametrize("outcome", ["refused:nonsense", "refused:internal_error", "refused"])
def test_a_code_that_is_none_shows_the_requests(
    alices: Browser, record: Callable[..., UsageRecord], outcome: str
) -> None:
    record()

    assert "rows" in alices.open(reverse("portal:requests", query={"outcome": outcome})).response.context


def test_another_tenants_calls_are_not_shown(
    alices: Browser, stranger_tenant: Tenant, refuse: Callable[..., RefusedCall]
) -> None:
    refuse(tenant=stranger_tenant)
    RefusedCall.objects.create(
        code="invalid_api_key", status=401, minute=timezone.now(), at=timezone.now(), count=9, message="No."
    )

    assert listed(alices) == []


def test_a_refused_call_outlives_its_key(alices: Browser, refuse: Callable[..., RefusedCall], api_key: ApiKey) -> None:
    refuse()
    ApiKey.objects.filter(pk=api_key.pk).delete()

    assert "deleted" in opened(alices).text


def test_an_empty_list_says_what_it_is_for(alices: Browser) -> None:
    assert "No call was refused" in opened(alices).text


def test_a_narrowed_empty_list_leads_back(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    refuse()

    page = opened(alices, first="2999-01-01").click("Show all refused calls")

    assert len(page.response.context["kinds"]) == 1


def test_the_list_is_bounded_and_says_so(alices: Browser, tenant: Tenant, refuse: Callable[..., RefusedCall]) -> None:
    for number in range(MOST_KINDS + 1):
        refuse(api_key_id=number + 1_000)

    page = opened(alices)

    assert len(page.response.context["kinds"]) == MOST_KINDS
    assert "The latest 50 kinds are shown." in page.text


def test_the_list_takes_the_same_queries_however_long_it_is(
    alices: Browser, refuse: Callable[..., RefusedCall], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        refuse(at=timezone.now() - dt.timedelta(minutes=number), code=CODES[number % 20])

    with django_assert_num_queries(8):  # session, user, memberships, models, keys, last hour, kinds, their last rows
        opened(alices)


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="the plan of the database of real installations")
def test_a_hundred_thousand_rows_are_found_by_an_index(alices: Browser, tenant: Tenant, api_key: ApiKey) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO accounts_refusedcall
                (tenant_id, api_key_id, code, minute, count, at, status, message, param, model, path)
            SELECT tenant % 100 + 1000000, 1, 'invalid_json', now() - tenant * interval '1 second', 1, now(), 400,
                'No.', '', '', ''
            FROM generate_series(1, 100000) AS tenant
            """
        )
        cursor.execute("ANALYZE accounts_refusedcall")
        cursor.execute(
            "EXPLAIN SELECT code, sum(count) FROM accounts_refusedcall WHERE tenant_id = 1000001 GROUP BY code"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "accounts_refused_" in plan
    assert "Seq Scan" not in plan


# --- polling ---------------------------------------------------------------------------------------------------------


def test_polling_answers_nothing_until_a_call_is_refused(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    seen = opened(alices).response.context["seen"]
    live = {"outcome": "refused:", "seen": seen}
    quiet = alices.get(reverse("portal:requests_live"), live)
    refuse()

    answer = alices.get(reverse("portal:requests_live"), live)

    assert (quiet.status_code, quiet.content) == (204, b"")
    assert "gpt-typo" in answer.content.decode()
    assert "<html" not in answer.content.decode()


# --- the overview ----------------------------------------------------------------------------------------------------


def test_the_overview_leads_to_what_was_refused(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    refuse(count=3)

    page = alices.open(reverse("portal:overview"))

    assert "3 in the last hour" in page.text
    assert "gpt-typo" in page.click("3 calls refused").text


def test_the_overview_notices_a_refused_call(alices: Browser, refuse: Callable[..., RefusedCall]) -> None:
    seen = alices.open(reverse("portal:overview")).response.context["seen"]
    refuse()

    assert alices.open(reverse("portal:overview_live", query={"seen": seen})).status == 200


def test_a_quiet_overview_says_that_nothing_was_refused(alices: Browser) -> None:
    assert "0 calls refused" in alices.open(reverse("portal:overview")).text


def test_the_list_needs_a_member(charlie: User, stranger_tenant: Tenant, refuse: Callable[..., RefusedCall]) -> None:
    refuse()

    assert "gpt-typo" not in opened(Browser(charlie)).text
