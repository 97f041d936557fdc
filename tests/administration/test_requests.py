"""The operator's pages of requests: each with its price sum, its decision and its attempts."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.contrib.admin import site
from django.contrib.messages import get_messages
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import reverse

from accounts.models import ApiKey, User
from administration import lists
from administration.lists import NewestChanges
from administration.requests import UsageRecordAdmin
from billing.models import UsageRecord
from tests.pages import Browser
from tests.records import usage_record

RECORDS = "admin:billing_usagerecord_changelist"


@pytest.mark.parametrize(
    "spelling", ["chatcmpl-{0.id.hex}", "{0.id}", "{0.id.hex}", " chatcmpl-{0.id.hex} ", "demo-small"]
)
def test_record_is_found_by_its_id_and_model(desk: Browser, record: UsageRecord, spelling: str) -> None:
    page = desk.open(reverse(RECORDS), data={"q": spelling.format(record)}).text
    assert reverse("admin:billing_usagerecord_change", args=(record.pk,)) in page


@pytest.mark.parametrize("term", ["chatcmpl-" + "0" * 32, "%", "demo", "' OR 1=1--"])
def test_other_search_finds_nothing(desk: Browser, record: UsageRecord, term: str) -> None:
    page = desk.open(reverse(RECORDS), data={"q": term}).text
    assert reverse("admin:billing_usagerecord_change", args=(record.pk,)) not in page


@pytest.fixture
def record_page(desk: Browser, record: UsageRecord) -> str:
    return desk.open(reverse("admin:billing_usagerecord_change", args=(record.pk,))).text


def _cells(*texts: str) -> str:
    return "</td><td".join(f">{text}" for text in texts)


def test_record_shows_its_price_sum(record_page: str) -> None:
    text = record_page.replace('class="number"', "").replace('class=""', "").replace("\N{NO-BREAK SPACE}", " ")
    text = text.replace("<td >", "<td>")
    assert f"<td{_cells('input', '508', '0.25 USD', '0.000127 USD')}</td>" in text
    assert f"<td{_cells('cached input', '1,024', '0.025 USD', '0.0000256 USD')}</td>" in text
    assert f"<td{_cells('output', '253', '2.00 USD', '0.000506 USD')}</td>" in text
    assert f"<td{_cells('reasoning', '64', '2.00 USD', '0.000128 USD')}</td>" in text
    assert f"<td{_cells('fee per request', '', '', '0.000001 USD')}</td>" in text
    assert "0.0007876 USD" in text


def test_record_shows_its_decision_in_words(record_page: str) -> None:
    assert "failing; the breaker is open" in record_page
    assert "small-3" in record_page
    assert "98%" in record_page


def test_record_shows_attempts_with_their_detail_escaped(record_page: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in record_page
    assert "<script>alert(1)" not in record_page
    assert "error status" in record_page


def test_record_outlives_its_key(desk: Browser, record: UsageRecord) -> None:
    ApiKey.objects.all().delete()
    page = desk.open(reverse("admin:billing_usagerecord_change", args=(record.pk,)))
    assert f"(#{record.api_key_id})" in page.text
    assert desk.open(reverse(RECORDS)).status == 200


def test_record_without_decision_or_attempts_can_be_read(desk: Browser, record: UsageRecord) -> None:
    bare = UsageRecord.objects.get(pk=record.pk)
    bare.pk, bare.decision, bare.attempts, bare.provider_cost = uuid.uuid4(), {}, [], None
    bare._state.adding = True
    bare.save()
    assert desk.open(reverse("admin:billing_usagerecord_change", args=(bare.pk,))).status == 200


def test_record_shows_what_was_written_off(desk: Browser, record: UsageRecord) -> None:
    passed = usage_record(
        record.tenant, record.price, record.api_key, held=500_000, cost=786_370, claimed_cost=787_600
    )  # fmt: skip
    page = desk.open(reverse("admin:billing_usagerecord_change", args=(passed.pk,)))
    assert "Written off" in page.text
    assert "0.00000123\N{NO-BREAK SPACE}USD" in page.text


# --- a list that is never looked through as a whole ------------------------------------------------------------------


def _records(record: UsageRecord, number: int, **fields: object) -> list[UsageRecord]:
    """So many more, a day apart, each older than the one before."""
    days = [record.started_at - dt.timedelta(days=place) for place in range(1, number + 1)]
    return [
        usage_record(
            record.tenant, record.price, record.api_key, id=lists.first_id(day), started_at=day, **fields
        )
        for day in days
    ]  # fmt: skip


def _shown(desk: Browser, records: list[UsageRecord], **data: str) -> list[bool]:
    page = desk.open(reverse(RECORDS), data=data).text
    return [reverse("admin:billing_usagerecord_change", args=(record.pk,)) in page for record in records]


@pytest.mark.parametrize("is_of_one", [False, True], ids=["all", "of a tenant"])
def test_records_of_a_day_and_of_an_hour_are_found_by_it(desk: Browser, record: UsageRecord, is_of_one: bool) -> None:
    older, of = _records(record, 3), {"tenant__id__exact": str(record.tenant_id)} if is_of_one else {}
    began = older[1].started_at
    assert _shown(desk, older, day=f"{began:%Y-%m-%d}", **of) == [False, True, False]
    assert _shown(desk, older, day=f"{began:%Y-%m-%d %H}", **of) == [False, True, False]
    assert _shown(desk, older, day=f"{began + dt.timedelta(hours=1):%Y-%m-%d %H}", **of) == [False, False, False]


@pytest.mark.parametrize(
    "typed",
    ["31.12.2026", "2026-02-30", "2026-12-31 24", "2026-12-31 ten", "yesterday", "0001-01-01", "9999-12-31", "\0"],
)
def test_what_is_no_day_finds_nothing_and_says_how_one_is_written(
    desk: Browser, record: UsageRecord, typed: str
) -> None:
    page = desk.open(reverse(RECORDS), data={"day": typed})
    assert page.status == 200
    assert reverse("admin:billing_usagerecord_change", args=(record.pk,)) not in page.text


def test_list_ends_with_the_newest_rows(record: UsageRecord) -> None:
    class Three(lists.NewestPaginator):
        most = 3

    older = _records(record, 4)
    pages = Three(UsageRecord.objects.filter(pk__in=[row.pk for row in older]).order_by("-pk"), 2)

    assert (pages.count, pages.num_pages) == (3, 2)
    assert list(pages.page(2)) == [older[2]]
    assert Three(UsageRecord.objects.filter(pk=older[0].pk), 2).count == 1


@pytest.mark.parametrize("newest", ["pk", "started_at"])
def test_among_the_newest_is_what_is_left_of_them(record: UsageRecord, newest: str) -> None:
    older = _records(record, 5, channel="rare")
    everything = UsageRecord.objects.filter(tenant=record.tenant)
    rows = everything.filter(channel="rare")

    found, is_all = lists.among_newest(rows, everything, newest, 4)
    assert (set(found), is_all) == (set(older[:3]), False)

    found, is_all = lists.among_newest(rows, everything, newest, 100)
    assert (set(found), is_all) == (set(older), True)


class Short(NewestChanges):
    looked_through, found = 3, 2


class ShortLists(UsageRecordAdmin):
    """Looks through three rows and lists two of what it finds."""

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[NewestChanges]:
        return Short


def _listed(operator: User, **data: str) -> tuple[list[UsageRecord], str]:
    """The rows of the short list and what it says about them."""
    request = RequestFactory().get("/", data)
    request.user, request.session = operator, SessionBase()
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    changes = ShortLists(UsageRecord, site).get_changelist_instance(request)
    return list(changes.result_list), " ".join(map(str, get_messages(request)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"channel__icontains": "rare"}, [1, 2]),
        ({"channel__icontains": "rare", "tenant__id__exact": "{tenant}"}, [1, 2]),
        ({"channel__icontains": "rare", "day": "{day}"}, [4]),
        ({"q": "demo-small"}, [0, 1]),
        ({"o": "0"}, [2, 1]),
        ({"q": "{id}"}, [4]),
        ({"tenant__id__exact": "{tenant}"}, [0, 1, 2, 3, 4]),
        ({"day": "{day}"}, [4]),
    ],
    ids=["all", "channel", "channel of a tenant", "channel on a day", "model", "oldest", "id", "tenant", "day"],
)
def test_filters_without_an_index_see_the_newest_of_what_has_one(
    operator: User, record: UsageRecord, asked: dict[str, str], expected: list[int]
) -> None:
    rows = [record, *_records(record, 4, channel="rare")]
    said = {"tenant": record.tenant_id, "day": f"{rows[4].started_at:%Y-%m-%d}", "id": rows[4].pk}
    listed, _says = _listed(operator, **{name: value.format(**said) for name, value in asked.items()})
    assert [rows.index(row) for row in listed] == expected


def test_list_says_what_it_left_out(operator: User, record: UsageRecord) -> None:
    _records(record, 4)
    _rows, says = _listed(operator, o="6")
    assert "Looked for among the newest 3 alone" in says
    assert "There are more than 2" in says


def test_orders_that_are_not_offered_are_no_orders(desk: Browser, record: UsageRecord) -> None:
    """Column 3 is the channel, 0 the time; only the latter is offered."""
    older = _records(record, 2, channel="a")
    links = [reverse("admin:billing_usagerecord_change", args=(row.pk,)) for row in (record, *older)]
    by_channel, by_time = (desk.open(reverse(RECORDS), data={"o": order}).text for order in ("3", "0"))
    assert sorted(links, key=by_channel.index) == links
    assert sorted(links, key=by_time.index) == links[::-1]
