"""Quotas: whose they are, their periods, and that nothing passes them."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from accounts import keys
from accounts.models import ApiKey, Member, Tenant, User
from billing import quotas
from billing.books import HELD, Books, Refused, open_books
from billing.legs import legs_of_key
from billing.models import Balance, Quota, QuotaDefault
from billing.quotas import SOFT_LINE, Period, Preview
from tests.bookkeeping import Account, account, assert_books_add_up, race
from tests.records import usage_record

OWNER = "0" * 32
NOW = dt.datetime(2026, 11, 26, 15, 0, tzinfo=dt.UTC)
_numbers = itertools.count(1)


def member_of(tenant: Tenant) -> User:
    user = User.objects.create_user(f"quota-{next(_numbers)}-{tenant.pk}@example.com")
    Member.objects.create(tenant=tenant, user=user, role=Member.Role.DEVELOPER)
    return user


def key_of(rich: Account, user: User | None = None) -> ApiKey:
    return keys.issue(tenant=rich.tenant, created_by=user, name="a key").api_key


def hold(rich: Account, books: Books, api_key: ApiKey, amount: int) -> Any:
    held = rich.hold(amount, legs=legs_of_key(api_key).ids, api_key_id=api_key.pk)
    (outcome,), _settled = books.post([held], [], OWNER)
    return outcome if outcome is not HELD else held


def left(quota: Quota) -> int:
    return quotas.balance_of(quota, dt.datetime.now(dt.UTC)).available


# --- periods ---------------------------------------------------------------------------------------------------------


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("kind", "zone", "now", "starts_at", "ends_at"),
    [
        ("day", "UTC", "2026-11-26 00:00", "2026-11-26 00:00", "2026-11-27 00:00"),
        ("day", "Asia/Ho_Chi_Minh", "2026-11-26 16:59", "2026-11-25 17:00", "2026-11-26 17:00"),
        ("day", "Asia/Ho_Chi_Minh", "2026-11-26 17:00", "2026-11-26 17:00", "2026-11-27 17:00"),
        ("day", "Europe/Berlin", "2026-03-29 12:00", "2026-03-28 23:00", "2026-03-29 22:00"),  # of 23 hours
        ("day", "Europe/Berlin", "2026-10-25 12:00", "2026-10-24 22:00", "2026-10-25 23:00"),  # of 25 hours
        ("week", "UTC", "2026-11-26 15:00", "2026-11-23 00:00", "2026-11-30 00:00"),
        ("week", "UTC", "2026-11-23 00:00", "2026-11-23 00:00", "2026-11-30 00:00"),
        ("week", "America/New_York", "2026-11-23 04:59", "2026-11-16 05:00", "2026-11-23 05:00"),
        ("month", "UTC", "2026-11-30 23:59", "2026-11-01 00:00", "2026-12-01 00:00"),
        ("month", "UTC", "2026-12-31 23:59", "2026-12-01 00:00", "2027-01-01 00:00"),
        ("month", "Asia/Ho_Chi_Minh", "2026-01-31 17:00", "2026-01-31 17:00", "2026-02-28 17:00"),
        ("month", "Europe/Berlin", "2026-03-15 00:00", "2026-02-28 23:00", "2026-03-31 22:00"),
    ],
)
def test_period_is_the_tenants_own(kind: str, zone: str, now: str, starts_at: str, ends_at: str) -> None:
    assert quotas.period_at(kind, ZoneInfo(zone), utc(now)) == Period(utc(starts_at), utc(ends_at))


def test_total_has_no_end() -> None:
    early, late = (quotas.period_at("total", ZoneInfo("UTC"), now) for now in (NOW, NOW + dt.timedelta(days=9999)))
    assert early == late == Period(utc("1970-01-01 00:00"), None)


@pytest.mark.parametrize(("used", "percent"), [(0, 0), (199, 99), (200, 100), (1999, 999), (2000, 999)])
def test_standing_tells_the_share_of_the_amount(used: int, percent: int) -> None:
    assert quotas.Standing(Quota(amount=200), used, None).percent == percent


def test_p9_new_period_is_a_new_row_and_the_old_one_stays(rich: Account) -> None:
    quota = quotas.grant(rich.tenant, amount=300, period="day")

    first, again = quotas.balance_of(quota, NOW), quotas.balance_of(quota, NOW + dt.timedelta(hours=8))
    second = quotas.balance_of(quota, NOW + dt.timedelta(hours=10))

    assert (first.pk, first.available, first.credit_line) == (again.pk, 300, 300)
    assert second.pk != first.pk
    assert second.starts_at == first.ends_at
    assert_books_add_up()


def test_period_begins_once_however_many_ask(rich: Account) -> None:
    quota = quotas.grant(rich.tenant, amount=300, period="day")

    race(lambda _books: quotas.balance_of(quota, NOW), racers=8)

    assert Balance.objects.filter(quota=quota).count() == 1


# --- legs ------------------------------------------------------------------------------------------------------------


def test_key_draws_on_its_own_its_makers_and_its_tenants_quotas(rich: Account, other: Account) -> None:
    user = member_of(rich.tenant)
    mine, his = key_of(rich, user), key_of(rich)
    tenants = quotas.grant(rich.tenant, amount=900, period="month")
    members = quotas.grant(rich.tenant, amount=500, period="week", user=user)
    keys_own = quotas.grant(rich.tenant, amount=300, period="day", api_key=mine)
    quotas.grant(other.tenant, amount=1, period="day")

    assert (quotas.of_key(mine), quotas.of_key(his)) == ([tenants, members, keys_own], [tenants])
    legs = legs_of_key(mine)
    assert len(legs.ids) == 4
    assert list(legs.ids) == sorted(legs.ids)
    assert {(limit.subject, limit.period, limit.amount) for limit in legs.limits.values()} == {
        ("tenant", "month", 900), ("member", "week", 500), ("key", "day", 300)
    }  # fmt: skip
    assert legs.until == min(limit.ends_at or 0.0 for limit in legs.limits.values())
    assert legs_of_key(his).ids == (rich.wallet.pk, quotas.balance_of(tenants, dt.datetime.now(dt.UTC)).pk)


def test_legs_without_an_end_hold_for_ever(rich: Account) -> None:
    quotas.grant(rich.tenant, amount=900, period="total")
    assert legs_of_key(key_of(rich)).until is None


def test_quota_that_has_ended_is_no_leg(rich: Account) -> None:
    quota = quotas.grant(rich.tenant, amount=900, period="total")
    api_key = key_of(rich)
    quotas.end(quota)

    assert legs_of_key(api_key).ids == (rich.wallet.pk,)
    assert quotas.grant(rich.tenant, amount=1, period="total").pk != quota.pk


# --- holding ---------------------------------------------------------------------------------------------------------


def test_tightest_quota_refuses_and_is_named(books: Books, rich: Account) -> None:
    api_key = key_of(rich)
    wide = quotas.grant(rich.tenant, amount=900, period="month")
    tight = quotas.grant(rich.tenant, amount=100, period="day", api_key=api_key)
    held = hold(rich, books, api_key, 80)

    refused = hold(rich, books, api_key, 30)

    row = quotas.balance_of(tight, dt.datetime.now(dt.UTC))
    assert refused == Refused(row.pk, available=20, tied_up=80)
    assert (rich.available, left(wide), left(tight)) == (920, 820, 20)
    books.post([], [rich.settlement(held.id, 50, held=80, legs=held.legs)], OWNER)
    assert (rich.available, left(wide), left(tight)) == (950, 850, 50)
    assert_books_add_up()


def test_soft_quota_counts_and_refuses_nothing(books: Books, rich: Account) -> None:
    api_key = key_of(rich)
    soft = quotas.grant(rich.tenant, amount=100, period="day", is_hard=False)

    held = hold(rich, books, api_key, 700)
    books.post([], [rich.settlement(held.id, 600, held=700, legs=held.legs)], OWNER)

    (standing,) = quotas.standings([soft], dt.datetime.now(dt.UTC))
    assert (standing.used, standing.left, standing.percent) == (600, 0, 600)
    assert rich.available == 400
    assert_books_add_up()


def test_race_passes_no_quota(rich: Account) -> None:
    """Three quotas at once, of which the tightest decides."""
    user = member_of(rich.tenant)
    api_key = key_of(rich, user)
    tight = quotas.grant(rich.tenant, amount=100, period="day", user=user)
    wider = [
        quotas.grant(rich.tenant, amount=500, period="month"),
        quotas.grant(rich.tenant, amount=300, period="total", api_key=api_key),
    ]
    legs = legs_of_key(api_key).ids
    got: list[Any] = []

    def story(mine: Books) -> None:
        for _number in range(20):
            wanted = rich.hold(9, legs=legs)
            (outcome,), _settled = mine.post([wanted], [], OWNER)
            if outcome is HELD:
                got.append(wanted)

    race(story, racers=8)

    assert len(got) == 11
    assert (left(tight), [left(quota) for quota in wider], rich.available) == (1, [401, 201], 901)
    books = open_books()
    books.post([], [rich.settlement(row.id, 3, held=9, legs=row.legs) for row in got], OWNER)
    books.close()
    assert (left(tight), rich.available) == (100 - 33, 1000 - 33)
    assert_books_add_up()


# --- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "left_over"), [(1000, 950), (50, 0), (20, -30)])
def test_change_holds_for_the_present_period(books: Books, rich: Account, amount: int, left_over: int) -> None:
    api_key = key_of(rich)
    quota = quotas.grant(rich.tenant, amount=100, period="day")
    hold(rich, books, api_key, 50)

    quotas.change(quota, amount=amount, is_hard=True)

    quota.refresh_from_db()
    assert (quota.amount, left(quota)) == (amount, left_over)
    assert isinstance(hold(rich, books, api_key, 1), Refused) is (left_over <= 0)
    assert_books_add_up()


def test_change_between_hard_and_soft_loses_no_use(books: Books, rich: Account) -> None:
    api_key = key_of(rich)
    quota = quotas.grant(rich.tenant, amount=100, period="day")
    hold(rich, books, api_key, 50)

    quotas.change(quota, amount=40, is_hard=False)
    assert left(quota) == SOFT_LINE - 50
    hold(rich, books, api_key, 200)
    quotas.change(quota, amount=260, is_hard=True)

    assert left(quota) == 10
    assert_books_add_up()


def test_changes_and_holds_at_once_lose_nothing(rich: Account) -> None:
    quota = quotas.grant(rich.tenant, amount=500, period="total")
    legs = legs_of_key(key_of(rich)).ids
    got: list[str] = []
    amounts = itertools.cycle((400, 600, 500))

    def story(mine: Books) -> None:
        for number in range(15):
            if number % 5 == 0:
                quotas.change(quota, amount=next(amounts), is_hard=True)
            wanted = rich.hold(7, legs=legs)
            (outcome,), _settled = mine.post([wanted], [], OWNER)
            got.extend([wanted.id] if outcome is HELD else [])

    race(story, racers=4)

    quota.refresh_from_db()
    assert left(quota) == quota.amount - 7 * len(got)
    assert_books_add_up()


def test_period_that_begins_while_the_quota_is_changed_has_the_new_amount(rich: Account) -> None:
    quota = quotas.grant(rich.tenant, amount=100, period="day")
    read_before = Quota.objects.select_related("tenant").get(pk=quota.pk)

    quotas.change(quota, amount=10, is_hard=True)

    row = quotas.balance_of(read_before, dt.datetime.now(dt.UTC))
    assert (row.available, row.credit_line) == (10, 10)


def test_periods_begin_rightly_while_the_quota_is_changed(rich: Account) -> None:
    quota = quotas.grant(rich.tenant, amount=100, period="day")
    days = [dt.datetime.now(dt.UTC) + dt.timedelta(days=number) for number in range(12)]
    turns = itertools.count()

    def story(_books: Books) -> None:
        for day in days:
            if next(turns) % 2:
                quotas.change(quota, amount=10 + day.day, is_hard=True)
            quotas.balance_of(Quota.objects.select_related("tenant").get(pk=quota.pk), day)

    race(story, racers=4)

    quotas.change(quota, amount=55, is_hard=True)
    rows = Balance.objects.filter(quota=quota).values_list("available", "credit_line")
    assert set(rows) == {(55, 55)}
    assert_books_add_up()


def test_another_time_zone_does_not_begin_a_period_anew(books: Books, rich: Account) -> None:
    api_key = key_of(rich)
    quota = quotas.grant(rich.tenant, amount=100, period="month")
    hold(rich, books, api_key, 100)

    Tenant.objects.filter(pk=rich.tenant.pk).update(time_zone="Asia/Ho_Chi_Minh")
    quota = Quota.objects.select_related("tenant").get(pk=quota.pk)

    assert left(quota) == 0
    (standing,) = quotas.standings([quota], dt.datetime.now(dt.UTC))
    assert standing.used == 100


# --- what is refused -------------------------------------------------------------------------------------------------


def test_one_quota_of_a_kind_at_a_time(rich: Account) -> None:
    quotas.grant(rich.tenant, amount=100, period="day")
    with pytest.raises(ValidationError, match="already"):
        quotas.grant(rich.tenant, amount=200, period="day")
    with pytest.raises(IntegrityError):
        Quota.objects.create(tenant=rich.tenant, amount=200, period="day")


def test_quota_is_never_of_a_strangers_key_or_of_somebody_outside(rich: Account, other: Account) -> None:
    with pytest.raises(ValidationError, match="another tenant"):
        quotas.grant(rich.tenant, amount=100, period="day", api_key=key_of(other))
    with pytest.raises(ValidationError, match="no member"):
        quotas.grant(rich.tenant, amount=100, period="day", user=member_of(other.tenant))
    user = member_of(rich.tenant)
    with pytest.raises(ValidationError, match="not both"):
        quotas.grant(rich.tenant, amount=100, period="day", user=user, api_key=key_of(rich))
    assert not Quota.objects.filter(tenant=rich.tenant).exists()


@pytest.mark.parametrize("members", [{"amount": -1}, {"period": "year"}])
def test_amount_and_period_are_checked(rich: Account, members: dict[str, Any]) -> None:
    given: dict[str, Any] = {"amount": 100, "period": "day", **members}
    with pytest.raises(ValidationError):
        quotas.grant(rich.tenant, **given)


def test_quota_of_nothing_refuses_everything(books: Books) -> None:
    poor = account(100)
    api_key = key_of(poor)
    quota = quotas.grant(poor.tenant, amount=0, period="total")

    assert isinstance(hold(poor, books, api_key, 1), Refused)
    (standing,) = quotas.standings([quota], NOW)
    assert (standing.percent, standing.left) == (100, 0)


# --- sessions --------------------------------------------------------------------------------------------------------


def session_of(rich: Account, books: Books, api_key: ApiKey, quota: Quota, digest: str, amount: int) -> Any:
    balance, _limit = quotas.session_limit(quota, digest)
    held = rich.hold(amount, legs=tuple(sorted((*legs_of_key(api_key).ids, balance))), api_key_id=api_key.pk)
    (outcome,), _settled = books.post([held], [], OWNER)
    return outcome


def test_each_session_is_a_period_of_its_own(rich: Account, books: Books) -> None:
    api_key = key_of(rich)
    quota = quotas.grant(rich.tenant, amount=100, period="session", api_key=api_key)
    assert legs_of_key(api_key).session_quotas == (quota.pk,)
    assert quota.pk not in legs_of_key(api_key).limits
    assert session_of(rich, books, api_key, quota, "a", 100) is HELD
    assert isinstance(session_of(rich, books, api_key, quota, "a", 1), Refused)
    assert session_of(rich, books, api_key, quota, "b", 60) is HELD
    quotas.change(quota, amount=50, is_hard=True)
    assert isinstance(session_of(rich, books, api_key, quota, "b", 1), Refused)
    assert session_of(rich, books, api_key, quota, "c", 50) is HELD
    assert_books_add_up()


def test_session_is_opened_once_by_whoever_asks_first(rich: Account, books: Books) -> None:
    quota = quotas.grant(rich.tenant, amount=100, period="session")
    race(lambda _books: quotas.session_limit(quota, "same"), 6)
    assert Balance.objects.filter(quota=quota).count() == 1


def test_session_is_looked_at_for_thirty_days(rich: Account) -> None:
    quota = quotas.grant(rich.tenant, amount=100, period="session")
    balance, limit = quotas.session_limit(quota, "a")
    row = Balance.objects.get(pk=balance)
    assert row.starts_at is not None
    assert row.ends_at is not None
    assert (row.ends_at - row.starts_at, limit.ends_at) == (dt.timedelta(days=30), None)


# --- defaults --------------------------------------------------------------------------------------------------------


def test_new_members_and_keys_get_the_defaults_and_those_before_do_not(rich: Account) -> None:
    before = key_of(rich)
    for about, period in (("key", "day"), ("key", "session"), ("member", "month")):
        QuotaDefault.objects.create(tenant=rich.tenant, about=about, period=period, amount=7, is_hard=False)
    api_key, user = key_of(rich), member_of(rich.tenant)

    assert not quotas.open_quotas(rich.tenant).filter(api_key=before).exists()
    given = quotas.open_quotas(rich.tenant).values_list("api_key", "user", "period", "amount", "is_hard")
    assert set(given) == {
        (api_key.pk, None, "day", 7, False), (api_key.pk, None, "session", 7, False), (None, user.pk, "month", 7, False)
    }  # fmt: skip


def test_member_who_comes_back_keeps_the_quota_that_is_there(rich: Account) -> None:
    QuotaDefault.objects.create(tenant=rich.tenant, about="member", period="month", amount=7)
    user = member_of(rich.tenant)
    (own,) = quotas.open_quotas(rich.tenant).filter(user=user)
    quotas.change(own, amount=9, is_hard=True)
    Member.objects.get(tenant=rich.tenant, user=user).delete()
    Member.objects.create(tenant=rich.tenant, user=user, role=Member.Role.DEVELOPER)
    assert [each.amount for each in quotas.open_quotas(rich.tenant).filter(user=user)] == [9]


# --- preview ---------------------------------------------------------------------------------------------------------


def spend(rich: Account, api_key: ApiKey, **costs: int) -> None:
    """So much at noon of these days, each named as `nov_26`."""
    for day, cost in costs.items():
        at = dt.datetime.strptime(f"2026 {day} 12", "%Y %b_%d %H").replace(tzinfo=dt.UTC)
        usage_record(rich.tenant, rich.price, api_key, cost=cost, started_at=at)


@pytest.mark.parametrize(
    ("period", "amount", "expected"),
    [
        ("day", 40, Preview(highest=70, periods=4, passed=1)),
        ("day", 39, Preview(highest=70, periods=4, passed=2)),
        ("week", 100, Preview(highest=110, periods=3, passed=1)),
        ("month", 120, Preview(highest=120, periods=2, passed=0)),
        ("total", 100, Preview(highest=125, periods=1, passed=1)),
        ("session", 1, None),
    ],
)
def test_preview_adds_up_the_periods_of_the_last_31_days(
    rich: Account, period: str, amount: int, expected: Preview | None
) -> None:
    spend(rich, key_of(rich), oct_25=999, oct_26=5, nov_2=10, nov_25=40, nov_26=70)
    quota = Quota(tenant=rich.tenant, period=period, amount=amount)
    assert quotas.preview(quota, NOW) == expected


def test_preview_counts_what_the_quota_would_limit(rich: Account) -> None:
    user = member_of(rich.tenant)
    mine, second, others = key_of(rich, user), key_of(rich, user), key_of(rich)
    spend(rich, mine, nov_20=1)
    spend(rich, second, nov_20=10)
    spend(rich, others, nov_20=100)

    subjects: list[dict[str, Any]] = [{}, {"user": user}, {"api_key": mine}, {"api_key": others}]
    found = [quotas.preview(Quota(tenant=rich.tenant, period="day", amount=1, **about), NOW) for about in subjects]

    assert [each and each.highest for each in found] == [111, 11, 1, 100]
