"""Large postings, credit lines and batches of codes: one asks, another one approves, and it is done once."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import User
from billing import approvals, codes
from billing.approvals import NotYours
from billing.books import Books
from billing.codes import CannotRedeem
from billing.ledger import InsufficientFunds, Unfit
from billing.models import Balance, Code, CodeBatch, LedgerEntry, PostingRequest
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


# --- credit lines ----------------------------------------------------------------------------------------------------

LIMIT = 10**13
"""10,000 dollars."""


def ask_for_line(rich: Account, olga: User, credit_line: int = LIMIT + 1) -> PostingRequest:
    return approvals.request(
        balance=rich.wallet, kind=PostingRequest.CREDIT_LINE, amount=credit_line, reference=secrets.token_hex(8),
        note="a partner", created_by=olga,
    )  # fmt: skip


def line(of: Account) -> tuple[int, int]:
    row = Balance.objects.get(pk=of.wallet.pk)
    return row.credit_line, row.available


@pytest.mark.parametrize(
    ("now", "then", "expected"),
    [
        pytest.param(0, LIMIT, False, id="at the limit"),
        pytest.param(0, LIMIT + 1, True, id="above it"),
        pytest.param(LIMIT, LIMIT + 1, True, id="in steps"),
        pytest.param(3 * LIMIT, 2 * LIMIT, False, id="lowered"),
        pytest.param(2 * LIMIT, 2 * LIMIT, False, id="the same"),
    ],
)
def test_line_above_the_limit_takes_two_unless_it_is_lowered(
    rich: Account, settings: Any, now: int, then: int, expected: bool
) -> None:
    settings.GRANT_TWO_PERSONS_ABOVE = {"USD": "10000"}
    Balance.objects.filter(pk=rich.wallet.pk).update(credit_line=now, available=now + 1000)
    wallet = Balance.objects.get(pk=rich.wallet.pk)
    assert approvals.line_needs_two(wallet, then) is expected


def test_line_is_granted_once_by_somebody_else(rich: Account, olga: User, oscar: User) -> None:
    asked = ask_for_line(rich, olga)
    with pytest.raises(NotYours, match="Another operator"):
        approvals.grant_line(asked, by=olga)
    assert line(rich) == (0, 1000)

    assert approvals.grant_line(asked, by=oscar) == 0

    asked.refresh_from_db()
    assert (asked.status, asked.decided_by, line(rich)) == ("posted", oscar, (LIMIT + 1, LIMIT + 1001))
    with pytest.raises(NotYours, match="decided already"):
        approvals.grant_line(asked, by=oscar)
    assert_books_add_up()


def test_line_is_no_posting(rich: Account, olga: User, oscar: User) -> None:
    asked = ask_for_line(rich, olga)
    with pytest.raises(Unfit, match="no posting"):
        approvals.approve(asked, by=oscar)
    asked.refresh_from_db()
    assert (asked.status, line(rich), LedgerEntry.objects.filter(reference=asked.reference).count()) == (
        "waiting", (0, 1000), 0,
    )  # fmt: skip


def test_line_that_would_take_more_than_is_there_leaves_the_request_waiting(
    rich: Account, olga: User, oscar: User
) -> None:
    asked = ask_for_line(rich, olga, credit_line=LIMIT)
    Balance.objects.filter(pk=rich.wallet.pk).update(credit_line=3 * LIMIT, available=LIMIT)

    with pytest.raises(InsufficientFunds):
        approvals.grant_line(asked, by=oscar)

    asked.refresh_from_db()
    assert (asked.status, line(rich)) == ("waiting", (3 * LIMIT, LIMIT))
    Balance.objects.filter(pk=rich.wallet.pk).update(credit_line=0, available=1000)


def test_two_approvals_of_a_line_at_once_grant_it_once(rich: Account, olga: User) -> None:
    asked = ask_for_line(rich, olga)
    refused: list[NotYours] = []

    def story(_books: Books) -> None:
        try:
            approvals.grant_line(asked, by=_operator())
        except NotYours as error:
            refused.append(error)

    race(story, 4)

    assert (len(refused), line(rich)) == (3, (LIMIT + 1, LIMIT + 1001))
    assert_books_add_up()


# --- batches of codes ------------------------------------------------------------------------------------------------


def large_batch(olga: User, settings: Any, **fields: Any) -> tuple[CodeBatch, str]:
    """Three codes of four thousand dollars each, where ten thousand take two; and one of them."""
    settings.GRANT_TWO_PERSONS_ABOVE = {"USD": "10000"}
    given: dict[str, Any] = {"label": "partners", "amount": 4 * 10**12, "currency": "USD", "number": 3}
    batch = CodeBatch(**(given | fields), created_by=olga)
    return batch, codes.make(batch)[0]


def test_batch_above_the_limit_gives_nothing_before_somebody_else_approves(
    rich: Account, olga: User, oscar: User, settings: Any
) -> None:
    batch, code = large_batch(olga, settings)
    with pytest.raises(CannotRedeem, match="not valid yet"):
        codes.redeem(code, balance=rich.wallet, user=oscar)
    with pytest.raises(NotYours, match="Another operator"):
        codes.approve(batch, by=olga)
    assert (rich.available, Code.objects.filter(redeemed_at=None, batch=batch).count()) == (1000, 3)

    codes.approve(batch, by=oscar)

    assert codes.redeem(code, balance=rich.wallet, user=oscar).amount == 4 * 10**12
    batch.refresh_from_db()
    assert (batch.approved_by, batch.is_waiting) == (oscar, False)
    with pytest.raises(NotYours, match="does not wait"):
        codes.approve(batch, by=oscar)
    assert_books_add_up()


def test_batch_below_the_limit_waits_for_nobody(rich: Account, olga: User, oscar: User, settings: Any) -> None:
    batch, code = large_batch(olga, settings, number=2)
    with pytest.raises(NotYours, match="does not wait"):
        codes.approve(batch, by=oscar)
    assert codes.redeem(code, balance=rich.wallet, user=oscar).amount == 4 * 10**12


def test_batch_that_was_revoked_is_not_approved(rich: Account, olga: User, oscar: User, settings: Any) -> None:
    batch, code = large_batch(olga, settings)
    assert codes.revoke(batch)

    with pytest.raises(NotYours, match="does not wait"):
        codes.approve(batch, by=oscar)
    with pytest.raises(CannotRedeem, match="no longer valid"):
        codes.redeem(code, balance=rich.wallet, user=oscar)
    assert rich.available == 1000


def test_database_knows_that_a_batch_takes_two(olga: User, settings: Any) -> None:
    batch, _code = large_batch(olga, settings)
    with pytest.raises(IntegrityError):
        CodeBatch.objects.filter(pk=batch.pk).update(approved_by=olga)
