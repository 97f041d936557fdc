"""Closing months: each once, none with a gap, and nothing is added to what is closed."""

from __future__ import annotations

import datetime as dt
import secrets
import threading

import pytest
from django.db import connections
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Tenant
from billing import ledger
from billing.books import Books, open_books
from billing.invoices import closing, drafts, jobs
from billing.invoices.counts import count
from billing.models import Balance, BillingPeriod, BillingProfile, Invoice, LedgerEntry, UsageRecord
from tests.billing.invoices.customers import APRIL, Customer, customer, utc
from tests.bookkeeping import Account, account, race

INSTANT = dt.timedelta(microseconds=1)


def wallet_of(one: Customer | Account) -> Balance:
    return Balance.objects.select_related("tenant").get(pk=one.wallet.pk)


def first_month(one: Account) -> BillingPeriod:
    return BillingPeriod.objects.filter(wallet=one.wallet, cut=BillingPeriod.Cut.MONTH).earliest("pk")


def test_month_is_closed_once_it_is_over_and_not_before(prepaid: Customer) -> None:
    assert list(closing.close_months(wallet_of(prepaid), utc(2026, 4, 1) - INSTANT)) == []
    assert prepaid.periods == []

    (period,) = closing.close_months(wallet_of(prepaid), utc(2026, 4, 1))

    assert (period.month, period.starts_at, period.ends_at) == (202603, utc(2026, 3, 1), utc(2026, 4, 1))
    assert wallet_of(prepaid).closed_through == utc(2026, 4, 1)


def test_months_that_were_missed_are_closed_one_by_one(prepaid: Customer) -> None:
    list(closing.close_months(wallet_of(prepaid), utc(2026, 6, 30)))

    assert [(row.month, row.starts_at, row.ends_at) for row in prepaid.periods] == [
        (202603, utc(2026, 3, 1), utc(2026, 4, 1)),
        (202604, utc(2026, 4, 1), utc(2026, 5, 1)),
        (202605, utc(2026, 5, 1), utc(2026, 6, 1)),
    ]


def test_closing_again_writes_nothing(prepaid: Customer) -> None:
    prepaid.close()
    before = list(BillingPeriod.objects.filter(wallet=prepaid.wallet).values())

    prepaid.close()

    assert list(BillingPeriod.objects.filter(wallet=prepaid.wallet).values()) == before


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        pytest.param("Asia/Ho_Chi_Minh", utc(2026, 3, 31, 17), id="ho chi minh"),
        pytest.param("America/St_Johns", utc(2026, 4, 1, 2, 30), id="st johns"),
        pytest.param("Australia/Lord_Howe", utc(2026, 3, 31, 13), id="lord howe"),
    ],
)
def test_e3_usage_belongs_to_the_local_month_in_which_it_settled(
    database: str, zone: str, midnight: dt.datetime
) -> None:
    one = customer(time_zone=zone, since=utc(2026, 3, 5))
    one.spend(5, at=midnight - dt.timedelta(milliseconds=1))
    one.spend(7, at=midnight)

    one.close(utc(2026, 5, 3))

    assert [(row.month, count(row).used) for row in one.periods] == [(202603, 5), (202604, 7)]


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        pytest.param("UTC", "Asia/Ho_Chi_Minh", utc(2026, 4, 30, 17), id="to the east: seven hours shorter"),
        pytest.param("Asia/Ho_Chi_Minh", "America/St_Johns", utc(2026, 5, 1, 2, 30), id="to the west: longer"),
    ],
)
def test_e23_zone_changed_in_a_month_leaves_no_gap_and_no_overlap(
    database: str, before: str, after: str, ends: dt.datetime
) -> None:
    one = customer(time_zone=before, since=utc(2026, 3, 5))
    one.close(utc(2026, 4, 2))
    (march,) = one.periods
    Tenant.objects.filter(pk=one.tenant.pk).update(time_zone=after)

    one.close(utc(2026, 5, 3))

    _march, april = one.periods
    assert (april.month, april.starts_at, april.ends_at) == (202604, march.ends_at, ends)
    assert (march.time_zone, april.time_zone) == (before, after)


def test_entry_that_was_not_seen_when_its_month_closed_is_in_the_next(prepaid: Customer) -> None:
    seen = prepaid.post(LedgerEntry.Kind.TOP_UP, 100, utc(2026, 3, 31, 23, 59))
    prepaid.close()
    late = prepaid.post(LedgerEntry.Kind.TOP_UP, 50, utc(2026, 3, 31, 23, 59))
    prepaid.close(utc(2026, 5, 3))

    march, april = prepaid.periods
    assert (seen.period.period, late.period.period) == (march, april)


