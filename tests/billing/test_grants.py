"""Grants: which money is spent first, what expires, what is voided, and that every unit spent is traced to its lot."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from billing import corrections, grants, ledger
from billing.books import Books
from billing.grants import Conflict
from billing.ledger import InsufficientFunds, Unfit
from billing.models import Draw, Drawing, LedgerEntry, Lot
from billing.reservations import new_id
from tests.bookkeeping import Account, assert_books_add_up, race
from tests.purse import Purse

Kind = LedgerEntry.Kind


@pytest.fixture
def purse(database: str) -> Iterator[Purse]:
    """An empty wallet with a clock of its own; afterwards its books and lots add up."""
    purse = Purse()
    yield purse
    purse.assert_adds_up()


# --- the order of spending -------------------------------------------------------------------------------------------


def test_e15_lower_priority_is_spent_first_then_granted_then_oldest(purse: Purse) -> None:
    bought = purse.post(Kind.TOP_UP, 10)
    late = purse.post(Kind.GRANT, 10, priority=1)
    old, new = purse.post(Kind.GRANT, 10), purse.post(Kind.GRANT, 10)
    first = purse.post(Kind.TOP_UP, 10, priority=-1)

    found = []
    for _request in range(5):
        purse.use(10)
        found.append(purse.draw().last_lot())

    assert found == [first.pk, old.pk, new.pk, bought.pk, late.pk]


def test_usage_of_an_hour_is_one_draw_for_each_lot_that_paid(purse: Purse) -> None:
    grant, bought = purse.post(Kind.GRANT, 25), purse.post(Kind.TOP_UP, 100)
    records = [purse.use(10, after=0.01) for _request in range(4)]

    purse.draw()

    assert purse.draws() == [(grant.pk, 25), (bought.pk, 15)]
    assert [grants.paid_by(record) for record in records] == [
        [(grant.pk, 10)], [(grant.pk, 10)], [(grant.pk, 5), (bought.pk, 5)], [(bought.pk, 10)],
    ]  # fmt: skip


def test_corrections_that_are_drawn_together_give_back_what_was_drawn_once(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    purse.use(10)
    purse.draw()
    purse.post(Kind.ADJUSTMENT, 4)
    second = purse.post(Kind.ADJUSTMENT, 8)

    purse.draw()

    assert (purse.rest(grant), purse.rest(second)) == (10, 2)


def test_request_that_is_not_drawn_yet_is_paid_by_nobody_known(purse: Purse) -> None:
    purse.post(Kind.GRANT, 5)
    assert grants.paid_by(purse.use(5)) == []


def test_e16_spending_more_than_is_there_books_nothing(purse: Purse) -> None:
    purse.post(Kind.GRANT, 5)

    with pytest.raises(InsufficientFunds):
        ledger.post(balance=purse.wallet, kind=Kind.ADJUSTMENT, amount=-6, reference=new_id())

    assert purse.available == 5
    assert purse.entries() == [("grant", 5)]


@pytest.mark.parametrize("amount", [0, -1])
def test_e17_grant_of_nothing_is_refused(purse: Purse, amount: int) -> None:
    with pytest.raises(Unfit):
        grants.give(balance=purse.wallet, amount=amount, reference=new_id())
    assert purse.entries() == []


def test_grant_that_has_expired_is_refused(purse: Purse) -> None:
    with pytest.raises(Unfit):
        grants.give(balance=purse.wallet, amount=1, reference=new_id(), expires_at=timezone.now())
    assert purse.entries() == []


@pytest.mark.parametrize("ends", [None, dt.timedelta(minutes=1)], ids=str)
def test_grant_that_can_be_spent_is_given_with_its_end(purse: Purse, ends: dt.timedelta | None) -> None:
    expires_at = None if ends is None else timezone.now() + ends
    entry = grants.give(
        balance=purse.wallet, amount=10, reference=f"g:{purse.wallet.pk}", priority=2, expires_at=expires_at
    )
    assert (entry.kind, entry.amount, entry.priority, entry.expires_at) == ("grant", 10, 2, expires_at)
    assert purse.available == 10


def test_e20_wallet_of_another_tenant_and_currency_is_untouched(purse: Purse) -> None:
    other = Purse(currency="VND")
    other.post(Kind.GRANT, 50)
    purse.post(Kind.GRANT, 10)
    purse.use(10)

    purse.draw()

    assert not Drawing.objects.filter(balance=other.wallet).exists()
    assert other.standing().granted == 50


# --- when a lot begins and ends --------------------------------------------------------------------------------------


def test_e30_grant_pays_from_the_instant_at_which_it_begins_until_before_the_one_at_which_it_ends(purse: Purse) -> None:
    bought = purse.post(Kind.TOP_UP, 100)
    purse.wait(1)
    grant = purse.post(Kind.GRANT, 100, expires_at=purse.now + dt.timedelta(seconds=61))
    at_the_beginning = purse.use(1)
    purse.wait(59)
    just_before = purse.use(2)
    purse.wait(1)
    at_the_end = purse.use(4)

    purse.wait(10)
    purse.draw()

    paid = [grants.paid_by(record) for record in (at_the_beginning, just_before, at_the_end)]
    assert paid == [[(grant.pk, 1)], [(grant.pk, 2)], [(bought.pk, 4)]]
    purse.expire()
    assert purse.entries()[-1] == ("expiry", -97)


def test_e31_what_is_owed_eats_the_next_lot_first(purse: Purse) -> None:
    purse.allow(100)
    record = purse.use(30)
    assert purse.draw().standing().owed == 30

    first = purse.post(Kind.GRANT, 20)
    second = purse.post(Kind.TOP_UP, 50)
    purse.draw()

    assert (purse.rest(first), purse.rest(second), purse.standing().owed) == (0, 40, 0)
    assert grants.paid_by(record) == [(first.pk, 20), (second.pk, 10)]


def test_refund_beyond_the_rest_is_owed(purse: Purse) -> None:
    bought = purse.post(Kind.TOP_UP, 100)
    purse.use(70)
    purse.post(Kind.REFUND, -100, of=bought)
    purse.draw()
    assert (purse.rest(bought), purse.standing().owed) == (0, 70)

    later = purse.post(Kind.TOP_UP, 100)
    assert purse.draw().rest(later) == 30


def test_refund_takes_what_was_paid_in_before_what_was_granted(purse: Purse) -> None:
    grant, bought = purse.post(Kind.GRANT, 10), purse.post(Kind.TOP_UP, 10)
    purse.post(Kind.REFUND, -15)
    purse.draw()
    assert (purse.rest(grant), purse.rest(bought)) == (5, 0)


def test_refund_of_a_top_up_takes_its_own_lot_first(purse: Purse) -> None:
    old, new = purse.post(Kind.TOP_UP, 10), purse.post(Kind.TOP_UP, 10)
    purse.post(Kind.REFUND, -12, of=new)
    purse.draw()
    assert (purse.rest(old), purse.rest(new)) == (8, 0)


def test_e33_credit_never_pays_for_what_another_one_had_paid_before(purse: Purse) -> None:
    bought = purse.post(Kind.TOP_UP, 10)
    record = purse.use(10)
    grant = purse.post(Kind.GRANT, 10, priority=-5)

    purse.draw()

    assert grants.paid_by(record) == [(bought.pk, 10)]
    assert purse.rest(grant) == 10


# --- corrections -----------------------------------------------------------------------------------------------------


def test_e34_correction_reopens_the_latest_expiry_first_and_only_the_unused_part_expires(purse: Purse) -> None:
    soon = purse.post(Kind.GRANT, 10, priority=1, expires_at=purse.now + dt.timedelta(minutes=5))
    later = purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=10))
    purse.use(20)
    purse.draw()
    purse.post(Kind.ADJUSTMENT, 12)
    purse.draw()
    assert (purse.rest(soon), purse.rest(later)) == (2, 10)

    purse.wait(3600)
    purse.expire()

    assert [(entry.of_id, entry.amount) for entry in purse.ledger.filter(kind=Kind.EXPIRY)] == [
        (soon.pk, -2), (later.pk, -10),
    ]  # fmt: skip
    assert purse.available == 0


def test_e36_corrections_unwind_the_newest_draws_first(purse: Purse) -> None:
    first, second = purse.post(Kind.GRANT, 10), purse.post(Kind.TOP_UP, 10)
    for _request in range(2):
        purse.use(10)
        purse.draw()

    purse.post(Kind.ADJUSTMENT, 4)
    assert (purse.draw().rest(first), purse.rest(second)) == (0, 4)
    purse.post(Kind.ADJUSTMENT, 8)
    assert (purse.draw().rest(first), purse.rest(second)) == (2, 10)


def test_correction_beyond_all_usage_is_a_lot_of_its_own(purse: Purse) -> None:
    bought = purse.post(Kind.TOP_UP, 10)
    purse.use(3)
    more = purse.post(Kind.ADJUSTMENT, 5)
    purse.draw()
    assert (purse.rest(bought), purse.rest(more), purse.standing().paid) == (10, 2, 12)


def test_what_a_correction_reopens_pays_what_a_refund_owes(purse: Purse) -> None:
    bought = purse.post(Kind.TOP_UP, 10)
    purse.use(10)
    purse.post(Kind.REFUND, -4)
    purse.post(Kind.ADJUSTMENT, 7)
    purse.draw()
    assert (purse.standing().owed, purse.rest(bought)) == (0, 3)


def test_correction_gives_back_what_nobody_has_paid_first(purse: Purse) -> None:
    purse.allow(100)
    bought = purse.post(Kind.TOP_UP, 10)
    purse.use(15)
    purse.draw()
    purse.post(Kind.ADJUSTMENT, 7)
    purse.draw()
    assert (purse.standing().owed, purse.rest(bought)) == (0, 2)


def test_correction_reopens_nothing_that_was_voided_expired_or_refunded(purse: Purse) -> None:
    purse.post(Kind.TOP_UP, 10)
    purse.post(Kind.REFUND, -10)
    grant = purse.post(Kind.GRANT, 10)
    purse.use(1)
    purse.void(grant)
    more = purse.post(Kind.ADJUSTMENT, 5)
    purse.draw()
    assert (purse.rest(grant), purse.rest(more), purse.standing().paid) == (1, 4, 4)


def test_e36_correction_of_a_correction_is_refused(purse: Purse) -> None:
    purse.post(Kind.TOP_UP, 10)
    correction = purse.post(Kind.ADJUSTMENT, 4)

    with pytest.raises(Unfit):
        ledger.post(balance=purse.wallet, kind=Kind.ADJUSTMENT, amount=-4, reference=new_id(), of=correction)

    assert purse.entries() == [("top_up", 10), ("adjustment", 4)]


def test_e36_entry_across_wallets_and_so_currencies_is_refused(purse: Purse) -> None:
    other = Purse(currency="VND")
    bought = other.post(Kind.TOP_UP, 10)

    with pytest.raises(Unfit):
        ledger.post(balance=purse.wallet, kind=Kind.REFUND, amount=-10, reference=new_id(), of=bought)

    assert (purse.entries(), other.available) == ([], 10)


def test_e36_correction_of_nothing_is_no_entry(books: Books, rich: Account) -> None:
    held = rich.hold(10)
    books.post([held], [], new_id())
    books.post([], [rich.settlement(held.id, 10, outcome="recovered")], new_id())

    corrections.settle_late(rich.settlement(held.id, 10))

    assert LedgerEntry.objects.filter(balance=rich.wallet).count() == 1
    assert_books_add_up()


# --- expiry ----------------------------------------------------------------------------------------------------------


def test_e35_expiry_books_the_unused_rest_once(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=1))
    purse.use(4)
    purse.wait(60)

    assert [purse.expire() for _run in range(3)] == [1, 0, 0]

    entry = purse.ledger.get(kind=Kind.EXPIRY)
    assert (entry.amount, entry.reference, entry.of, entry.credit) == (-6, f"expiry:{grant.pk}", grant, "expired")
    assert purse.available == 0


def test_grant_before_its_end_does_not_expire(purse: Purse) -> None:
    purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=1))
    purse.wait(58.9)
    assert purse.expire() == 0
    assert purse.available == 10


def test_grant_that_was_used_up_leaves_no_expiry(purse: Purse) -> None:
    purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=1))
    purse.use(10)
    purse.wait(60)
    assert purse.expire() == 0


def test_what_is_held_does_not_expire_until_it_has_settled(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=1))
    held = purse.hold(7)
    purse.wait(60)
    assert purse.expire() == 1
    assert (purse.available, purse.rest(grant)) == (0, 7)

    purse.settle(held, 5)
    assert purse.expire() == 1

    assert [entry.reference for entry in purse.ledger.filter(kind=Kind.EXPIRY)] == [
        f"expiry:{grant.pk}", f"expiry:{grant.pk}:2",
    ]  # fmt: skip
    assert purse.entries()[1:] == [("expiry", -3), ("expiry", -2)]


def test_credit_line_is_not_what_expires(purse: Purse) -> None:
    purse.allow(100)
    purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=1))
    purse.hold(4)
    purse.wait(60)
    purse.expire()
    assert purse.entries()[-1] == ("expiry", -6)


def test_two_grants_that_expire_are_two_entries(purse: Purse) -> None:
    ends = purse.now + dt.timedelta(minutes=1)
    one, two = (purse.post(Kind.GRANT, amount, expires_at=ends) for amount in (3, 4))
    purse.wait(60)
    assert purse.expire() == 2
    assert (purse.rest(one), purse.rest(two)) == (0, 0)


def test_job_counts_the_entries_of_its_expiries_and_takes_of_each_grant_what_is_free(purse: Purse) -> None:
    ends = purse.now + dt.timedelta(minutes=1)
    one, two = (purse.post(Kind.GRANT, amount, expires_at=ends) for amount in (3, 4))
    purse.hold(2)
    purse.wait(60)

    assert grants.expire_due(purse.now) == 2

    assert (purse.rest(one), purse.rest(two), purse.available) == (0, 2, 0)


def test_e35_expiries_at_once_book_once(purse: Purse) -> None:
    purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=1))
    purse.wait(60)

    race(lambda _books: purse.expire(), 4)

    assert purse.entries() == [("grant", 10), ("expiry", -10)]


# --- voiding ---------------------------------------------------------------------------------------------------------


def test_e18_void_gives_back_what_is_unused_at_that_moment(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    purse.draw()
    purse.use(4)

    entry = purse.void(grant)

    assert (entry.amount, entry.kind, entry.of, entry.credit) == (-6, "grant", grant, "promotions")
    assert (purse.available, purse.rest(grant)) == (0, 0)


def test_grant_is_voided_at_the_databases_time_where_none_is_said(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    assert grants.void(grant, note="test", created_by=None).amount == -10


def test_e35_void_twice_is_one_entry(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    assert purse.void(grant) == purse.void(grant)
    assert purse.entries() == [("grant", 10), ("grant", -10)]


def test_e35_voids_at_once_book_once(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    race(lambda _books: purse.void(grant), 4)
    assert purse.entries() == [("grant", 10), ("grant", -10)]


def test_e35_void_of_a_grant_that_is_used_up_is_a_conflict(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    purse.use(10)
    with pytest.raises(Conflict, match="used up"):
        purse.void(grant)
    assert purse.entries() == [("grant", 10)]


@pytest.mark.parametrize("is_booked", [False, True])
def test_e35_void_of_a_grant_that_has_expired_is_a_conflict(purse: Purse, is_booked: bool) -> None:
    grant = purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=1))
    purse.wait(60)
    booked = purse.expire() if is_booked else 0
    with pytest.raises(Conflict):
        purse.void(grant)
    assert len(purse.entries()) == 1 + booked


def test_void_waits_for_requests_in_flight(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    held = purse.hold(1)
    with pytest.raises(Conflict, match="in flight"):
        purse.void(grant)
    purse.settle(held, 1)
    assert purse.void(grant).amount == -9


def test_what_was_bought_is_not_voided(purse: Purse) -> None:
    bought = purse.post(Kind.TOP_UP, 10)
    with pytest.raises(Conflict, match="Only a grant"):
        purse.void(bought)
    with pytest.raises(Conflict, match="Only a grant"):
        purse.void(purse.post(Kind.GRANT, -1))
    assert purse.available == 9


# --- no entry is passed over ---------------------------------------------------------------------------------------


def test_expiry_takes_in_what_was_posted_at_its_own_instant(purse: Purse) -> None:
    first = purse.post(Kind.GRANT, 10, expires_at=purse.now + dt.timedelta(minutes=1))
    purse.wait(60)
    second = purse.post(Kind.GRANT, 5)

    assert purse.expire() == 1

    assert (purse.rest(first), purse.rest(second)) == (0, 5)


def test_void_takes_in_what_was_posted_since_its_moment(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    moment = purse.now + dt.timedelta(milliseconds=1)
    later = purse.post(Kind.TOP_UP, 5)

    grants.void(grant, note="test", created_by=None, now=moment)

    assert (purse.rest(grant), purse.rest(later)) == (0, 5)


def test_entry_of_a_clock_that_is_ahead_is_drawn_when_its_time_has_come(purse: Purse) -> None:
    """Two processes' clocks differ: the entry that was posted first says the later moment."""
    purse.wait(2)
    ahead = purse.post(Kind.TOP_UP, 5)
    purse.wait(-2)
    behind = purse.post(Kind.TOP_UP, 7)
    purse.draw()

    purse.wait(10)
    purse.draw()

    assert (purse.rest(ahead), purse.rest(behind)) == (5, 7)


