"""Roll-ups say what the records say, whatever is rolled up and what is not."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from accounts import keys
from accounts.models import ApiKey, Tenant, User
from billing import rollups, spending
from billing.models import Price, RollupRefinement, RollupState, UsageArchive, UsageRecord, UsageRollup
from billing.reports import start_of_day
from tests.bookkeeping import race
from tests.records import usage_record

NOON = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
MODELS = ("small", "large")


@pytest.fixture(autouse=True)
def _empty(database: str) -> None:
    """Roll-ups are of all tenants together: each test begins without any of another, whose tenants are in UTC."""
    Tenant.objects.update(time_zone="UTC")
    RollupState.objects.all().delete()
    RollupRefinement.objects.all().delete()
    UsageRollup.objects.all().delete()


class World:
    """A tenant with two keys of two members, and requests of three days at random moments."""

    def __init__(self, zone: str = "UTC", seed: int = 1, count: int = 120) -> None:
        draw = random.Random(seed)
        self.tenant = Tenant.objects.create(name="rolled", time_zone=zone)
        self.users = [User.objects.create_user(f"u{self.tenant.pk}-{number}@example.com") for number in range(2)]
        self.keys = [keys.issue(tenant=self.tenant, created_by=user, name="a key").api_key for user in self.users]
        self.prices = [Price.objects.create(model=name, input=1, output=1) for name in MODELS]
        self.records = [self.record(draw) for _number in range(count)]

    def record(self, draw: random.Random, settled_at: dt.datetime | None = None) -> UsageRecord:
        moment = settled_at or NOON - 3 * DAY + dt.timedelta(seconds=draw.randrange(3 * 86_400))
        counts = {"input_tokens": draw.randrange(1000), "output_tokens": draw.randrange(1000)}
        return usage_record(
            self.tenant, draw.choice(self.prices), draw.choice(self.keys), settled_at=moment,
            cost=draw.randrange(10**12), channel=draw.choice(("one", "other")),
            provider_cost=draw.choice((None, draw.randrange(10**9))),
            provider_currency=draw.choice(("", "USD")), **counts,
        )  # fmt: skip

    def told(self, by: str, start: dt.datetime, end: dt.datetime) -> dict[Any, tuple[int, int]]:
        """Requests and cost by subject, from the records alone."""
        zone = ZoneInfo(self.tenant.time_zone)
        subjects: dict[str, Callable[[UsageRecord], Any]] = {
            "model": lambda record: record.model,
            "key": lambda record: record.api_key_id,
            "member": lambda record: ApiKey.objects.get(pk=record.api_key_id).created_by_id,
            "day": lambda record: record.settled_at.astimezone(zone).date(),
            "hour": lambda record: record.settled_at.astimezone(zone).replace(minute=0, second=0, microsecond=0),
        }
        found: dict[Any, tuple[int, int]] = {}
        for record in self.records:
            if start <= record.settled_at < end:
                count, cost = found.get(subjects[by](record), (0, 0))
                found[subjects[by](record)] = (count + 1, cost + record.cost)
        return found

    def spent(self, by: Any, start: dt.datetime, end: dt.datetime, **chosen: Any) -> dict[Any, tuple[int, int]]:
        lines = spending.spent(self.tenant, start, end, by, **chosen)
        return {line.subject: (line.requests, line.cost) for line in lines}


def catch_up(now: dt.datetime) -> None:
    while rollups.advance(now):
        pass


@pytest.mark.parametrize("zone", ["UTC", "Asia/Ho_Chi_Minh", "Asia/Kathmandu", "America/St_Johns"])
@pytest.mark.parametrize("by", ["model", "key", "member", "day", "hour"])
def test_every_view_says_what_the_records_say(zone: str, by: str) -> None:
    world = World(zone)
    first = start_of_day(world.tenant, NOON.date() - 2 * DAY)
    for now in (None, NOON - 30 * HOUR, NOON, NOON + 5 * HOUR):
        if now is not None:
            catch_up(now)
        for start, end in ((first, first + 3 * DAY), (first + DAY, first + 2 * DAY)):
            assert world.spent(by, start, end) == world.told(by, start, end), now


@pytest.mark.parametrize("month", [7, 10], ids=["winter", "summer"])
def test_days_of_a_zone_whose_summer_time_is_half_an_hour_are_its_own(month: int) -> None:
    """Lord Howe Island is eleven hours ahead in summer, ten and a half in winter."""
    world, day = World("Australia/Lord_Howe", count=0), dt.date(2026, month, 10)
    begins = start_of_day(world.tenant, day)
    moments = (begins - dt.timedelta(minutes=5), begins, begins + dt.timedelta(minutes=35))
    world.records = [world.record(random.Random(1), moment) for moment in moments]
    RollupState.objects.create(pk=1, complete_until=begins.astimezone(dt.UTC).replace(minute=0) - HOUR)
    catch_up(begins + DAY)

    assert world.spent("day", begins - DAY, begins) == world.told("day", begins - DAY, begins)
    assert world.spent("day", begins, begins + DAY) == world.told("day", begins, begins + DAY)


def test_hours_that_are_made_again_are_whole_ones() -> None:
    world = World(count=0)
    world.records = [world.record(random.Random(1), NOON + dt.timedelta(minutes=minute)) for minute in (10, 50)]
    catch_up(NOON + 2 * HOUR)

    list(rollups.rebuild(NOON + dt.timedelta(minutes=20), NOON + dt.timedelta(minutes=30)))

    assert rollups.differences(NOON, NOON + HOUR) == []


def test_lines_are_narrowed_to_a_model_and_a_key() -> None:
    world = World()
    catch_up(NOON - 10 * HOUR)
    chosen = [record for record in world.records if (record.model, record.api_key_id) == ("large", world.keys[1].pk)]
    spent = world.spent("model", NOON - 3 * DAY, NOON, model="large", api_keys=[world.keys[1].pk])
    assert spent == {"large": (len(chosen), sum(record.cost for record in chosen))}


def test_other_tenants_are_left_out() -> None:
    world, stranger = World(), World(seed=2)
    catch_up(NOON)
    assert stranger.spent("day", NOON - 3 * DAY, NOON) == stranger.told("day", NOON - 3 * DAY, NOON)
    assert world.spent("day", NOON - 3 * DAY, NOON) == world.told("day", NOON - 3 * DAY, NOON)


def test_hour_is_rolled_up_when_it_is_over_and_a_little_more() -> None:
    world = World(count=0)
    world.records = [world.record(random.Random(1), NOON - dt.timedelta(seconds=1))]
    RollupState.objects.create(pk=1, complete_until=NOON - HOUR)
    assert rollups.advance(NOON + dt.timedelta(minutes=2, microseconds=-1)) == 0
    rollups.advance(NOON + dt.timedelta(minutes=2))
    assert UsageRollup.objects.get(tenant=world.tenant).cost == world.records[0].cost
    assert rollups.complete_until() == NOON


def test_one_run_rolls_up_a_day_at_most_and_says_how_many_rows_it_wrote() -> None:
    for zone in ("UTC", "Asia/Kathmandu"):
        World(zone)
    RollupState.objects.create(pk=1, complete_until=NOON - 3 * DAY)

    written = rollups.advance(NOON)

    assert rollups.complete_until() == NOON - 2 * DAY
    assert written == UsageRollup.objects.count() > 0


def test_process_whose_clock_is_behind_takes_nothing_back() -> None:
    World(count=1)
    RollupState.objects.create(pk=1, complete_until=NOON)

    assert rollups.advance(NOON - 2 * HOUR) == 0

    assert rollups.complete_until() == NOON


def test_two_processes_roll_up_once(database: str) -> None:
    World()
    RollupState.objects.create(pk=1, complete_until=NOON - DAY)
    race(lambda _books: rollups.advance(NOON + HOUR), 4)
    catch_up(NOON + HOUR)
    assert rollups.differences(NOON - DAY, NOON) == []


def test_roll_ups_are_dropped_and_made_again() -> None:
    World()
    catch_up(NOON)
    before = sorted(UsageRollup.objects.values_list("starts_at", "model", "cost", "requests"))
    UsageRollup.objects.all().delete()
    assert len(rollups.differences(NOON - 3 * DAY, NOON)) > 0

    days = list(rollups.rebuild(NOON - 3 * DAY, NOON + DAY))

    assert sorted(UsageRollup.objects.values_list("starts_at", "model", "cost", "requests")) == before
    assert sum(written for _begin, written in days) == len(before)
    assert len(days) == 4  # two of them halves
    assert rollups.complete_until() == NOON - HOUR


def test_commands_check_and_rebuild(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="nothing is rolled up yet"):
        call_command("rollups", "check")
    World()
    call_command("rollups", "catch-up")
    call_command("rollups", "check")
    assert "roll-ups and records agree" in capsys.readouterr().out
    row = UsageRollup.objects.first()
    assert row is not None
    UsageRollup.objects.filter(pk=row.pk).update(cost=row.cost + 1)
    with pytest.raises(CommandError, match="1 days of tenants differ"):
        call_command("rollups", "check")
    assert f"tenant {row.tenant_id}" in capsys.readouterr().err
    call_command("rollups", "rebuild", "--from", f"{row.starts_at:%Y-%m-%d}", "--to", f"{row.starts_at + DAY:%Y-%m-%d}")
    assert f"{row.starts_at:%Y-%m-%d}: " in capsys.readouterr().out
    call_command("rollups", "check")


# --- a zone that is changed ------------------------------------------------------------------------------------------


def _move(world: World, zone: str) -> None:
    Tenant.objects.filter(pk=world.tenant.pk).update(time_zone=zone)
    world.tenant.refresh_from_db()


def _days(world: World, count: int = 3) -> list[tuple[dict[Any, tuple[int, int]], dict[Any, tuple[int, int]]]]:
    """Of the last days, what pages say and what the records say."""
    begins = [start_of_day(world.tenant, NOON.date() - (count - number) * DAY) for number in range(count + 1)]
    return [
        (world.spent("day", start, end), world.told("day", start, end))
        for start, end in itertools.pairwise(begins)
    ]  # fmt: skip


def _refine_all() -> None:
    while rollups.refine():
        pass


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"])
def test_days_of_a_zone_that_came_to_need_quarters_are_added_up_again(zone: str) -> None:
    world, other = World("Asia/Ho_Chi_Minh"), World("Asia/Ho_Chi_Minh", seed=2)
    catch_up(NOON + HOUR)
    of_other = list(UsageRollup.objects.filter(tenant=other.tenant).order_by("pk").values())
    _move(world, zone)
    assert any(said != recorded for said, recorded in _days(world))

    days = rollups.refine()

    assert days == 4  # of UTC, two of them halves
    assert all(said == recorded for said, recorded in _days(world))
    assert rollups.differences(NOON - 4 * DAY, NOON) == []
    assert list(UsageRollup.objects.filter(tenant=other.tenant).order_by("pk").values()) == of_other
    assert (rollups.refined_until(world.tenant), rollups.refine()) == (None, 0)


def test_many_days_are_added_up_a_month_at_a_time() -> None:
    world = World(count=0)
    world.records = [world.record(random.Random(day), NOON - day * DAY) for day in range(1, 34)]
    catch_up(NOON)
    _move(world, "Asia/Kolkata")

    assert rollups.refine() == 31
    assert rollups.refined_until(world.tenant) == NOON - 2 * DAY
    assert rollups.refine() == 2
    assert rollups.refined_until(world.tenant) is None
    assert all(said == recorded for said, recorded in _days(world, 34))


def test_zone_that_goes_there_and_back_is_added_up_again_each_time() -> None:
    world = World("Asia/Kolkata")
    catch_up(NOON - 2 * DAY)
    _refine_all()
    _move(world, "UTC")
    _refine_all()
    assert not RollupRefinement.objects.filter(tenant=world.tenant).exists()
    catch_up(NOON)
    assert all(said == recorded for said, recorded in _days(world))
    _move(world, "Asia/Kolkata")
    assert any(said != recorded for said, recorded in _days(world))

    _refine_all()

    assert all(said == recorded for said, recorded in _days(world))


def test_what_is_archived_is_not_added_up_again() -> None:
    world, kept = World(), NOON - 2 * DAY
    catch_up(NOON)
    before = list(UsageRollup.objects.filter(starts_at__lt=kept).order_by("pk").values())
    _move(world, "Asia/Kolkata")
    with transaction.atomic():
        UsageArchive.objects.create(table="gone", ends=kept - DAY, records=1)
        _refine_all()
        after = list(UsageRollup.objects.filter(starts_at__lt=kept).order_by("pk").values())
        quarters = UsageRollup.objects.exclude(starts_at__minute=0).filter(starts_at__gte=kept)
        assert (after, quarters.exists()) == (before, True)
        transaction.set_rollback(True)  # an archive cannot be deleted


def test_nothing_is_added_up_again_before_anything_is() -> None:
    World("Asia/Kolkata")
    assert rollups.refine() == 0
    assert not RollupRefinement.objects.exists()


def test_processes_add_up_again_while_others_roll_up(database: str) -> None:
    world = World()
    catch_up(NOON - DAY)
    _move(world, "Asia/Kolkata")

    race(lambda _books: (rollups.refine(), rollups.advance(NOON + HOUR)), 4)
    catch_up(NOON + HOUR)
    _refine_all()

    assert rollups.differences(NOON - 4 * DAY, NOON) == []
    assert all(said == recorded for said, recorded in _days(world))