def test_entry_after_the_end_of_the_month_is_in_the_next_though_it_was_seen(prepaid: Customer) -> None:
    early = prepaid.post(LedgerEntry.Kind.TOP_UP, 100, utc(2026, 4, 1))
    prepaid.close()
    assert not LedgerEntry.objects.filter(pk=early.pk, period__isnull=False).exists()


def test_what_was_before_the_first_month_is_the_opening_balance(database: str) -> None:
    one = customer(since=utc(2026, 3, 1))
    one.post(LedgerEntry.Kind.TOP_UP, 1000, utc(2026, 1, 7))
    one.spend(300, at=utc(2026, 2, 7))
    one.spend(11)

    (statement,) = one.close()

    assert (statement.opening, statement.used, statement.closing) == (700, 11, 689)


def test_first_moment_of_the_first_month_is_not_before_it(database: str) -> None:
    one = customer(since=utc(2026, 3, 1))
    one.post(LedgerEntry.Kind.TOP_UP, 1000, utc(2026, 3, 1))
    one.spend(11, at=utc(2026, 3, 1))

    (statement,) = one.close()

    assert (statement.opening, statement.used, statement.closing) == (0, 11, 989)


def test_wallet_that_was_there_before_begins_where_its_installation_says(database: str) -> None:
    one = customer(since=utc(2025, 1, 1))
    Balance.objects.filter(pk=one.wallet.pk).update(closed_through=utc(2026, 3, 1))
    one.spend(300, at=utc(2025, 2, 7))

    one.close()

    assert [row.month for row in one.periods] == [202603]


def test_e32_late_usage_counts_until_its_month_is_closed_and_then_in_the_next(database: str) -> None:
    one = account(1000)
    hold, late = one.hold(100), one.hold(100)
    books = open_books()
    books.post([hold, late], [], secrets.token_hex(16))
    books.post([], [one.settlement(hold.id, 40)], secrets.token_hex(16))
    ahead = timezone.now() + dt.timedelta(days=40)
    list(closing.close_months(wallet_of(one), ahead))
    month = first_month(one)
    before = count(month).used

    books.post([], [one.settlement(late.id, 30)], secrets.token_hex(16))
    books.close()

    record = UsageRecord.objects.get(pk=late.id)
    assert (before, count(month).used) == (40, 40)
    assert record.settled_at == wallet_of(one).closed_through
    assert one.available == 1000 - 70


def test_late_usage_beyond_its_hold_is_in_the_open_month_too(database: str) -> None:
    one = account(1000)
    hold = one.hold(10)
    books = open_books()
    books.post([hold], [], secrets.token_hex(16))
    list(closing.close_months(wallet_of(one), timezone.now() + dt.timedelta(days=40)))

    books.post([], [one.settlement(hold.id, 30, held=10)], secrets.token_hex(16))
    books.close()

    record = UsageRecord.objects.get(pk=hold.id)
    assert (record.cost, record.settled_at) == (30, wallet_of(one).closed_through)


def test_usage_settles_at_the_present_moment_where_nothing_is_closed(database: str) -> None:
    one = account(1000)
    hold = one.hold(10)
    books = open_books()
    began = timezone.now()
    books.post([hold], [], secrets.token_hex(16))
    books.post([], [one.settlement(hold.id, 10)], secrets.token_hex(16))
    books.close()

    settled_at = UsageRecord.objects.get(pk=hold.id).settled_at
    assert abs(settled_at - began) < dt.timedelta(seconds=60)


def test_e27_request_that_is_settled_twice_is_billed_once(database: str) -> None:
    one = account(1000)
    hold, other = one.hold(10), one.hold(10)
    books = open_books()
    books.post([hold, other], [], secrets.token_hex(16))
    books.post([], [one.settlement(hold.id, 7), one.settlement(other.id, 7)], secrets.token_hex(16))
    books.post([], [one.settlement(hold.id, 9)], secrets.token_hex(16))
    books.close()

    list(closing.close_months(wallet_of(one), timezone.now() + dt.timedelta(days=40)))

    month = first_month(one)
    assert (count(month).requests, count(month).used) == (2, 14)


