"""Grants: credit with a priority and an end, voided or expired where it is unused; what is left of a wallet's money.

Money is spent by priority, then granted before purchased, then the oldest first (billing/lots.py). Who paid what is
attributed later and outside the way of a request (billing/drawing.py); a wallet's `available` knows nothing of it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from django.db import OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing import balances, drawing, ledger
from billing.drawing import Course
from billing.lots import Lot, spending_order
from billing.models import ArchivedUse, Balance, Draw, Drawing, LedgerEntry, UsageRecord
from billing.models import Lot as LotRow

log = logging.getLogger(__name__)

Kind = LedgerEntry.Kind
EVERY: Final = dt.timedelta(hours=1)
"""How often a wallet's usage is drawn in passing; the draws of an hour are one row for each lot that paid."""
_AT_ONCE: Final = 200


class Conflict(Exception):
    """Nothing can be taken back of this grant; nothing was changed. The message says why."""


def give(
    *,
    balance: Balance,
    amount: int,
    reference: str,
    priority: int = 0,
    expires_at: dt.datetime | None = None,
    note: str = "",
    created_by: User | None = None,
) -> LedgerEntry:
    """Grants ledger units; the same reference grants once. Raises ledger.Unfit for what could never be spent."""
    if amount <= 0:
        raise ledger.Unfit(_("A grant is a positive amount."))
    if expires_at is not None and expires_at <= timezone.now():
        raise ledger.Unfit(_("A grant expires in the future."))
    return ledger.post(
        balance=balance, kind=Kind.GRANT, amount=amount, reference=reference, priority=priority, expires_at=expires_at,
        note=note, created_by=created_by,
    )  # fmt: skip


def void(grant: LedgerEntry, *, note: str, created_by: User | None, now: dt.datetime | None = None) -> LedgerEntry:
    """Takes back what is unused of a grant and returns the entry that does; once: a repetition returns the first one.

    Raises Conflict if it is no grant, if it is used up or has expired, or while requests in flight may need it.
    """
    if grant.kind != Kind.GRANT or grant.amount <= 0:
        raise Conflict(_("Only a grant can be voided."))
    reference = f"void:{grant.pk}"
    with transaction.atomic():
        course, free = _brought_up_to(grant.balance, now or drawing.now_of_the_database())
        earlier = LedgerEntry.objects.filter(reference=reference).first()
        if earlier is not None:
            return earlier
        lot = course.pool.lots.get(grant.pk)
        if lot is None or not lot.rest:
            raise Conflict(_("The grant is used up."))
        if lot.has_expired(course.state.until):
            raise Conflict(_("The grant has expired."))
        if lot.rest > free:
            raise Conflict(_("Requests in flight hold a part of this money; try again when they have ended."))
        entry = ledger.post(
            balance=grant.balance, kind=Kind.GRANT, amount=-lot.rest, reference=reference, note=note, of=grant,
            created_by=created_by,
        )  # fmt: skip
        course.apply(entry)
        course.save()
    return entry


def expire_due(now: dt.datetime | None = None) -> int:
    """Books what is unused of grants that have expired; returns how many entries that took.

    What requests in flight hold counts as possibly used: it stays, and is looked at again. Safe to run anywhere at the
    same time and any number of times.
    """
    moment = now or drawing.now_of_the_database()
    return sum(_expire(wallet, moment) for wallet in _with_expired(moment)[:_AT_ONCE])


def _with_expired(now: dt.datetime) -> QuerySet[Balance]:
    lots = LotRow.objects.filter(balance=OuterRef("pk"), rest__gt=0, expires_at__lte=now)
    undrawn = LedgerEntry.objects.filter(balance=OuterRef("pk"), amount__gt=0, expires_at__lte=now, lot=None)
    return balances.wallets().filter(Exists(lots) | Exists(undrawn)).order_by("pk")


def _expire(wallet: Balance, now: dt.datetime) -> int:
    count = 0
    draw(wallet, *drawing.patient(now))  # most of the work, while the wallet is open to requests
    try:
        with transaction.atomic():
            course, free = _brought_up_to(wallet, now)
            for lot in _expired(course, now):
                amount = min(lot.rest, free)
                if amount <= 0:
                    break
                course.apply(_post_expiry(wallet, lot, amount))
                free, count = free - amount, count + 1
            course.save()
    except (ledger.InsufficientFunds, OperationalError) as error:
        log.warning("wallet %d: the expiry waits: %s", wallet.pk, error)
        return 0
    return count


