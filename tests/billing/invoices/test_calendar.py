"""Months in the zones of tenants: half-open, following each other, whatever the clocks do."""

from __future__ import annotations

import datetime as dt
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoices import calendar
from tests.billing.invoices.customers import utc

MONTHS = st.integers(2000 * 12, 2060 * 12).map(lambda number: number // 12 * 100 + number % 12 + 1)
ZONES = st.sampled_from(sorted(available_timezones()))


@pytest.mark.parametrize(
    ("zone", "month", "begins", "ends"),
    [
        pytest.param("Asia/Ho_Chi_Minh", 202601, utc(2025, 12, 31, 17), utc(2026, 1, 31, 17), id="ho chi minh"),
        pytest.param("Asia/Kolkata", 202604, utc(2026, 3, 31, 18, 30), utc(2026, 4, 30, 18, 30), id="kolkata"),
        pytest.param("America/St_Johns", 202603, utc(2026, 3, 1, 3, 30), utc(2026, 4, 1, 2, 30), id="st johns, spring"),
        pytest.param(
            "America/St_Johns", 202611, utc(2026, 11, 1, 2, 30), utc(2026, 12, 1, 3, 30), id="st johns, autumn"
        ),
        pytest.param(
            "Australia/Lord_Howe", 202604, utc(2026, 3, 31, 13), utc(2026, 4, 30, 13, 30), id="lord howe, half an hour"
        ),
        pytest.param("Pacific/Kiritimati", 202601, utc(2025, 12, 31, 10), utc(2026, 1, 31, 10), id="far ahead"),
        pytest.param("Pacific/Pago_Pago", 202601, utc(2026, 1, 1, 11), utc(2026, 2, 1, 11), id="far behind"),
    ],
)
def test_e22_month_begins_and_ends_at_midnight_of_its_zone(
    zone: str, month: int, begins: dt.datetime, ends: dt.datetime
) -> None:
    assert (calendar.begin_of(month, zone), calendar.end_of(month, zone)) == (begins, ends)


@pytest.mark.parametrize(
    ("month", "days"),
    [
        pytest.param(202802, 29, id="29 february"),
        pytest.param(202602, 28, id="28 february"),
        pytest.param(202603, 31, id="31 march"),
        pytest.param(202604, 30, id="30 april"),
    ],
)
def test_e21_month_has_the_days_of_the_calendar(month: int, days: int) -> None:
    length = calendar.end_of(month, "UTC") - calendar.begin_of(month, "UTC")

    assert length == dt.timedelta(days=days)


@pytest.mark.parametrize(
    ("month", "hours"),
    [pytest.param(202603, 31 * 24 - 1, id="with a day of 23 hours"), pytest.param(202611, 721, id="with one of 25")],
)
def test_month_with_an_odd_day_is_an_hour_shorter_or_longer(month: int, hours: int) -> None:
    length = calendar.end_of(month, "America/New_York") - calendar.begin_of(month, "America/New_York")

    assert length == dt.timedelta(hours=hours)


def test_midnight_that_a_zone_jumps_over_is_the_moment_of_the_jump() -> None:
    # Asuncion's clocks went from 23:59:59 on the last of September 2017 to 1:00.
    assert calendar.begin_of(201710, "America/Asuncion") == utc(2017, 10, 1, 4)


@given(month=MONTHS, zone=ZONES)
def test_months_follow_each_other_without_gap_or_overlap(month: int, zone: str) -> None:
    end = calendar.end_of(month, zone)

    assert end == calendar.begin_of(calendar.following(month), zone)
    assert calendar.begin_of(month, zone) < end


@given(month=MONTHS, zone=ZONES)
def test_e3_moment_belongs_to_the_month_of_its_local_date(month: int, zone: str) -> None:
    begin, end = calendar.begin_of(month, zone), calendar.end_of(month, zone)

    assert calendar.month_of(begin, zone) == month
    assert calendar.month_of(end - dt.timedelta(milliseconds=1), zone) == month
    assert calendar.month_of(end, zone) == calendar.following(month)
