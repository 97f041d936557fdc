"""Closing what nobody serves any more."""

from __future__ import annotations

import datetime as dt
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing import corrections, ledger, processes, quotas, recovery, spool
from billing.books import AWAY, Books, Progress
from billing.kinds import Usage
from billing.models import Correction, LedgerEntry, Price, Process, UsageRecord
from billing.recovery import Contact, release_orphans
from billing.reservations import timestamp
from billing.spool import Spool
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


@pytest.mark.parametrize(("usage", "cost"), [(Usage(), 0), (Usage(input=20), 27)], ids=["nothing", "a prompt"])
def test_fee_belongs_to_answers(books: Books, rich: Account, dead: str, usage: Usage, cost: int) -> None:
    price = Price.objects.create(model="with a fee", input=1_000_000, output=1_000_000, request_fee=7)
    held = rich.hold(300, price_id=price.pk)
    books.post([held], [], dead)
    books.note_progress([Progress(held.id, "first", price.pk, usage)])

    assert settle_dead_owners() == 1

    assert ([record.cost for record in rich.records], rich.available) == ([cost], 1000 - cost)


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


def test_wallet_that_cannot_pay_all_pays_what_began_first(books: Books, rich: Account, dead: str) -> None:
    """A progress note moves a row in PostgreSQL's table; the order is the requests', not the table's."""
    older = rich.hold(50)
    time.sleep(0.002)  # an id tells milliseconds
    younger = rich.hold(50)
    books.post([older, younger], [], dead)
    for held, output in ((younger, 300), (older, 300), (older, 400)):
        books.note_progress([Progress(held.id, "first", rich.price.pk, Usage(output=output))])

    assert settle_dead_owners() == 2

    assert {record.id.hex: record.cost for record in rich.records} == {older.id: 800, younger.id: 200}
    assert rich.available == 0
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


@pytest.mark.parametrize(("beyond", "closed"), [(0.5, 0), (1.5, 1)])
def test_contact_has_to_last_a_second_longer_than_the_dead_are_silent(
    books: Books, rich: Account, dead: str, beyond: float, closed: int
) -> None:
    books.post([rich.hold(300)], [], dead)
    contact._since = time.monotonic() - dead_seconds() - beyond

    assert settle_dead_owners() == closed


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
    assert 120_000 <= record.duration_ms < 3_600_000
    assert (rich.available, rich.reservations) == (800, {served.id})
    assert_books_add_up()


@pytest.mark.parametrize(("age", "closed"), [(0, 0), (3, 0), (5.5, 1)])
def test_reservation_is_an_orphan_after_five_seconds(books: Books, rich: Account, age: float, closed: int) -> None:
    owner = processes.register()
    books.post([rich.hold(300, created_at=timestamp(time.time() - age))], [], owner)

    assert release_orphans(owner, set()) == closed
    assert rich.available == 700 + 300 * closed


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


def test_orphan_is_found_behind_a_thousand_requests_in_flight(books: Books, rich: Account) -> None:
    owner = processes.register()
    served = [rich.hold(0, created_at=LONG_AGO) for _number in range(1000)]
    orphan = rich.hold(300, created_at=LONG_AGO)
    books.post([*served, orphan], [], owner)

    assert release_orphans(owner, {held.id for held in served}) == 1

    assert (rich.available, [record.id.hex for record in rich.records]) == (1000, [orphan.id])


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


# --- spools ----------------------------------------------------------------------------------------------------------


def spooled(folder: Path, owner: str, *notes: Progress) -> Path:
    """What a process that died has left."""
    left = Spool(folder, owner)
    for note in notes:
        left.note(note)
    left.close()
    return spool.path_of(folder, owner)


@pytest.mark.parametrize(("is_exact", "source"), [(False, "estimated"), (True, "upstream")])
def test_abandoned_spool_is_billed_at_once(
    books: Books, rich: Account, tmp_path: Path, is_exact: bool, source: str
) -> None:
    owner = processes.register()  # whose heart has just beaten
    told, silent = rich.hold(300), rich.hold(200)
    books.post([told, silent], [], owner)
    books.note_progress([Progress(told.id, "first", rich.price.pk, Usage(input=20, output=3))])
    path = spooled(tmp_path, owner, Progress(told.id, "second", rich.price.pk, Usage(input=20, output=30), is_exact))

    assert recovery.settle_abandoned_spools(tmp_path) == 2

    found = {record.id.hex: record for record in rich.records}
    record = found[told.id]
    assert (record.outcome, record.cost, record.channel, record.usage_source) == ("recovered", 80, "second", source)
    assert (found[silent.id].cost, rich.available, rich.reservations) == (0, 1000 - 80, set())
    assert not path.exists()
    assert recovery.settle_abandoned_spools(tmp_path) == 0
    assert_books_add_up()


