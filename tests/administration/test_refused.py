"""The operator's list of refused calls, and the counts of the first page."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiKey, RefusedCall, Tenant
from tests.pages import Browser, Page
from tests.records import refused_call

REFUSED = "admin:accounts_refusedcall_changelist"


@pytest.fixture
def refused(tenant: Tenant, api_key: ApiKey) -> RefusedCall:
    return refused_call(tenant, api_key, count=1_204)


@pytest.fixture
def nobodys(db: None) -> RefusedCall:
    """Calls with keys that nobody has."""
    now = timezone.now()
    return RefusedCall.objects.create(
        code="invalid_api_key", status=401, minute=now, at=now, count=31, message="Incorrect API key provided."
    )


def listed(page: Page) -> list[int]:
    return [row.pk for row in page.response.context["cl"].result_list]


def test_list_shows_whose_calls_were_refused_and_why(desk: Browser, refused: RefusedCall, nobodys: RefusedCall) -> None:
    page = desk.open(reverse(REFUSED)).text
    assert [text in page for text in ("Alice Ltd", "production (#", "404 model_not_found", "1,204", "gpt-typo")] == [
        True
    ] * 5
    assert "401 invalid_api_key" in page


@pytest.mark.parametrize(
    ("query", "is_theirs"),
    [
        pytest.param({"tenant__id__exact": "{0.tenant_id}"}, True, id="tenant"),
        pytest.param({"api_key__id__exact": "{0.api_key_id}"}, True, id="key"),
        pytest.param({"code": "model_not_found"}, True, id="code"),
        pytest.param({"owner": "known"}, True, id="known keys"),
        pytest.param({"owner": "nobody"}, False, id="unknown keys"),
    ],
)
def test_list_is_narrowed(
    desk: Browser, refused: RefusedCall, nobodys: RefusedCall, query: dict[str, str], is_theirs: bool
) -> None:
    page = desk.open(reverse(REFUSED, query={name: value.format(refused) for name, value in query.items()}))
    assert listed(page) == [refused.pk if is_theirs else nobodys.pk]


def test_list_takes_the_same_queries_however_long_it_is(
    desk: Browser, tenant: Tenant, api_key: ApiKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        refused_call(tenant, api_key, code=f"code_{number}")
    with django_assert_num_queries(4):  # session, user, how many, rows with tenant and key
        desk.open(reverse(REFUSED))


def test_row_says_what_the_tenant_is_told_to_do(desk: Browser, refused: RefusedCall) -> None:
    page = desk.open(reverse("admin:accounts_refusedcall_change", args=(refused.pk,))).text
    assert "Check the spelling against the list of models" in page


def test_row_outlives_its_key(desk: Browser, refused: RefusedCall) -> None:
    ApiKey.objects.all().delete()
    page = desk.open(reverse("admin:accounts_refusedcall_change", args=(refused.pk,)))
    assert f"(#{refused.api_key_id})" in page.text
    assert desk.open(reverse(REFUSED)).status == 200


def test_first_page_counts_refused_calls_and_unknown_keys(
    desk: Browser, refused: RefusedCall, nobodys: RefusedCall
) -> None:
    page = desk.open("/admin/")
    figures = {figure["label"]: figure for figure in page.response.context["figures"]}
    assert figures["Refused calls today (UTC)"]["lines"] == ("1,204",)
    assert figures["Calls with unknown keys today (UTC)"]["lines"] == ("31",)
    assert listed(desk.open(figures["Calls with unknown keys today (UTC)"]["link"])) == [nobodys.pk]