def test_e28_request_that_is_told_of_again_at_another_time_is_the_same_request(database: str) -> None:
    """A column store collapses duplicates some time, and takes an id at another moment for another event.

    Here the gateway makes an id with its reservation, at whose moment the record is dated: who takes that away writes
    the record, so there is nothing to collapse, in this month or in a later one.
    """
    one = account(1000)
    hold = one.hold(10)
    books = open_books()
    books.post([hold], [], secrets.token_hex(16))
    told = books.post([], [one.settlement(hold.id, 7)], secrets.token_hex(16))
    before = UsageRecord.objects.values().get(pk=hold.id)
    list(closing.close_months(wallet_of(one), timezone.now() + dt.timedelta(days=40)))
    again = books.post([], [one.settlement(hold.id, 9, duration_ms=99)], secrets.token_hex(16))
    books.close()

    assert (told, again) == (([], {hold.id}), ([], set()))
    assert UsageRecord.objects.values().get(pk=hold.id) == before
    list(closing.close_months(wallet_of(one), timezone.now() + dt.timedelta(days=80)))
    periods = BillingPeriod.objects.filter(wallet=one.wallet).exclude(cut=BillingPeriod.Cut.OPENING)
    assert sorted(count(period).used for period in periods) == [*[0] * (len(periods) - 1), 7]
    assert one.available == 1000 - 7


def test_settling_while_periods_are_closed_leaves_no_request_out_and_none_in_two(database: str) -> None:
    """Close against settle, by a closer whose clock is an hour ahead: what is closed does not change any more."""
    one = account(0)
    ledger.set_credit_line(balance=one.wallet, credit_line=10**9)
    wallet, seen, cut, done = wallet_of(one), {}, threading.Event(), threading.Event()

    def settle(books: Books) -> None:
        for number in range(40):
            if number == 20:
                cut.wait(30)  # so that something settles on both sides of a cut, however slow the machine
            hold = one.hold(10)
            books.post([hold], [], secrets.token_hex(16))
            books.post([], [one.settlement(hold.id, 3)], secrets.token_hex(16))

    def close() -> None:
        while not done.wait(0.01):
            close_once()
        close_once()
        connections["default"].close()

    def close_once() -> None:
        now = timezone.now() + dt.timedelta(hours=1)
        if (period := closing.close_at_threshold(wallet, 0, now)) is not None:
            seen[period.pk] = count(period).used
            cut.set()

    closer = threading.Thread(target=close)
    closer.start()
    race(settle, 4)
    done.set()
    closer.join()
    list(closing.close_months(wallet, timezone.now() + dt.timedelta(days=40)))

    periods = BillingPeriod.objects.filter(wallet=wallet).order_by("pk")
    used = {period.pk: count(period).used for period in periods}
    assert len(seen) > 1
    assert {pk: used[pk] for pk in seen} == seen
    assert sum(used.values()) == 4 * 40 * 3
    assert one.available == 10**9 - 4 * 40 * 3


def test_posting_while_months_are_closed_leaves_no_entry_out_and_none_in_two(database: str) -> None:
    one = account(0)
    wallet = wallet_of(one)

    def post(_books: Books) -> None:
        for _number in range(20):
            ledger.post(
                balance=wallet, kind=LedgerEntry.Kind.TOP_UP, amount=5, reference=f"race:{secrets.token_hex(8)}"
            )

    def close(_books: Books) -> None:
        for day in range(20):
            list(closing.close_months(wallet, timezone.now() + dt.timedelta(days=31 * day)))

    threads = [threading.Thread(target=race, args=(story, 2)) for story in (post, close)]
    [thread.start() for thread in threads]  # type: ignore[func-returns-value]
    [thread.join() for thread in threads]  # type: ignore[func-returns-value]
    list(closing.close_months(wallet, timezone.now() + dt.timedelta(days=31 * 22)))

    periods = BillingPeriod.objects.filter(wallet=wallet)
    assert LedgerEntry.objects.filter(balance=wallet, period__period__in=periods).count() == 40
    assert one.available == 200


def test_two_closers_close_each_month_once(prepaid: Customer) -> None:
    prepaid.spend(12)

    race(lambda _books: prepaid.close(utc(2026, 7, 1)), 6)

    assert [row.month for row in prepaid.periods] == [202603, 202604, 202605, 202606]
    assert Invoice.objects.filter(tenant=prepaid.tenant).count() == 1