def test_abandoned_spool_of_a_process_that_was_forgotten_is_billed(books: Books, rich: Account, tmp_path: Path) -> None:
    owner = processes.register()
    held = rich.hold(300)
    books.post([held], [], owner)
    Process.objects.filter(pk=owner).delete()
    path = spooled(tmp_path, owner, Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30)))

    assert recovery.settle_abandoned_spools(tmp_path) == 1

    assert ([record.cost for record in rich.records], rich.available, path.exists()) == ([80], 1000 - 80, False)


def test_spool_of_a_living_process_is_left_alone(books: Books, rich: Account, tmp_path: Path) -> None:
    owner = processes.register()
    held = rich.hold(300)
    books.post([held], [], owner)
    living = Spool(tmp_path, owner)
    living.note(Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30)))

    assert recovery.settle_abandoned_spools(tmp_path) == 0
    assert rich.reservations == {held.id}
    living.close()


def test_process_that_stands_still_is_billed_by_its_spool(
    books: Books, rich: Account, dead: str, tmp_path: Path
) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    standing = Spool(tmp_path, dead)
    standing.note(Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30)))

    assert recovery.settle_dead_owners(contact, tmp_path) == 1

    (record,) = rich.records
    assert (record.cost, record.usage_source, rich.available) == (80, "estimated", 1000 - 80)
    standing.close()
    assert_books_add_up()


def test_spool_of_another_installation_is_left_alone(books: Books, rich: Account, tmp_path: Path) -> None:
    path = spooled(tmp_path, "0" * 32, Progress("1" * 32, "first", rich.price.pk, Usage(input=20, output=30)))

    assert recovery.settle_abandoned_spools(tmp_path) == 0
    assert path.exists()


def test_what_was_closed_without_its_spool_is_corrected_once(
    books: Books, rich: Account, dead: str, tmp_path: Path
) -> None:
    """Another machine took the process for dead; then its own machine is back."""
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1
    note = Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30))

    for _again in range(2):
        spooled(tmp_path, dead, note)
        recovery.settle_abandoned_spools(tmp_path)

    (record,) = rich.records
    (entry,) = LedgerEntry.objects.filter(balance=rich.wallet, kind="adjustment")
    assert (record.cost, corrections.of(record), entry.amount, rich.available) == (0, 80, -80, 1000 - 80)
    assert_books_add_up()


def test_less_that_is_known_for_certain_gives_back_and_less_that_is_not_does_not(
    books: Books, rich: Account, dead: str, tmp_path: Path
) -> None:
    sure, unsure = rich.hold(300), rich.hold(300)
    books.post([sure, unsure], [], dead)
    noted = Usage(input=20, output=30)
    books.note_progress([Progress(held.id, "first", rich.price.pk, noted) for held in (sure, unsure)])
    assert settle_dead_owners() == 2
    less = Usage(input=20, output=10)
    spooled(
        tmp_path,
        dead,
        Progress(sure.id, "first", rich.price.pk, less, is_exact=True),
        Progress(unsure.id, "first", rich.price.pk, less),
    )

    recovery.settle_abandoned_spools(tmp_path)

    assert {record.id.hex: corrections.of(record) for record in rich.records} == {sure.id: -40, unsure.id: 0}
    assert rich.available == 1000 - 160 + 40
    assert_books_add_up()


def test_note_that_knows_no_more_does_not_stand_in_the_way_of_the_end(
    books: Books, rich: Account, dead: str, tmp_path: Path
) -> None:
    held, noted = rich.hold(300), Usage(input=20, output=30)
    books.post([held], [], dead)
    books.note_progress([Progress(held.id, "first", rich.price.pk, noted)])
    assert settle_dead_owners() == 1
    spooled(tmp_path, dead, Progress(held.id, "first", rich.price.pk, noted))
    recovery.settle_abandoned_spools(tmp_path)
    assert not Correction.objects.filter(pk=held.id).exists()

    corrections.settle_late(rich.settlement(held.id, 120, held=300))

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([40], 1000 - 120)
    assert_books_add_up()


@pytest.mark.parametrize(("is_exact", "cost"), [(False, 80), (True, 22)], ids=["it knows more", "the end is known"])
def test_database_that_knows_more_than_a_spool_is_believed_unless_that_has_the_end(
    books: Books, rich: Account, tmp_path: Path, is_exact: bool, cost: int
) -> None:
    """The disk was full from some moment on."""
    owner = processes.register()
    held = rich.hold(300)
    books.post([held], [], owner)
    books.note_progress([Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30))])
    spooled(tmp_path, owner, Progress(held.id, "first", rich.price.pk, Usage(input=20, output=1), is_exact))

    recovery.settle_abandoned_spools(tmp_path)

    assert [record.cost for record in rich.records] == [cost]
    assert_books_add_up()