# --- exactly once ----------------------------------------------------------------------------------------------------


def test_request_that_appears_behind_the_cursor_is_drawn_once(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 100)
    held = purse.hold(10)
    settled_at = purse.now
    purse.use(3)
    purse.draw()
    record = purse.settle(held, 7, settled_at=settled_at)

    for _run in range(3):
        purse.wait(3600)
        purse.draw()

    assert (purse.rest(grant), purse.draws()) == (90, [(grant.pk, 3), (grant.pk, 7)])
    assert grants.paid_by(record) == [(grant.pk, 7)]


def test_request_that_settles_after_the_cursor_is_drawn_once(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 100)
    held = purse.hold(10)
    purse.use(3)
    purse.draw()
    purse.wait(5)
    record = purse.settle(held, 7)
    purse.draw()
    purse.draw()
    assert (purse.rest(grant), grants.paid_by(record)) == (90, [(grant.pk, 7)])


def test_trace_of_the_others_leaves_out_who_came_late(purse: Purse) -> None:
    one, two = purse.post(Kind.GRANT, 10), purse.post(Kind.TOP_UP, 100)
    held, early = purse.hold(10), purse.now
    purse.wait(1)
    record = purse.use(12)
    purse.draw()
    late = purse.settle(held, 5, settled_at=early)
    purse.draw()
    assert grants.paid_by(record) == [(one.pk, 10), (two.pk, 2)]
    assert grants.paid_by(late) == [(two.pk, 5)]


