"""Large postings, credit lines and batches of codes: what one operator asks for and another one approves."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing import ledger, money
from billing.models import Balance, LedgerEntry, PostingRequest

Status = PostingRequest.Status


class NotYours(Exception):
    """This operator cannot decide this, or it is decided; nothing was changed. The message says why."""


def needs_two(amount: int, currency: str) -> bool:
    """Whether a posting of so many ledger units, up or down, takes a second person."""
    limit = settings.GRANT_TWO_PERSONS_ABOVE.get(currency)
    return limit is not None and abs(money.to_decimal(amount, currency)) > Decimal(limit)


def line_needs_two(balance: Balance, credit_line: int) -> bool:
    """Whether raising a credit line to so many ledger units takes a second person; lowering one gives nobody money."""
    return credit_line > balance.credit_line and needs_two(credit_line, balance.currency)


def request(
    *,
    balance: Balance,
    kind: LedgerEntry.Kind | str,
    amount: int,
    reference: str,
    note: str,
    created_by: User,
    priority: int | None = None,
    expires_at: dt.datetime | None = None,
) -> PostingRequest:
    """Keeps a posting, or a credit line, until somebody else decides on it; the same reference is kept once."""
    terms = {"balance": balance, "kind": kind, "amount": amount, "note": note, "created_by": created_by,
             "priority": priority, "expires_at": expires_at}  # fmt: skip
    row, _is_new = PostingRequest.objects.get_or_create(reference=reference, defaults=terms)
    return row


def approve(asked: PostingRequest, *, by: User) -> LedgerEntry:
    """Posts it, once, and returns the entry, whose author is who asked.

    Raises NotYours, what `post` does, and Unfit for a grant that has expired meanwhile.
    """
    if asked.is_credit_line:
        raise ledger.Unfit(_("A credit line is no posting."))
    if asked.expires_at is not None and asked.expires_at <= timezone.now():
        raise ledger.Unfit(_("A grant expires in the future."))
    with transaction.atomic():
        _decide(asked, by, Status.POSTED)
        return ledger.post(
            balance=asked.balance, kind=LedgerEntry.Kind(asked.kind), amount=asked.amount, reference=asked.reference,
            note=asked.note, created_by=asked.created_by, priority=asked.priority, expires_at=asked.expires_at,
        )  # fmt: skip


def grant_line(asked: PostingRequest, *, by: User) -> int:
    """Sets the credit line that was asked for, once, and returns the one before. Raises NotYours."""
    with transaction.atomic():
        _decide(asked, by, Status.POSTED)
        before = Balance.objects.select_for_update().get(pk=asked.balance_id).credit_line
        ledger.set_credit_line(balance=asked.balance, credit_line=asked.amount)
        return before


def reject(asked: PostingRequest, *, by: User) -> None:
    """It will never be posted. Raises NotYours."""
    with transaction.atomic():
        _decide(asked, by, Status.REJECTED)


def _decide(asked: PostingRequest, by: User, status: PostingRequest.Status) -> None:
    """Under the lock of the row: who comes second finds it decided."""
    row = PostingRequest.objects.select_for_update().get(pk=asked.pk)
    if row.status != Status.WAITING:
        raise NotYours(_("This request has been decided already."))
    if row.created_by_id == by.pk:
        raise NotYours(_("Another operator than the one who asked has to decide."))
    PostingRequest.objects.filter(pk=row.pk).update(status=status, decided_by=by, decided_at=timezone.now())