def test_spool_that_is_found_when_its_process_is_long_forgotten_corrects(
    books: Books, rich: Account, dead: str, tmp_path: Path
) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1
    Process.objects.filter(pk=dead).delete()
    spooled(tmp_path, dead, Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30)))

    for _again in range(2):
        recovery.settle_abandoned_spools(tmp_path)

    (record,) = rich.records
    assert (corrections.of(record), rich.available) == (80, 1000 - 80)
    assert_books_add_up()


def test_spool_that_knows_no_more_than_the_record_leaves_the_last_word_to_the_outcome(
    books: Books, rich: Account, dead: str
) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    note = Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30))
    books.note_progress([note])
    assert settle_dead_owners() == 1

    corrections.correct([note])
    corrections.settle_late(rich.settlement(held.id, 120, held=300))

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([40], 1000 - 120)


def test_every_note_of_a_long_spool_corrects(books: Books, rich: Account, dead: str) -> None:
    """They are looked up some hundreds at a time."""
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1
    strange = [Progress(f"{number:032x}", "first", rich.price.pk, Usage(input=20, output=30)) for number in range(500)]

    corrections.correct([*strange, Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30))])

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([80], 1000 - 80)


def test_spool_that_tells_of_more_than_a_column_holds_is_corrected_as_far_as_the_wallet_goes(
    books: Books, rich: Account, dead: str
) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1

    corrections.correct([Progress(held.id, "first", rich.price.pk, Usage(input=2**62, output=2**62))])

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([1000], 0)
    assert Correction.objects.get(pk=held.id).due == 2**62
    assert_books_add_up()


def test_spool_line_that_cannot_be_priced_does_not_keep_the_others_from_being_corrected(
    books: Books, rich: Account, dead: str
) -> None:
    lost, good = rich.hold(300), rich.hold(300)
    books.post([lost, good], [], dead)
    assert settle_dead_owners() == 2
    usage = Usage(input=20, output=30)

    corrections.correct([Progress(lost.id, "first", 999_998, usage), Progress(good.id, "first", rich.price.pk, usage)])

    assert {record.id.hex: corrections.of(record) for record in rich.records} == {lost.id: 0, good.id: 80}
    assert rich.available == 1000 - 80


def test_files_that_are_no_spools_of_ours_stop_nothing(books: Books, rich: Account, tmp_path: Path) -> None:
    owner = processes.register()
    held = rich.hold(300)
    books.post([held], [], owner)
    for name in ("0.spool", "copy.spool", f"{'0' * 31}g.spool"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / f"{'0' * 32}.spool").mkdir()
    spooled(tmp_path, owner, Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30)))

    assert recovery.settle_abandoned_spools(tmp_path) == 1


def test_correction_is_the_same_on_every_leg_and_only_the_wallet_bounds_it(
    books: Books, rich: Account, dead: str
) -> None:
    quota = quotas.grant(rich.tenant, amount=300, period="total")
    row = quotas.balance_of(quota, timezone.now())
    held = rich.hold(300, legs=(rich.wallet.pk, row.pk))
    books.post([held], [], dead)
    assert settle_dead_owners() == 1

    corrections.settle_late(rich.settlement(held.id, 700, held=300, legs=held.legs))

    row.refresh_from_db()
    assert (rich.available, row.available) == (1000 - 700, 300 - 700)
    assert [corrections.of(record) for record in rich.records] == [700]
    assert_books_add_up()


# --- late outcomes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("late", "corrected"),
    [
        pytest.param(120, 120, id="it cost something"),
        pytest.param(0, 0, id="it cost nothing"),
        pytest.param(5000, 1000, id="more than is there"),
    ],
)
def test_late_outcome_becomes_a_ledger_entry(books: Books, rich: Account, dead: str, late: int, corrected: int) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1
    settlement = rich.settlement(held.id, late)

    assert books.post([], [settlement], dead) == ([], set())
    for _again in range(2):
        corrections.settle_late(settlement)

    (record,) = rich.records
    assert (record.outcome, record.cost, corrections.of(record)) == ("recovered", 0, corrected)
    assert rich.available == 1000 - corrected
    assert LedgerEntry.objects.filter(balance=rich.wallet, kind="adjustment").count() == (1 if corrected else 0)
    assert_books_add_up()