def test_e25_threshold_ends_the_period_once_and_its_usage_is_not_billed_again(postpaid: Customer) -> None:
    wallet, now = wallet_of(postpaid), utc(2026, 3, 20)
    postpaid.spend(600)
    assert closing.close_at_threshold(wallet, 600, now) is None

    postpaid.spend(1)
    (invoice,) = jobs.close(wallet, 600, now)

    assert jobs.close(wallet, 600, now + dt.timedelta(hours=1)) == []
    postpaid.spend(9, at=utc(2026, 3, 25))
    (month,) = postpaid.close()
    assert (invoice.used, month.used) == (601, 9)
    assert [(row.month, row.cut, row.ends_at) for row in postpaid.periods] == [
        (202603, "threshold", now),
        (202603, "month", utc(2026, 4, 1)),
    ]


@pytest.mark.parametrize("at", [utc(2026, 3, 20), utc(2026, 4, 1)], ids=["where it ended last", "the month's end"])
def test_threshold_makes_no_period_without_length_and_leaves_the_end_of_a_month_to_it(
    postpaid: Customer, at: dt.datetime
) -> None:
    postpaid.spend(600)
    assert closing.close_at_threshold(wallet_of(postpaid), 1, utc(2026, 3, 20)) is not None
    postpaid.spend(600, at=utc(2026, 3, 20, 1))

    assert closing.close_at_threshold(wallet_of(postpaid), 1, at) is None


@pytest.mark.parametrize("hour", [17, 20], ids=["at that moment", "for three hours"])
def test_zone_changed_to_where_the_month_is_over_already_ends_it_with_the_next(postpaid: Customer, hour: int) -> None:
    """Its last hours after a threshold lie in what is the next month there: no period runs backwards."""
    at = utc(2026, 3, 31, hour)
    postpaid.spend(600)
    assert closing.close_at_threshold(wallet_of(postpaid), 1, at) is not None
    Tenant.objects.filter(pk=postpaid.tenant.pk).update(time_zone="Asia/Ho_Chi_Minh")
    postpaid.spend(7, at=utc(2026, 4, 10))

    assert closing.close_at_threshold(wallet_of(postpaid), 100, utc(2026, 3, 31, 21)) is None
    _march, april = postpaid.close(utc(2026, 5, 3))

    assert april.used == 7
    assert [(row.month, row.starts_at, row.ends_at) for row in postpaid.periods[1:]] == [
        (202604, at, utc(2026, 4, 30, 17))
    ]


def test_threshold_does_not_end_a_month_that_is_over(postpaid: Customer) -> None:
    postpaid.spend(600)

    assert closing.close_at_threshold(wallet_of(postpaid), 1, APRIL) is None
    assert postpaid.periods == []


def test_e29_period_in_two_runs_has_the_sum_of_one(postpaid: Customer) -> None:
    other = customer(postpaid=True)
    for one in (postpaid, other):
        one.spend(601, at=utc(2026, 3, 3))
        one.spend(402, at=utc(2026, 3, 23))
    closing.close_at_threshold(wallet_of(postpaid), 600, utc(2026, 3, 20))

    two, (whole,) = postpaid.close(), other.close()

    assert sum(row.used for row in two) == whole.used
    assert two[-1].carried == whole.carried


def test_profile_at_the_time_of_closing_says_which_document_it_is(prepaid: Customer) -> None:
    prepaid.spend(5)
    (statement,) = prepaid.close()
    BillingProfile.objects.filter(tenant=prepaid.tenant).update(billed=BillingProfile.Billed.POSTPAID)

    again = drafts.draft(prepaid.periods[0])

    assert again is not None
    assert (statement.kind, again.kind) == ("statement", "statement")


def test_sums_of_all_periods_are_what_the_wallet_moved(prepaid: Customer) -> None:
    prepaid.post(LedgerEntry.Kind.TOP_UP, 5000, utc(2026, 3, 2))
    prepaid.spend(100, at=utc(2026, 3, 3))
    prepaid.post(LedgerEntry.Kind.REFUND, -700, utc(2026, 5, 2))
    prepaid.spend(30, at=utc(2026, 5, 3))

    march, may = prepaid.close(utc(2026, 6, 2))

    assert (march.opening, march.closing, may.opening, may.closing) == (0, 4900, 4900, 4170)
    assert prepaid.available - 10**15 == may.closing
    total = UsageRecord.objects.filter(tenant=prepaid.tenant).aggregate(total=Sum("cost"))["total"]
    assert march.used + may.used == total