def _expired(course: Course, now: dt.datetime) -> list[Lot]:
    lots = [lot for lot in course.pool.lots.values() if lot.rest and lot.has_expired(now)]
    return sorted(lots, key=lambda lot: (lot.expires_at, lot.id))


def _post_expiry(wallet: Balance, lot: Lot, amount: int) -> LedgerEntry:
    grant = LedgerEntry.objects.get(pk=lot.id)
    earlier = grant.followers.filter(kind=Kind.EXPIRY).count()
    name = f"expiry:{lot.id}" if not earlier else f"expiry:{lot.id}:{earlier + 1}"
    return ledger.post(balance=wallet, kind=Kind.EXPIRY, amount=-amount, reference=name, of=grant)


def _brought_up_to(wallet: Balance, now: dt.datetime) -> tuple[Course, int]:
    """The wallet's course as it is now, and how much of its own money is free. Locks the cursor, then the wallet.

    `now` may be a while ago: of one run all wallets have the same. What was posted since is in the course as well.
    """
    course = drawing.locked(wallet)
    row = Balance.objects.select_for_update().get(pk=wallet.pk)
    course.advance(now)
    course.take_in()
    return course, max(0, row.available - row.credit_line)


def draw_due(now: dt.datetime | None = None) -> int:
    """Draws what wallets have used since their last hour; returns how many wallets that were. Safe to run anywhere."""
    moment = now or drawing.now_of_the_database()
    until, open_since = drawing.patient(moment)
    old = Q(drawing=None) | Q(drawing__until__lt=until - EVERY)
    due = list(undrawn(until).filter(old)[:_AT_ONCE])
    for wallet in due:
        draw(wallet, until, open_since)
    return len(due)


def undrawn(until: dt.datetime) -> QuerySet[Balance]:
    """The wallets with usage or entries of before this moment that are not drawn yet."""
    entries = LedgerEntry.objects.filter(
        balance=OuterRef("pk"), pk__gt=Coalesce(OuterRef("drawing__posted"), 0), created_at__lt=until
    )
    records = UsageRecord.objects.filter(tenant=OuterRef("tenant"), settled_at__lt=until, cost__gt=0)
    records = records.filter(settled_at__gte=Coalesce(OuterRef("drawing__until"), drawing.BEGINNING))
    return balances.wallets().filter(Exists(entries) | Exists(records)).order_by("pk")


def draw(wallet: Balance, until: dt.datetime, open_since: dt.datetime | None = None) -> None:
    """Draws what the wallet has used before a moment; see `drawing.Course.advance`."""
    with transaction.atomic():
        course = drawing.locked(wallet)
        course.advance(until, open_since=open_since)
        course.save()


@dataclass(frozen=True, slots=True)
class Standing:
    """A wallet's money by where it came from, in ledger units: paid + granted - owed = available + held - line."""

    available: int
    credit_line: int
    held: int
    paid: int
    grants: list[Lot]
    owed: int

    @property
    def granted(self) -> int:
        return sum(lot.rest for lot in self.grants)


def standing(wallet: Balance) -> Standing:
    """How the wallet stands now, in the order in which its grants will be spent. Writes nothing."""
    with transaction.atomic():
        _take_a_snapshot()
        course = _present(wallet)
        row = course.wallet
        held = row.tenant.reservations.aggregate(sum=Sum("amount"))["sum"] or 0
    lots = [lot for lot in course.pool.lots.values() if lot.rest]
    return Standing(
        available=row.available,
        credit_line=row.credit_line,
        held=held,
        paid=sum(lot.rest for lot in lots if not lot.is_granted),
        grants=sorted((lot for lot in lots if lot.is_granted), key=spending_order),
        owed=course.pool.owed,
    )


def _present(wallet: Balance) -> Course:
    """The wallet's course as it would be if everything that settled were drawn."""
    row = Balance.objects.select_related("tenant").get(pk=wallet.pk)
    course = Course(row, Drawing.objects.filter(balance=row).first())
    course.advance(timezone.now() + drawing.GRACE)
    return course


def left_of(entry: LedgerEntry) -> int | None:
    """What is left now of what the entry brought in, in ledger units; None of an entry that brought in nothing."""
    if entry.amount < 0 or entry.balance.kind != Balance.Kind.WALLET:
        return None
    found = _present(entry.balance).pool.lots.get(entry.pk)
    return found.rest if found else 0