def test_drawing_at_once_draws_once(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 100)
    for _request in range(5):
        purse.use(4)
    race(lambda _books: purse.draw(), 4)
    assert purse.draws() == [(grant.pk, 20)]


def test_stretch_cannot_be_drawn_twice_by_the_database(purse: Purse) -> None:
    purse.post(Kind.GRANT, 100)
    purse.use(4)
    purse.draw()
    row = Draw.objects.get(balance=purse.wallet)
    with pytest.raises(IntegrityError), transaction.atomic():
        Draw.objects.create(balance=purse.wallet, lot=row.lot, amount=4, since=row.since, at=row.at)


def test_job_draws_wallets_that_have_waited_an_hour(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 100)
    purse.use(4)
    purse.wait(60)
    assert purse.run() == 0  # the grace
    purse.wait(61)
    assert purse.run() == 1
    assert purse.rest(grant) == 96
    purse.use(5)
    purse.wait(3500)
    assert purse.run() == 0
    purse.wait(300)
    assert purse.run() == 1
    assert (purse.rest(grant), purse.run()) == (91, 0)


def test_standing_of_a_wallet_says_how_it_is_before_anything_is_drawn(purse: Purse) -> None:
    late = purse.post(Kind.GRANT, 10, priority=3)
    bought, grant = purse.post(Kind.TOP_UP, 100), purse.post(Kind.GRANT, 20)
    purse.allow(50)
    purse.use(5)
    purse.hold(30)

    found = purse.standing()

    assert (found.available, found.credit_line, found.held) == (145, 50, 30)
    assert (found.paid, found.granted, found.owed) == (100, 25, 0)
    assert [(lot.id, lot.rest) for lot in found.grants] == [(grant.pk, 15), (late.pk, 10)]
    assert not Lot.objects.filter(balance=purse.wallet).exists()
    assert bought.amount == 100


