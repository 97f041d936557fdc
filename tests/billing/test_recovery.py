"""Closing what nobody serves any more."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing import processes, recovery
from billing.books import Books, Progress
from billing.kinds import Usage
from billing.models import Price, Process, UsageRecord
from billing.recovery import Contact, release_orphans
from billing.reservations import timestamp
from tests.bookkeeping import Account, account, assert_books_add_up, dead_seconds

contact = Contact()
settle_dead_owners = partial(recovery.settle_dead_owners, contact)
LONG_AGO = timestamp(time.time() - 120)


@pytest.fixture(autouse=True)
def _in_contact(database: str) -> Iterator[None]:
    """This process has had the database within reach for long enough; at the end nothing is left open."""
    _reach()
    yield
    _reach()
    Process.objects.all().delete()
    settle_dead_owners()
    contact.note_loss()


def _reach() -> None:
    contact._since = time.monotonic() - dead_seconds() - 2


@pytest.fixture
def dead() -> str:
    """A process whose heart stopped long ago."""
    owner = processes.register()
    Process.objects.filter(pk=owner).update(heartbeat_at=timezone.now() - dt.timedelta(seconds=dead_seconds() + 5))
    return owner


def test_dead_owners_reservation_without_progress_costs_nothing(books: Books, rich: Account, dead: str) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)

    assert settle_dead_owners() == 1

    (record,) = rich.records
    assert (record.id.hex, record.outcome, record.cost, record.usage_source) == (held.id, "recovered", 0, "none")
    assert (record.status, record.error_code, record.output_tokens) == (500, "interrupted", 0)
    assert (rich.available, rich.reservations) == (1000, set())
    assert_books_add_up()


def test_dead_owners_stream_is_settled_from_its_last_progress(books: Books, rich: Account, dead: str) -> None:
    held = rich.hold(300, is_stream=True)
    books.post([held], [], dead)
    books.note_progress([Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30))])

    assert settle_dead_owners() == 1

    (record,) = rich.records
    assert (record.cost, record.input_tokens, record.output_tokens) == (20 * 1 + 30 * 2, 20, 30)
    assert (record.channel, record.usage_source, record.is_stream) == ("first", "estimated", True)
    assert rich.available == 1000 - 80
    assert_books_add_up()


def test_whatever_kind_was_written_down_is_billed(books: Books, rich: Account, dead: str) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    books.note_progress([Progress(held.id, "first", rich.price.pk, Usage(input=20))])

    assert settle_dead_owners() == 1

    (record,) = rich.records
    assert (record.cost, record.input_tokens, record.usage_source) == (20, 20, "estimated")
    assert rich.available == 1000 - 20
    assert_books_add_up()


def test_what_was_cached_of_a_dead_owners_stream_is_billed_at_the_cached_price(
    books: Books, rich: Account, dead: str
) -> None:
    price = Price.objects.create(model="cached", input=10_000, cached_input=1_000, output=20_000_000)
    held = rich.hold(950, is_stream=True)
    books.post([held], [], dead)
    usage = Usage(input=100_000, cached_input=95_000, output=10)
    books.note_progress([Progress(held.id, "first", price.pk, usage)])

    assert settle_dead_owners() == 1

    (record,) = rich.records
    assert (record.usage, record.cost) == (usage, 50 + 95 + 200)
    assert (rich.available, record.usage_source) == (1000 - 345, "estimated")
    assert_books_add_up()


def test_dead_owners_fallback_stream_is_settled_at_its_models_price(books: Books, rich: Account, dead: str) -> None:
    fallback = Price.objects.create(model="a fallback", input=3_000_000, output=4_000_000)
    held = rich.hold(300, is_stream=True)
    books.post([held], [], dead)
    books.note_progress([Progress(held.id, "second", fallback.pk, Usage(input=20, output=30))])

    assert settle_dead_owners() == 1

    (record,) = rich.records
    assert (record.cost, record.price_id) == (20 * 3 + 30 * 4, fallback.pk)
    assert (record.requested_model, record.model) == (rich.price.model, "a fallback")
    assert_books_add_up()


def test_progress_past_the_hold_is_paid_as_far_as_the_wallet_goes(books: Books, rich: Account, dead: str) -> None:
    held = rich.hold(50)
    books.post([held], [], dead)
    books.note_progress([Progress(held.id, "first", rich.price.pk, Usage(input=2**62, output=2**62))])

    assert settle_dead_owners() == 1

    (record,) = rich.records
    assert (record.cost, record.held, record.claimed_cost, rich.available) == (1000, 50, 2**62, 0)
    assert_books_add_up()


def test_reservation_of_a_process_that_said_goodbye_is_recovered(books: Books, rich: Account) -> None:
    owner = processes.register()
    books.post([rich.hold(300)], [], owner)
    processes.leave(owner)

    assert settle_dead_owners() == 1
    assert rich.available == 1000


def test_live_owner_is_left_alone(books: Books, rich: Account) -> None:
    owner = processes.register()
    held = rich.hold(300, created_at=LONG_AGO)
    books.post([held], [], owner)

    assert settle_dead_owners() == 0
    assert (rich.available, rich.reservations) == (700, {held.id})


def test_recovering_twice_settles_once(books: Books, rich: Account, dead: str) -> None:
    books.post([rich.hold(300), rich.hold(200)], [], dead)

    assert (settle_dead_owners(), settle_dead_owners()) == (2, 0)
    assert (rich.available, len(rich.records)) == (1000, 2)


def test_late_outcome_of_a_recovered_request_changes_nothing(books: Books, rich: Account, dead: str) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    settle_dead_owners()

    _outcomes, settled = books.post([], [rich.settlement(held.id, 250)], dead)

    assert settled == set()
    assert (rich.available, [record.outcome for record in rich.records]) == (1000, ["recovered"])


def test_nobody_is_declared_dead_before_contact_has_lasted(books: Books, rich: Account, dead: str) -> None:
    books.post([rich.hold(300)], [], dead)
    contact.note_loss()

    assert settle_dead_owners() == 0
    assert rich.available == 700


def test_contact_begins_anew_when_the_database_fails(books: Books, rich: Account, dead: str) -> None:
    books.post([rich.hold(300)], [], dead)
    assert contact.seconds() > dead_seconds() + 1

    contact.note_loss()

    assert contact.seconds() < 1


def test_request_older_than_any_duration_column_is_recovered(books: Books, rich: Account, dead: str) -> None:
    month_ago = timestamp(time.time() - 40 * 86_400)
    books.post([rich.hold(300, created_at=month_ago)], [], dead)

    assert settle_dead_owners() == 1

    assert rich.records[0].duration_ms == 2**31 - 1
    assert rich.available == 1000


def test_reservation_that_cannot_be_priced_does_not_keep_the_others_open(
    books: Books, rich: Account, dead: str
) -> None:
    lost, good = rich.hold(300, price_id=999_999), rich.hold(200)
    books.post([lost, good], [], dead)
    books.note_progress([Progress(row.id, "first", row.price_id, Usage(input=10, output=10)) for row in (good, lost)])

    settle_dead_owners()

    assert good.id not in rich.reservations
    assert good.id in {record.id.hex for record in rich.records}
    assert rich.reservations == {lost.id}
    Price.objects.create(pk=999_999, model=rich.price.model, input=0, output=0)
    assert settle_dead_owners() == 1


def test_orphan_of_a_living_process_is_released(books: Books, rich: Account) -> None:
    owner = processes.register()
    orphan, served = rich.hold(300, created_at=LONG_AGO), rich.hold(200, created_at=LONG_AGO)
    books.post([orphan, served], [], owner)

    assert release_orphans(owner, {served.id}) == 1
    assert release_orphans(owner, {served.id}) == 0

    (record,) = rich.records
    assert (record.id.hex, record.outcome, record.cost) == (orphan.id, "internal_error", 0)
    assert (rich.available, rich.reservations) == (800, {served.id})
    assert_books_add_up()


def test_young_reservation_is_no_orphan_yet(books: Books, rich: Account) -> None:
    owner = processes.register()
    books.post([rich.hold(300)], [], owner)

    assert release_orphans(owner, set()) == 0
    assert rich.available == 700


def test_orphans_of_others_are_none_of_our_business(books: Books, rich: Account) -> None:
    ours, theirs = processes.register(), processes.register()
    books.post([rich.hold(300, created_at=LONG_AGO)], [], theirs)

    assert release_orphans(ours, set()) == 0
    assert rich.available == 700


def test_what_is_in_flight_is_asked_after_the_reservations_are_read(books: Books, rich: Account) -> None:
    """A slow body makes a request old before it holds: it must not be taken for an orphan as it begins."""
    owner = processes.register()
    held = rich.hold(300, created_at=LONG_AGO)
    in_flight: set[str] = set()
    books.post([held], [], owner)

    def begin(execute: Callable[..., Any], *arguments: Any) -> Any:
        in_flight.add(held.id)
        return execute(*arguments)

    with connection.execute_wrapper(begin):
        assert release_orphans(owner, in_flight) == 0
    assert rich.reservations == {held.id}


def test_heartbeat_of_a_process_that_was_forgotten_brings_it_back(books: Books, rich: Account) -> None:
    owner = processes.register()
    Process.objects.filter(pk=owner).delete()  # a day of silence, or a database restored from before it began
    books.post([rich.hold(300)], [], owner)

    processes.beat(owner)

    assert settle_dead_owners() == 0
    assert {row.id.hex for row in processes.live()} == {owner}


def test_processes_silent_for_a_day_are_forgotten(database: str) -> None:
    silent, alive = processes.register(), processes.register()
    Process.objects.filter(pk=silent).update(heartbeat_at=timezone.now() - dt.timedelta(hours=25))

    processes.forget_dead()

    assert [row.id.hex for row in Process.objects.all()] == [alive]


def test_nothing_to_recover_is_nothing_done(database: str) -> None:
    fresh = account(10)

    assert settle_dead_owners() == 0
    assert UsageRecord.objects.filter(tenant=fresh.tenant).count() == 0
