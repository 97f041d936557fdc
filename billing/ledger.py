"""The ledger: postings that are not usage, and the identity that proves the books.

Per balance, at every moment: available + open holds = credit line + ledger entries - usage.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum
from django.utils.translation import gettext_lazy as _

from accounts.errors import GatewayError
from accounts.models import User
from billing.models import ArchivedUse, Balance, LedgerEntry
from billing.snapshot import snapshot


class InsufficientFunds(GatewayError):
    """A posting would take more than is available; nothing was changed."""

    status = 409
    type = "invalid_request_error"
    code = "insufficient_funds"


# The kinds that may take a wallet below zero: money that has left already.
_MAY_OVERDRAW = frozenset({LedgerEntry.Kind.REFUND})


def post(
    *,
    balance: Balance,
    kind: LedgerEntry.Kind,
    amount: int,
    reference: str,
    note: str = "",
    created_by: User | None = None,
) -> LedgerEntry:
    """Posts `amount` ledger units (negative takes money away) and returns the entry.

    The same reference posts once: a repetition returns the first entry and changes nothing. Raises
    InsufficientFunds if a posting other than a refund would take more than is available.
    """
    try:
        with transaction.atomic():
            entry = LedgerEntry.objects.create(
                balance=balance, kind=kind, amount=amount, reference=reference, note=note, created_by=created_by
            )
            _move(balance, amount, may_overdraw=kind in _MAY_OVERDRAW)
    except IntegrityError:
        earlier = LedgerEntry.objects.filter(reference=reference, balance=balance, kind=kind, amount=amount).first()
        if earlier is None:
            raise
        return earlier
    return entry


def set_credit_line(*, balance: Balance, credit_line: int) -> None:
    """Grants a credit line of so many ledger units; lowering it never takes more than is available."""
    with transaction.atomic():
        current = Balance.objects.select_for_update().get(pk=balance.pk)
        _move(balance, credit_line - current.credit_line, may_overdraw=False)
        Balance.objects.filter(pk=balance.pk).update(credit_line=credit_line)


def _move(balance: Balance, amount: int, *, may_overdraw: bool) -> None:
    rows = Balance.objects.filter(pk=balance.pk)
    if amount < 0 and not may_overdraw:
        rows = rows.filter(available__gte=-amount)
    if not rows.update(available=F("available") + amount):
        raise InsufficientFunds(str(_("The balance does not cover this amount.")))


@dataclass(frozen=True, slots=True)
class Account:
    """The identity's terms for one balance, in ledger units."""

    balance_id: int
    available: int
    held: int
    credit_line: int
    posted: int
    used: int

    @property
    def difference(self) -> int:
        """Zero if the books are right."""
        return self.available + self.held - (self.credit_line + self.posted - self.used)


def accounts() -> list[Account]:
    """The identity's terms of every balance, read in one snapshot of the database."""
    with snapshot():
        held = sums_by_leg("billing_reservation", "amount")
        posted = dict(LedgerEntry.objects.order_by().values_list("balance_id").annotate(total=Sum("amount")))
        used = used_by_balance()
        return [
            Account(row.pk, row.available, held.get(row.pk, 0), row.credit_line, posted.get(row.pk, 0), used[row.pk])
            for row in Balance.objects.order_by("pk")
        ]


def used_by_balance() -> Counter[int]:
    """What requests took from each balance, of records that are archived too."""
    used = Counter(sums_by_leg("billing_usagerecord", "cost"))
    used.update(dict(ArchivedUse.objects.order_by().values_list("balance_id").annotate(total=Sum("cost"))))
    return used


_LEGS: Final = {"postgresql": "jsonb_array_elements_text(legs) AS leg(id)", "sqlite": "json_each(legs) AS leg"}
_LEG_ID: Final = {"postgresql": "leg.id::bigint", "sqlite": "leg.value"}


def sums_by_leg(table: str, column: str) -> dict[int, int]:
    """What the rows took from each balance; every one of their legs gave the whole."""
    vendor = connection.vendor
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_LEG_ID[vendor]}, sum({column}) FROM {table}, {_LEGS[vendor]} GROUP BY 1"  # noqa: S608 - constants
        )
        return {balance_id: int(total) for balance_id, total in cursor.fetchall()}