@pytest.mark.parametrize(
    ("late", "corrected"),
    [pytest.param(120, 40, id="more"), pytest.param(80, 0, id="as much"), pytest.param(50, -30, id="less")],
)
def test_late_outcome_corrects_what_was_billed_meanwhile(
    books: Books, rich: Account, dead: str, late: int, corrected: int
) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    books.note_progress([Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30))])
    assert settle_dead_owners() == 1

    corrections.settle_late(rich.settlement(held.id, late, held=300))

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([corrected], 1000 - late)
    assert_books_add_up()


@pytest.mark.parametrize(("late", "lost"), [(1000, []), (1300, ["300 ledger units were written off"])])
def test_late_outcome_that_the_wallet_cannot_pay_raises_an_alarm(
    books: Books, rich: Account, dead: str, late: int, lost: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1
    caplog.clear()

    corrections.settle_late(rich.settlement(held.id, late, held=300))

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [f"request {held.id}: {text}, its wallet could not pay them" for text in lost]


def top_up(account: Account, amount: int) -> None:
    kind = LedgerEntry.Kind.TOP_UP
    ledger.post(balance=account.wallet, kind=kind, amount=amount, reference=secrets.token_hex(8))


def test_late_outcome_that_an_empty_wallet_could_not_pay_is_not_paid_by_the_next_top_up(
    books: Books, rich: Account, dead: str, caplog: pytest.LogCaptureFixture
) -> None:
    held = rich.hold(1000)
    books.post([held], [], dead)
    books.note_progress([Progress(held.id, "first", rich.price.pk, Usage(input=250, output=375))])
    assert settle_dead_owners() == 1
    assert rich.available == 0
    caplog.clear()
    settlement = rich.settlement(held.id, 1400, held=1000)

    corrections.settle_late(settlement)
    top_up(rich, 5000)
    corrections.settle_late(settlement)

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([0], 5000)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"request {held.id}: 400 ledger units were written off, its wallet could not pay them"
    ]
    assert [(row.due, row.taken) for row in Correction.objects.filter(pk=held.id)] == [(400, 0)]
    assert_books_add_up()


def test_exact_outcome_that_owes_nothing_is_the_last_word(
    books: Books, rich: Account, dead: str, tmp_path: Path
) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1

    corrections.settle_late(rich.settlement(held.id, 0))
    corrections.correct([Progress(held.id, "first", rich.price.pk, Usage(input=20, output=30))])

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([0], 1000)
    assert_books_add_up()


def test_late_outcome_that_two_tell_at_once_is_taken_once(books: Books, rich: Account, dead: str) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1
    settlement, gate = rich.settlement(held.id, 120), threading.Barrier(4)

    def tell() -> None:
        gate.wait()
        for _try in range(50):
            try:
                corrections.settle_late(settlement)
                break
            except AWAY:  # another one writes; the writer tries again too
                time.sleep(0.02)
        connection.close()

    threads = [threading.Thread(target=tell) for _each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([120], 1000 - 120)
    assert_books_add_up()


READ_ONLY = {"postgresql": "SET default_transaction_read_only = {}", "sqlite": "PRAGMA query_only = {}"}


def test_late_outcome_is_booked_once_the_database_writes_again(books: Books, rich: Account, dead: str) -> None:
    held = rich.hold(300)
    books.post([held], [], dead)
    assert settle_dead_owners() == 1
    settlement, read_only = rich.settlement(held.id, 120), READ_ONLY[connection.vendor]

    with connection.cursor() as cursor:
        cursor.execute(read_only.format("on"))
        with pytest.raises(AWAY):
            corrections.settle_late(settlement)
        cursor.execute(read_only.format("off"))
    corrections.settle_late(settlement)

    assert ([corrections.of(record) for record in rich.records], rich.available) == ([120], 1000 - 120)
    assert_books_add_up()


def test_outcome_that_was_written_already_needs_no_correction(books: Books, rich: Account) -> None:
    """The answer to its commit got lost, so it is written again."""
    held, short = rich.hold(300), rich.hold(50)
    books.post([held, short], [], processes.register())
    settlements = [rich.settlement(held.id, 120), rich.settlement(short.id, 5000, held=50)]
    books.post([], settlements, "")
    before = rich.available

    for settlement in settlements:
        corrections.settle_late(settlement)

    assert (rich.available, [corrections.of(record) for record in rich.records]) == (before, [0, 0])
    assert_books_add_up()


def test_late_outcome_of_a_request_without_a_record_changes_nothing(books: Books, rich: Account) -> None:
    corrections.settle_late(rich.settlement("2" * 32, 120))

    assert (rich.available, rich.records) == (1000, [])
    assert_books_add_up()
