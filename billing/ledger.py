"""The ledger: postings that are not usage, and the identity that proves the books.

Per balance, at every moment: available + open holds = credit line + ledger entries - usage.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Final

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from accounts.errors import GatewayError
from accounts.models import User
from billing.models import ArchivedUse, Balance, LedgerEntry
from billing.models.ledger import CONTRA
from billing.snapshot import snapshot


class InsufficientFunds(GatewayError):
    """A posting would take more than is available; nothing was changed."""

    status = 409
    type = "invalid_request_error"
    code = "insufficient_funds"


class Unfit(Exception):
    """A posting that says too little, or of an entry that it cannot be of; nothing was changed."""


_OWN_NAMES: Final = (
    "code:", "credit-note:", "dispute:", "expiry:", "invoice:", "late-", "opening:", "order:", "refund:", "trial:",
    "void:",
)  # fmt: skip
_NEED_A_REASON: Final = frozenset({LedgerEntry.Kind.ADJUSTMENT, LedgerEntry.Kind.WRITE_OFF})


def is_own_name(reference: str) -> bool:
    """Whether a reference begins as the gateway's own do: whoever took one would keep its entry from being posted."""
    return reference.lower().startswith(_OWN_NAMES)


def post(
    *,
    balance: Balance,
    kind: LedgerEntry.Kind,
    amount: int,
    reference: str,
    note: str = "",
    created_by: User | None = None,
    contra: LedgerEntry.Account | None = None,
    of: LedgerEntry | None = None,
    priority: int | None = None,
    expires_at: dt.datetime | None = None,
) -> LedgerEntry:
    """Posts `amount` ledger units (negative takes money away) and returns the entry.

    The same reference posts once: a repetition returns the first entry and changes nothing. `contra` is the other
    side, where it is not the kind's usual one. `of` is the entry that this one takes back. `priority` and `expires_at`
    are a grant's (billing/grants.py).

    Raises InsufficientFunds if a posting of other than money would take more than is available, and Unfit if a person
    gives no reason for an adjustment or a write-off, or corrects a correction or another wallet's entry.
    """
    if created_by is not None and kind in _NEED_A_REASON and not note.strip():
        raise Unfit(_("Say why: an adjustment or a write-off needs a reason."))
    if of is not None:
        _refuse_unfit(of, balance, kind)
    try:
        with transaction.atomic():
            # First the lock, then the entry: so a wallet's entries are committed in the order of their ids.
            Balance.objects.select_for_update().get(pk=balance.pk)
            entry = LedgerEntry.objects.create(
                balance=balance, kind=kind, amount=amount, contra=contra, reference=reference, note=note, of=of,
                priority=priority, expires_at=expires_at, created_by=created_by,
            )  # fmt: skip
            _move(balance, amount, may_overdraw=entry.takes_money)
    except IntegrityError:
        earlier = LedgerEntry.objects.filter(reference=reference, balance=balance, kind=kind, amount=amount).first()
        if earlier is None:
            raise
        return earlier
    return entry


def _refuse_unfit(of: LedgerEntry, balance: Balance, kind: LedgerEntry.Kind) -> None:
    if of.balance_id != balance.pk:
        raise Unfit(_("The entry belongs to another wallet."))
    if kind == of.kind == LedgerEntry.Kind.ADJUSTMENT:
        raise Unfit(_("A correction is not corrected; post another one."))


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


@dataclass(frozen=True, slots=True)
class Side:
    """What the entries of all wallets in one currency took out of an account and put into it, in ledger units."""

    currency: str
    account: LedgerEntry.Account
    debit: int
    credit: int


def trial_balance() -> list[Side]:
    """Every account of every currency that money moved on, the wallets first; the debits of a currency are its credits.

    The entries of quotas are not among them: what a quota counts is nobody's money.
    """
    totals: dict[tuple[str, LedgerEntry.Account], list[int]] = {}
    entries = LedgerEntry.objects.filter(balance__kind=Balance.Kind.WALLET).order_by()
    gained, lost = (Coalesce(Sum("amount", filter=Q(**{f"amount__{sign}": 0})), 0) for sign in ("gt", "lt"))
    for row in entries.values("balance__currency", "kind", "contra").annotate(gained=gained, lost=lost):
        other = LedgerEntry.Account(row["contra"] or CONTRA[row["kind"]])
        for account, debit, credit in (
            (LedgerEntry.Account.WALLETS, -row["lost"], row["gained"]), (other, row["gained"], -row["lost"]),
        ):  # fmt: skip
            sums = totals.setdefault((row["balance__currency"], account), [0, 0])
            sums[0], sums[1] = sums[0] + debit, sums[1] + credit
    order = list(LedgerEntry.Account)
    return [
        Side(currency, account, *sums)
        for (currency, account), sums in sorted(totals.items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    ]
