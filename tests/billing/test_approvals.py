"""Large postings: one asks, another one approves, and it is posted once."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import User
from billing import approvals
from billing.approvals import NotYours
from billing.books import Books
from billing.ledger import InsufficientFunds, Unfit
from billing.models import LedgerEntry, PostingRequest
from tests.bookkeeping import Account, assert_books_add_up, race


def _operator() -> User:
    return User.objects.create_superuser(f"{secrets.token_hex(6)}@example.com")


@pytest.fixture
def olga(database: str) -> User:
    return _operator()


@pytest.fixture
def oscar(database: str) -> User:
    return _operator()


def ask(rich: Account, olga: User, amount: int = 500) -> PostingRequest:
    return approvals.request(
        balance=rich.wallet, kind=LedgerEntry.Kind.ADJUSTMENT, amount=amount, reference=secrets.token_hex(8),
        note="goodwill", created_by=olga,
    )  # fmt: skip


def test_nothing_is_posted_before_somebody_else_approves(rich: Account, olga: User, oscar: User) -> None:
    asked = ask(rich, olga)
    assert rich.available == 1000

    entry = approvals.approve(asked, by=oscar)

    asked.refresh_from_db()
    assert (entry.amount, entry.reference, entry.note, entry.created_by) == (500, asked.reference, "goodwill", olga)
    assert (asked.status, asked.decided_by, rich.available) == ("posted", oscar, 1500)
    assert asked.decided_at is not None
    assert_books_add_up()


def test_grant_that_has_expired_meanwhile_is_not_posted(rich: Account, olga: User, oscar: User) -> None:
    asked = ask(rich, olga)
    PostingRequest.objects.filter(pk=asked.pk).update(kind="grant", expires_at=timezone.now())
    asked.refresh_from_db()

    with pytest.raises(Unfit, match="in the future"):
        approvals.approve(asked, by=oscar)

    asked.refresh_from_db()
    assert (asked.status, rich.available) == ("waiting", 1000)


def test_who_asked_decides_nothing(rich: Account, olga: User) -> None:
    asked = ask(rich, olga)
    for decide in (approvals.approve, approvals.reject):
        with pytest.raises(NotYours, match="Another operator"):
            decide(asked, by=olga)
    asked.refresh_from_db()
    assert (asked.status, asked.decided_by, rich.available) == ("waiting", None, 1000)


def test_database_knows_that_it_takes_two(rich: Account, olga: User) -> None:
    asked = ask(rich, olga)
    with pytest.raises(IntegrityError):
        PostingRequest.objects.filter(pk=asked.pk).update(status="posted", decided_by=olga)


def test_what_is_rejected_is_never_posted(rich: Account, olga: User, oscar: User) -> None:
    asked = ask(rich, olga)
    approvals.reject(asked, by=oscar)
    with pytest.raises(NotYours, match="decided already"):
        approvals.approve(asked, by=_operator())
    assert rich.available == 1000


def test_two_approvals_at_once_book_once(rich: Account, olga: User) -> None:
    asked = ask(rich, olga)
    refused: list[NotYours] = []

    def story(_books: Books) -> None:
        try:
            approvals.approve(asked, by=_operator())
        except NotYours as error:
            refused.append(error)

    race(story, 4)

    assert (len(refused), rich.available) == (3, 1500)
    assert LedgerEntry.objects.filter(reference=asked.reference).count() == 1
    assert_books_add_up()


def test_approval_that_the_wallet_does_not_cover_leaves_the_request_waiting(
    rich: Account, olga: User, oscar: User
) -> None:
    asked = ask(rich, olga, -1001)
    with pytest.raises(InsufficientFunds):
        approvals.approve(asked, by=oscar)
    asked.refresh_from_db()
    assert (asked.status, rich.available) == ("waiting", 1000)


def test_same_reference_is_asked_once(rich: Account, olga: User) -> None:
    given: dict[str, Any] = {"balance": rich.wallet, "kind": LedgerEntry.Kind.GRANT, "amount": 5, "note": "x",
                             "created_by": olga, "reference": secrets.token_hex(8)}  # fmt: skip
    assert approvals.request(**given) == approvals.request(**given)


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [(10**13, "USD", False), (10**13 + 1, "USD", True), (-(10**13) - 1, "USD", True), (10**18, "EUR", False)],
)
def test_limit_is_in_currency_units(settings: Any, amount: int, currency: str, expected: bool) -> None:
    settings.GRANT_TWO_PERSONS_ABOVE = {"USD": "10000"}
    assert approvals.needs_two(amount, currency) is expected
