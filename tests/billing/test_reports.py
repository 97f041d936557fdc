"""What the pages show of the books: figures, and the list of requests page by page."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from functools import partial

import pytest

from accounts.models import ApiKey, Tenant
from billing import reports
from billing.models import Balance, Price, Reservation, UsageRecord
from billing.reports import Filter, Position
from tests.records import NOON, usage_record


@pytest.fixture
def price(db: None) -> Price:
    return Price.objects.create(model="gpt-test", input=1_000_000_000, output=2_000_000_000)


@pytest.fixture
def record(tenant: Tenant, price: Price, api_key: ApiKey) -> Callable[..., UsageRecord]:
    """Writes a usage record, of Alice's tenant unless the fields say otherwise."""
    return partial(usage_record, tenant, price, api_key)


def test_figures_are_of_the_tenants_own_day_and_month(tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    tenant.time_zone = "Asia/Ho_Chi_Minh"
    record(started_at=dt.datetime(2026, 2, 28, 16, 59, 58, tzinfo=dt.UTC), cost=1)  # settled 23:59:59, February there
    record(started_at=dt.datetime(2026, 2, 28, 16, 59, 59, tzinfo=dt.UTC), cost=2)  # settled 00:00:00 of 1 March
    record(started_at=dt.datetime(2026, 3, 1, 17, 0, tzinfo=dt.UTC), cost=4)  # 2 March

    assert reports.figures(tenant, NOON + dt.timedelta(hours=6)) == reports.Figures("USD", 5_000_000_000, 0, 4, 6, 1)


def test_figures_show_what_is_held(tenant: Tenant, api_key: ApiKey, price: Price) -> None:
    Reservation.objects.create(
        id=uuid.uuid4(),
        legs=[Balance.objects.get(tenant=tenant).pk],
        amount=7,
        owner=uuid.uuid4(),
        tenant_id=tenant.pk,
        api_key_id=api_key.pk,
        endpoint="chat/completions",
        model="gpt-test",
        price_id=price.pk,
        created_at=NOON,
    )

    assert reports.figures(tenant, NOON).held == 7


def test_figures_leave_out_other_tenants(
    tenant: Tenant, stranger_tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    record(tenant=stranger_tenant, legs=[])

    assert reports.figures(tenant, NOON) == reports.Figures("USD", 5_000_000_000, 0, 0, 0, 0)


def test_a_tenant_without_wallet_has_nothing(tenant: Tenant) -> None:
    bare = Tenant.objects.create(name="Bare Ltd")

    assert reports.figures(bare, NOON) == reports.Figures("USD", 0, 0, 0, 0, 0)


def test_the_list_pages_through_everything_once(tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    written = {record(started_at=NOON - dt.timedelta(seconds=number // 3)).pk for number in range(8)}

    first = reports.requests(tenant, Filter(), limit=3)
    second = reports.requests(tenant, Filter(), after=first.following, limit=3)
    third = reports.requests(tenant, Filter(), after=second.following, limit=3)

    pages = [len(page.records) for page in (first, second, third)]
    assert (pages, third.following) == ([3, 3, 2], None)
    assert {row.pk for page in (first, second, third) for row in page.records} == written


def test_what_no_index_finds_is_looked_for_a_stretch_at_a_time(
    tenant: Tenant, record: Callable[..., UsageRecord]
) -> None:
    """Nine requests of three moments, the last of each failed: four at a time are looked through, ties among them."""
    outcomes = ["success", "success", "timeout"] * 3
    written = [
        record(started_at=NOON - dt.timedelta(seconds=number // 3), outcome=outcome)
        for number, outcome in enumerate(outcomes)
    ]

    pages, after = [], None
    for _page in range(3):
        pages.append(reports.requests(tenant, Filter(outcome="timeout"), after=after, limit=5, looked_through=4))
        after = pages[-1].following

    assert [page.looked_through for page in pages] == [4, 4, None]
    found = [row.pk for page in pages for row in page.records]
    assert (sorted(found), after) == (sorted(row.pk for row in written if row.outcome == "timeout"), None)


def test_a_full_page_goes_on_from_its_last_request(tenant: Tenant, record: Callable[..., UsageRecord]) -> None:
    written = [record(started_at=NOON - dt.timedelta(seconds=number), model="m") for number in range(5)]

    page = reports.requests(tenant, Filter(model="m"), limit=2, looked_through=4)

    last = written[1]
    assert (page.records, page.looked_through) == (written[:2], None)
    assert page.following == Position(last.started_at, last.pk)


@pytest.mark.parametrize("text", ["", "nonsense", "20260101000000000000-", "-0", "99999999999999999999-00"])
def test_a_position_that_nobody_wrote_is_no_position(text: str) -> None:
    assert Position.parse(text) is None


def test_a_position_survives_its_url() -> None:
    position = Position(NOON + dt.timedelta(microseconds=1), uuid.uuid4())

    assert Position.parse(str(position)) == position
