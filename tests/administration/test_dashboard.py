"""The first page: how things are."""

from __future__ import annotations

from django.contrib.auth.models import Permission
from django.utils import timezone

from accounts.models import Tenant, User
from billing.models import UsageRecord
from tests.pages import Browser
from tests.records import reservation, usage_record


def test_first_page_shows_how_things_are(desk: Browser, tenant: Tenant) -> None:
    page = desk.open("/admin/").text
    assert [label in page for label in ("Requests today", "Spent today", "Open reservations", "Disabled channels")] == [
        True
    ] * 4


def test_first_page_counts_what_is_open(desk: Browser, record: UsageRecord) -> None:
    reservation(record)
    page = desk.open("/admin/").text
    assert "0.0007876\N{NO-BREAK SPACE}USD" in page
    assert "0.000000007\N{NO-BREAK SPACE}USD" in page


def passed_its_hold(record: UsageRecord) -> UsageRecord:
    """Another record, that cost 1,230 ledger units more than hold and balances could pay."""
    return usage_record(
        record.tenant, record.price, record.api_key, held=500_000, cost=786_370, claimed_cost=787_600,
        started_at=timezone.now(),
    )  # fmt: skip


def test_first_page_says_how_often_holds_are_passed_and_what_it_costs(desk: Browser, record: UsageRecord) -> None:
    passed_its_hold(record)
    figures = {figure["label"]: figure["lines"] for figure in desk.open("/admin/").response.context["figures"]}
    assert figures["Passed their hold today (UTC)"] == ("50.00 %",)
    assert figures["Written off today (UTC)"] == ("0.00000123\N{NO-BREAK SPACE}USD",)


def test_first_page_of_a_quiet_day(desk: Browser) -> None:
    figures = {figure["label"]: figure["lines"] for figure in desk.open("/admin/").response.context["figures"]}
    assert (figures["Passed their hold today (UTC)"], figures["Written off today (UTC)"]) == (("0.00 %",), ("0",))


def test_first_page_shows_only_what_ones_rights_allow(db: None, record: UsageRecord) -> None:
    helper = User.objects.create_user("henry@example.com", is_staff=True)
    before = Browser(helper).open("/admin/").response.context["figures"]
    helper.user_permissions.add(Permission.objects.get(codename="view_channel"))

    page = Browser(helper).open("/admin/")

    assert before == []
    assert [figure["label"] for figure in page.response.context["figures"]] == ["Disabled channels"]
    assert "0.0007876" not in page.text