def _take_a_snapshot() -> None:
    """All queries of the transaction see one state of the books; inside another transaction that is not to be had."""
    if connection.vendor == "postgresql" and len(connection.savepoint_ids) == 0:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def paid_by(record: UsageRecord) -> list[tuple[int | None, int]]:
    """Which lots paid a request, by their entries' ids, and how much each; None: nobody did. Empty: not drawn yet.

    As it was paid; what corrections gave back later is not taken off.
    """
    alone = Draw.objects.filter(record=record.pk, of=None)
    if alone.exists():
        return _slice(_pieces(alone), 0, record.cost)
    stretch = Draw.objects.filter(
        balance__tenant=record.tenant_id, since__lte=record.settled_at, at__gt=record.settled_at, record=None, of=None
    )
    first = stretch.first()
    if first is None:
        return []
    begins = _before(record, first)
    return _slice(_pieces(stretch), begins, begins + record.cost)


def _before(record: UsageRecord, stretch: Draw) -> int:
    """What the requests before this one in its stretch cost, without those that were drawn alone."""
    alone = Draw.objects.filter(
        balance=stretch.balance_id, at__gte=stretch.since, at__lt=stretch.at, record__isnull=False
    )
    earlier = Q(settled_at__lt=record.settled_at) | Q(settled_at=record.settled_at, pk__lt=record.pk)
    rows = UsageRecord.objects.filter(earlier, tenant=record.tenant_id, settled_at__gte=stretch.since)
    rows = rows.exclude(pk__in=alone.values("record"))
    return int(rows.aggregate(sum=Sum("cost"))["sum"] or 0)


def _pieces(draws: QuerySet[Draw]) -> Iterator[tuple[int | None, int]]:
    """Who paid which part, in order; a part that nobody paid at first may have been paid by later lots."""
    for draw in draws.order_by("pk"):
        left = draw.amount
        if draw.lot_id is None:
            for payment in draw.followers.filter(amount__gt=0).order_by("pk"):
                yield payment.lot_id, payment.amount
                left -= payment.amount
        if left:
            yield draw.lot_id, left


def _slice(pieces: Iterable[tuple[int | None, int]], begins: int, ends: int) -> list[tuple[int | None, int]]:
    """What of the pieces, laid end to end, lies in [begins, ends)."""
    found, at = [], 0
    for lot, amount in pieces:
        part = min(ends, at + amount) - max(begins, at)
        if part > 0:
            found.append((lot, part))
        at += amount
    return found


@dataclass(frozen=True, slots=True)
class Difference:
    """A wallet whose lots, draws and books do not agree; all in ledger units."""

    balance_id: int
    rests: int
    """Of its lots, as they are kept, less what is owed."""
    drawn: int
    """The same by the draws."""
    booked: int
    """The same by ledger and usage, as far as they are drawn."""


def differences(*, of: Balance | None = None) -> list[Difference]:
    """The wallets (or whether this one) whose lots do not add up; none if all is well. Read-only."""
    states = Drawing.objects.select_related("balance").order_by("pk")
    if of is not None:
        states = states.filter(balance=of)
    return [row for row in map(_compare, states) if not _agrees(row)]


def _agrees(row: Difference) -> bool:
    return row.rests == row.drawn == row.booked


def _compare(state: Drawing) -> Difference:
    wallet = state.balance
    draws = Draw.objects.filter(balance=wallet)
    course = Course(wallet, state)
    opened, rests = (
        LotRow.objects.filter(balance=wallet).aggregate(s=Sum(name))["s"] or 0 for name in ("amount", "rest")
    )
    paid = draws.filter(lot__isnull=False).aggregate(s=Sum("amount"))["s"] or 0
    unpaid = draws.filter(lot=None).aggregate(s=Sum("amount"))["s"] or 0
    settled = draws.filter(lot__isnull=False, of__lot=None, of__isnull=False).aggregate(s=Sum("amount"))["s"] or 0
    posted = wallet.ledger_entries.filter(pk__lte=state.posted).aggregate(s=Sum("amount"))["s"] or 0
    records = UsageRecord.objects.filter(tenant=wallet.tenant_id, settled_at__lt=state.until)
    used = records.exclude(pk__in=state.in_flight).aggregate(s=Sum("cost"))["s"] or 0
    archived = ArchivedUse.objects.filter(balance=wallet).aggregate(s=Sum("cost"))["s"] or 0
    return Difference(wallet.pk, rests - course.pool.owed, opened - paid - (unpaid - settled), posted - used - archived)
