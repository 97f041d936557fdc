"""Postings, credit lines, and the proof of the books."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections

from accounts.models import User
from billing import ledger
from billing.books import Books
from billing.ledger import InsufficientFunds, Unfit
from billing.models import Balance, LedgerEntry
from billing.reservations import new_id
from tests import databases
from tests.bookkeeping import Account, account, assert_books_add_up

Kind = LedgerEntry.Kind


def post(rich: Account, kind: LedgerEntry.Kind, amount: int, reference: str = "") -> LedgerEntry:
    return ledger.post(balance=rich.wallet, kind=kind, amount=amount, reference=reference or new_id())


def test_posting_moves_available_and_is_written_down(rich: Account) -> None:
    entry = post(rich, Kind.TOP_UP, 250)

    assert rich.available == 1250
    assert (entry.amount, entry.kind, entry.balance_id) == (250, Kind.TOP_UP, rich.wallet.pk)
    assert_books_add_up()


def test_same_reference_posts_once(rich: Account) -> None:
    reference = new_id()

    first, second = post(rich, Kind.TOP_UP, 250, reference), post(rich, Kind.TOP_UP, 250, reference)

    assert first == second
    assert rich.available == 1250
    assert LedgerEntry.objects.filter(reference=reference).count() == 1


@pytest.mark.parametrize(
    ("kind", "amount"), [(Kind.TOP_UP, 251), (Kind.GRANT, 250)], ids=["another amount", "another kind"]
)
def test_same_reference_for_something_else_is_an_error(rich: Account, kind: LedgerEntry.Kind, amount: int) -> None:
    reference = new_id()
    post(rich, Kind.TOP_UP, 250, reference)

    with pytest.raises(IntegrityError):
        post(rich, kind, amount, reference)
    assert rich.available == 1250


def test_same_reference_for_another_wallet_is_an_error(rich: Account, other: Account) -> None:
    reference = new_id()
    post(rich, Kind.TOP_UP, 250, reference)

    with pytest.raises(IntegrityError):
        post(other, Kind.TOP_UP, 250, reference)
    assert other.available == 500


def test_posting_nothing_is_an_error(rich: Account) -> None:
    with pytest.raises(IntegrityError):
        post(rich, Kind.ADJUSTMENT, 0)


@pytest.mark.parametrize("kind", [Kind.ADJUSTMENT, Kind.EXPIRY, Kind.GRANT, Kind.TOP_UP])
def test_taking_more_than_is_available_changes_nothing(rich: Account, kind: LedgerEntry.Kind) -> None:
    with pytest.raises(InsufficientFunds):
        post(rich, kind, -1001, "too-much")

    assert rich.available == 1000
    assert not LedgerEntry.objects.filter(reference="too-much").exists()


def test_everything_may_be_taken(rich: Account) -> None:
    post(rich, Kind.EXPIRY, -1000)
    assert rich.available == 0


def test_held_money_cannot_expire(books: Books, rich: Account) -> None:
    books.post([rich.hold(600)], [], new_id())

    with pytest.raises(InsufficientFunds):
        post(rich, Kind.EXPIRY, -401)
    assert rich.available == 400


def test_refund_may_overdraw(rich: Account) -> None:
    post(rich, Kind.REFUND, -1500)

    assert rich.available == -500
    assert_books_add_up()


def test_credit_line_is_spendable_and_lowering_it_takes_only_what_is_there(rich: Account) -> None:
    ledger.set_credit_line(balance=rich.wallet, credit_line=500)
    assert rich.available == 1500
    post(rich, Kind.ADJUSTMENT, -1400)

    with pytest.raises(InsufficientFunds):
        ledger.set_credit_line(balance=rich.wallet, credit_line=399)

    assert (rich.available, Balance.objects.get(pk=rich.wallet.pk).credit_line) == (100, 500)
    ledger.set_credit_line(balance=rich.wallet, credit_line=400)
    assert rich.available == 0
    assert_books_add_up()


def test_negative_credit_line_is_an_error(rich: Account) -> None:
    with pytest.raises(IntegrityError):
        ledger.set_credit_line(balance=rich.wallet, credit_line=-1)
    assert rich.available == 1000


def test_credit_line_that_stays_as_it_is_needs_no_funds(rich: Account) -> None:
    post(rich, Kind.REFUND, -1500)

    ledger.set_credit_line(balance=rich.wallet, credit_line=0)

    assert rich.available == -500


def test_postings_racing_each_other_all_count(rich: Account) -> None:
    def post_many() -> None:
        for _posting in range(10):
            post(rich, Kind.TOP_UP, 1)
        connections["default"].close()

    racers = [threading.Thread(target=post_many) for _racer in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert rich.available == 1040
    assert_books_add_up()


def test_postings_racing_holds_neither_deadlock_nor_get_lost(books: Books, rich: Account) -> None:
    def post_many() -> None:
        for _posting in range(20):
            post(rich, Kind.TOP_UP, 1)
        connections["default"].close()

    poster = threading.Thread(target=post_many)
    poster.start()
    for _round in range(20):
        held = rich.hold(10)
        books.post([held], [], new_id())
        books.post([], [rich.settlement(held.id, 1)], new_id())
    poster.join()

    assert rich.available == 1000 + 20 - 20
    assert_books_add_up()


# --- both sides ---


Contra = LedgerEntry.Account


@pytest.mark.parametrize(
    ("kind", "amount", "debit", "credit"),
    [
        (Kind.TOP_UP, 5, Contra.CASH, Contra.WALLETS),
        (Kind.GRANT, 5, Contra.PROMOTIONS, Contra.WALLETS),
        (Kind.REFUND, -5, Contra.WALLETS, Contra.CASH),
        (Kind.ADJUSTMENT, -5, Contra.WALLETS, Contra.ADJUSTMENTS),
        (Kind.ADJUSTMENT, 5, Contra.ADJUSTMENTS, Contra.WALLETS),
        (Kind.EXPIRY, -5, Contra.WALLETS, Contra.EXPIRED),
        (Kind.WRITE_OFF, 5, Contra.WRITE_OFFS, Contra.WALLETS),
    ],
)
def test_entry_names_both_of_its_sides(
    rich: Account, kind: LedgerEntry.Kind, amount: int, debit: str, credit: str
) -> None:
    entry = post(rich, kind, amount)
    entry.refresh_from_db()
    assert (entry.debit, entry.credit) == (debit, credit)


def test_top_up_names_the_gateway_that_has_the_cash(rich: Account) -> None:
    entry = ledger.post(balance=rich.wallet, kind=Kind.TOP_UP, amount=5, reference=new_id(), contra=Contra.CASH_STRIPE)
    assert (entry.debit, entry.credit) == (Contra.CASH_STRIPE, Contra.WALLETS)


@pytest.mark.parametrize(
    ("kind", "amount", "contra"),
    [
        (Kind.TOP_UP, 5, Contra.PROMOTIONS),
        (Kind.GRANT, 5, Contra.CASH),
        (Kind.ADJUSTMENT, 5, Contra.WALLETS),
        (Kind.REFUND, -5, Contra.EXPIRED),
        (Kind.EXPIRY, -5, Contra.WRITE_OFFS),
        (Kind.WRITE_OFF, -5, Contra.WRITE_OFFS),
    ],
)
def test_database_refuses_a_side_that_does_not_fit(
    rich: Account, kind: LedgerEntry.Kind, amount: int, contra: LedgerEntry.Account
) -> None:
    with pytest.raises(IntegrityError):
        ledger.post(balance=rich.wallet, kind=kind, amount=amount, reference=new_id(), contra=contra)
    assert rich.available == 1000


def test_entry_without_its_other_side_has_that_of_its_kind(rich: Account) -> None:
    """As a process of the former version writes it."""
    entry = LedgerEntry(balance=rich.wallet, kind=Kind.GRANT, amount=1, contra=None)
    assert entry.debit == Contra.PROMOTIONS


@pytest.mark.parametrize("kind", [Kind.ADJUSTMENT, Kind.WRITE_OFF])
@pytest.mark.parametrize("note", ["", "  "])
def test_person_gives_a_reason(rich: Account, kind: LedgerEntry.Kind, note: str) -> None:
    person = User.objects.create_user(f"{new_id()}@example.com")
    given: dict[str, Any] = {"balance": rich.wallet, "kind": kind, "amount": 5, "created_by": person}

    with pytest.raises(Unfit):
        ledger.post(**given, reference=new_id(), note=note)
    assert rich.available == 1000

    entry = ledger.post(**given, reference=new_id(), note="goodwill")
    assert (entry.note, entry.created_by, rich.available) == ("goodwill", person, 1005)


def test_e36_trial_balance_is_even_in_every_currency(rich: Account) -> None:
    before = {(side.currency, side.account): side for side in ledger.trial_balance()}
    for kind, amount in ((Kind.TOP_UP, 70), (Kind.GRANT, 30), (Kind.REFUND, -20), (Kind.ADJUSTMENT, -1)):
        post(rich, kind, amount)

    after = ledger.trial_balance()

    moved = {}
    for side in after:
        old = before.get((side.currency, side.account), ledger.Side(side.currency, side.account, 0, 0))
        moved[side.account] = (side.debit - old.debit, side.credit - old.credit)
    assert moved[Contra.WALLETS] == (21, 100)
    assert (moved[Contra.CASH], moved[Contra.PROMOTIONS], moved[Contra.ADJUSTMENTS]) == ((70, 20), (30, 0), (0, 1))
    for currency in {side.currency for side in after}:
        mine = [side for side in after if side.currency == currency]
        assert sum(side.debit for side in mine) == sum(side.credit for side in mine)
        assert mine[0].account == Contra.WALLETS


def test_trial_balance_has_each_entry_on_the_side_that_it_names_or_on_that_of_its_kind(rich: Account) -> None:
    before = {(side.currency, side.account): side.debit for side in ledger.trial_balance()}
    ledger.post(balance=rich.wallet, kind=Kind.TOP_UP, amount=70, reference=new_id(), contra=Contra.CASH_STRIPE)
    nameless = LedgerEntry(balance=rich.wallet, kind=Kind.TOP_UP, amount=30, contra=None, reference=new_id())
    LedgerEntry.objects.bulk_create([nameless])  # as a process of the former version writes it
    Balance.objects.filter(pk=rich.wallet.pk).update(available=rich.available + 30)

    after = {(side.currency, side.account): side.debit for side in ledger.trial_balance()}

    stripe, by_hand = ("USD", Contra.CASH_STRIPE), ("USD", Contra.CASH)
    assert after[stripe] - before.get(stripe, 0) == 70
    assert after[by_hand] - before.get(by_hand, 0) == 30
    assert_books_add_up()


def test_same_reference_with_too_little_money_left_still_answers_the_first_entry(rich: Account) -> None:
    reference = new_id()
    first = post(rich, Kind.ADJUSTMENT, -800, reference)
    assert post(rich, Kind.ADJUSTMENT, -800, reference) == first
    assert rich.available == 200


# --- the proof -------------------------------------------------------------------------------------------------------


def test_terms_of_the_identity(books: Books, rich: Account) -> None:
    open_, closed = rich.hold(100), rich.hold(50)
    books.post([open_, closed], [], new_id())
    books.post([], [rich.settlement(closed.id, 20)], new_id())
    ledger.set_credit_line(balance=rich.wallet, credit_line=7)

    (terms,) = [row for row in ledger.accounts() if row.balance_id == rich.wallet.pk]

    assert (terms.available, terms.held, terms.credit_line, terms.posted, terms.used) == (887, 100, 7, 1000, 20)
    assert terms.difference == 0


def test_verify_says_what_it_proved(database: str, rich: Account, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify")

    assert "verified" in capsys.readouterr().out


@pytest.mark.parametrize("by", [1, -1])
def test_verify_finds_a_balance_that_was_tampered_with(
    rich: Account, capsys: pytest.CaptureFixture[str], by: int
) -> None:
    Balance.objects.filter(pk=rich.wallet.pk).update(available=1000 + by)

    try:
        with pytest.raises(CommandError, match=r"^1 of \d+ figures do not add up$"):
            call_command("verify")
    finally:
        Balance.objects.filter(pk=rich.wallet.pk).update(available=1000)

    assert f"balance {rich.wallet.pk}: available {1000 + by} + held 0" in capsys.readouterr().err


def test_verify_finds_a_reservation_that_vanished(books: Books, rich: Account) -> None:
    held = rich.hold(100)
    books.post([held], [], new_id())
    _execute("DELETE FROM billing_reservation WHERE amount = 100 AND tenant_id = %s", rich.tenant.pk)

    try:
        with pytest.raises(CommandError):
            call_command("verify")
    finally:
        Balance.objects.filter(pk=rich.wallet.pk).update(available=1000)


def test_verify_of_a_tampered_database_exits_non_zero(database: str, rich: Account) -> None:
    Balance.objects.filter(pk=rich.wallet.pk).update(available=5)

    try:
        with pytest.raises(AssertionError, match=r"ended with 1:[\s\S]*difference -995 ledger units"):
            databases.manage("verify", database_url=database)
    finally:
        Balance.objects.filter(pk=rich.wallet.pk).update(available=1000)
    assert "verified" in databases.manage("verify", database_url=database)


def test_overdrawn_wallet_still_adds_up(books: Books) -> None:
    poor = account(0)
    post(poor, Kind.REFUND, -5)

    call_command("verify")

    assert poor.available == -5


def _execute(statement: str, *values: Any) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(statement, values)