def test_standing_knows_what_settled_this_instant(purse: Purse) -> None:
    grant = purse.post(Kind.GRANT, 10)
    purse.now = timezone.now()
    purse.use(4)
    assert (purse.standing().granted, grants.left_of(grant)) == (6, 6)


def test_what_is_left_is_asked_of_what_brought_money_in(purse: Purse) -> None:
    used, bought = purse.post(Kind.GRANT, 4), purse.post(Kind.TOP_UP, 10)
    purse.use(6)
    refund = purse.post(Kind.REFUND, -1)
    assert [grants.left_of(entry) for entry in (used, bought, refund)] == [0, 7, None]


def test_request_is_not_said_to_be_paid_by_the_lot_that_ended_before_it(purse: Purse) -> None:
    grant, bought = purse.post(Kind.GRANT, 10), purse.post(Kind.TOP_UP, 10)
    first, second = purse.use(10), purse.use(5, after=0.01)
    purse.draw()
    assert [grants.paid_by(record) for record in (first, second)] == [[(grant.pk, 10)], [(bought.pk, 5)]]


def test_wallet_that_owes_adds_up_before_and_after_a_part_was_paid(purse: Purse) -> None:
    purse.allow(50)
    purse.use(20)
    purse.draw()
    assert grants.differences(of=purse.wallet) == []
    purse.post(Kind.TOP_UP, 5)
    purse.draw()
    assert (grants.differences(of=purse.wallet), purse.standing().owed) == ([], 15)


def test_archived_usage_is_drawn_at_the_end_of_its_archive(purse: Purse) -> None:
    before = purse.post(Kind.TOP_UP, 100)
    purse.wait(10)
    purse.archive(30)
    purse.wait(10)
    after = purse.post(Kind.GRANT, 100)
    purse.draw()
    assert (purse.rest(before), purse.rest(after)) == (70, 100)


def test_write_off_ends_what_is_owed(purse: Purse) -> None:
    purse.allow(50)
    purse.use(20)
    purse.draw()
    entry = purse.post(Kind.WRITE_OFF, 20)
    purse.draw()
    assert (purse.standing().owed, purse.rest(entry), purse.available) == (0, 0, 50)


@pytest.mark.parametrize("what", ["rest", "draw"])
def test_difference_is_found(purse: Purse, what: str) -> None:
    grant = purse.post(Kind.GRANT, 100)
    purse.use(4)
    purse.draw()
    if what == "rest":
        Lot.objects.filter(pk=grant.pk).update(rest=97)
    else:
        Draw.objects.create(balance=purse.wallet, lot_id=grant.pk, amount=1, at=purse.now)
    assert [row.balance_id for row in grants.differences()] == [purse.wallet.pk]
    purse.mend()
