"""Attributing what was spent to the lots that paid it, outside the way of a request.

Per wallet there is a cursor (`Drawing`): what settled before its moment is drawn, and so are the ledger entries up to
its id. Between two entries, and two moments at which a lot expires, usage is one sum and one draw for each lot that
paid, however many requests it was.

Why nothing is drawn twice or left out. A record appears in the same commit in which its reservation goes, and settles
after it was held. So what is missing from a sum although it settled before the cursor can only belong to a request that
was open when the sum was made. Those requests are read first, left out of the sum, and remembered with the cursor;
the next run looks up what became of them. Entries are committed in the order of their ids (`ledger.post`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import takewhile
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet, Sum, Value
from django.db.models.functions import Abs, Coalesce

from billing import lots
from billing.lots import Cause, Lot, Pool
from billing.models import ArchivedUse, Balance, Draw, Drawing, LedgerEntry, Reservation, UsageRecord
from billing.models import Lot as LotRow

GRACE: Final = dt.timedelta(minutes=2)
"""What settled less long ago waits for the next run, so that few requests are in flight across a cursor."""
_SKEW: Final = dt.timedelta(minutes=1)
"""By which the clock of a process, which dates its reservations, may differ from the database's."""
BEGINNING: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

Kind = LedgerEntry.Kind


class Course:
    """One wallet's lots, going on from where its cursor stands; nothing is written before `save`."""

    def __init__(self, wallet: Balance, state: Drawing | None) -> None:
        self.wallet = wallet
        self.state = state or Drawing(balance=wallet, until=BEGINNING)
        rows = wallet.lots.filter(rest__gt=0)
        self.pool = Pool(lots={row.pk: _lot(row) for row in rows}, earlier=self._earlier)
        self._before = {row.pk: row.rest for row in rows}
        self._met: dict[int, lots.Draw] = {}
        """Earlier draws that were looked at: what this course moves of them, their rows do not say yet."""
        self.pool.unpaid = [_draw(row) for row in _left(wallet).filter(lot=None).order_by("at", "pk")]

    def advance(self, until: dt.datetime, *, open_since: dt.datetime | None = None) -> None:
        """Draws what settled before `until`, and the entries that were posted before it, in their order.

        Requests in flight that began before `open_since` (by default all) may settle before `until`, but commit later.
        """
        open_ = self._open(open_since)
        for record in self._stragglers(open_):
            self.pool.spend(record.cost, Cause(record.settled_at, record=record.pk))
        if self.state.until == BEGINNING:
            self._spend_archived()
        for entry in self._entries_before(until):
            self._use(max(entry.created_at, self.state.until), open_)
            self.apply(entry)
        self._use(max(until, self.state.until), open_)
        self.state.in_flight = [str(id_) for id_ in open_]

    def take_in(self) -> None:
        """Applies all that has been posted, whatever its moment: the entry posted next must not pass it over."""
        for entry in self._entries():
            self.apply(entry)

    def apply(self, entry: LedgerEntry) -> None:
        """What an entry does to the lots, at the place that the cursor has reached."""
        cause = Cause(max(entry.created_at, self.state.until), entry=entry.pk)
        if entry.amount < 0:
            self._take(entry, cause)
        else:
            rest = self.pool.give_back(entry.amount, cause) if entry.kind == Kind.ADJUSTMENT else entry.amount
            if rest:
                self.pool.open(_new_lot(entry, rest))
        self.state.posted = entry.pk

    def _take(self, entry: LedgerEntry, cause: Cause) -> None:
        lot = self.pool.lots.get(entry.of_id or 0)
        rest = -entry.amount - (self.pool.take(lot, -entry.amount, cause) if lot else 0)
        if rest:
            order = lots.refund_order if entry.takes_money else lots.spending_order
            self.pool.spend(rest, cause, order=order)

    def _use(self, until: dt.datetime, open_: list[UUID]) -> None:
        """Draws usage up to `until`, in stretches within which no lot expires."""
        since = self.state.until
        ends = {lot.expires_at for lot in self.pool.lots.values() if lot.expires_at and since < lot.expires_at < until}
        for at in sorted(ends | {until}):
            if at > since and (amount := _used(self.wallet, since, at, open_)):
                self.pool.spend(amount, Cause(at, since))
            since = max(since, at)
        self.state.until = since

    def _entries_before(self, until: dt.datetime) -> Iterator[LedgerEntry]:
        """Up to the first that says a later moment: clocks differ, and the cursor is a number that goes up."""
        return takewhile(lambda entry: entry.created_at < until, self._entries())

    def _entries(self) -> QuerySet[LedgerEntry]:
        return LedgerEntry.objects.filter(balance=self.wallet, pk__gt=self.state.posted).order_by("pk")

    def _open(self, since: dt.datetime | None) -> list[UUID]:
        rows = Reservation.objects.filter(tenant=self.wallet.tenant_id)
        if since is not None:
            rows = rows.filter(created_at__lt=since)
        return list(rows.order_by("pk").values_list("pk", flat=True))

    def _stragglers(self, open_: list[UUID]) -> QuerySet[UsageRecord]:
        """Of the requests that were in flight at the cursor: what settled before it all the same."""
        closed = {UUID(id_) for id_ in self.state.in_flight} - set(open_)
        records = UsageRecord.objects.filter(pk__in=closed, settled_at__lt=self.state.until, cost__gt=0)
        return records.only("pk", "cost", "settled_at").order_by("settled_at", "pk")

    def _spend_archived(self) -> None:
        """Once, at the beginning of history: what was archived has sums and no moments of its own."""
        uses = ArchivedUse.objects.filter(balance=self.wallet, cost__gt=0).select_related("archive")
        for use in uses.order_by("archive__ends"):
            for entry in self._entries_before(use.archive.ends):
                self.apply(entry)
            self.pool.spend(use.cost, Cause(use.archive.ends, use.archive.ends))

    def save(self) -> None:
        """Writes the draws, the lots' rests and the cursor."""
        self._save_lots()
        rows: dict[int, Draw] = {}
        for draw in self.pool.drawn:
            of = None if draw.of is None else rows[draw.of.number].pk if draw.of.number in rows else draw.of.number
            rows[draw.number] = Draw.objects.create(
                balance=self.wallet, lot_id=draw.lot and draw.lot.id, amount=draw.amount, since=draw.cause.since,
                at=draw.cause.at, record=draw.cause.record, entry_id=draw.cause.entry, of_id=of,
            )  # fmt: skip
        self.state.save()

    def _save_lots(self) -> None:
        for lot in self.pool.lots.values():
            if lot.id in self._before or LotRow.objects.filter(pk=lot.id).exists():
                LotRow.objects.filter(pk=lot.id).exclude(rest=lot.rest).update(rest=lot.rest)
            else:
                LotRow.objects.create(
                    entry_id=lot.id, balance=self.wallet, amount=lot.amount, rest=lot.rest, is_granted=lot.is_granted,
                    priority=lot.priority, starts_at=lot.starts_at, expires_at=lot.expires_at,
                )  # fmt: skip

    def _earlier(self) -> Iterator[lots.Draw]:
        """As the pool asks for it; the order is `lots.newest_first`."""
        rows = _left(self.wallet).filter(lot__isnull=False, entry=None)
        mine = {lot.id: lot for lot in self.pool.lots.values()}
        order = (F("at").desc(), F("lot__expires_at").desc(nulls_first=True), F("pk").desc())
        for found in _draws(rows.order_by(*order)):
            draw = self._met.setdefault(found.number, found)
            if draw.lot is not None:
                draw.lot = mine.setdefault(draw.lot.id, draw.lot)
            if draw.left:
                yield draw


def locked(wallet: Balance) -> Course:
    """The wallet's course, under the lock of its cursor until the transaction ends."""
    Drawing.objects.get_or_create(balance=wallet, defaults={"until": BEGINNING})
    return Course(wallet, Drawing.objects.select_for_update().get(balance=wallet))


def now_of_the_database() -> dt.datetime:
    """The clock by which records settle."""
    if connection.vendor != "postgresql":
        return dt.datetime.now(dt.UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: dt.datetime = cursor.fetchone()[0]
        return moment


def patient(now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Until when to draw in passing, and before when requests must have begun to be able to settle before that."""
    return now - GRACE, now - GRACE + _SKEW


def _used(wallet: Balance, since: dt.datetime, at: dt.datetime, open_: list[UUID]) -> int:
    """What settled in [since, at) and was not in flight. Every request takes the whole from its tenant's wallet."""
    records = UsageRecord.objects.filter(tenant=wallet.tenant_id, settled_at__gte=since, settled_at__lt=at)
    if open_:
        records = records.exclude(pk__in=open_)
    return int(records.order_by().aggregate(sum=Sum("cost"))["sum"] or 0)


def _new_lot(entry: LedgerEntry, rest: int) -> Lot:
    return Lot(
        id=entry.pk, amount=rest, rest=rest, is_granted=entry.kind == Kind.GRANT, starts_at=entry.created_at,
        priority=entry.priority or 0, expires_at=entry.expires_at,
    )  # fmt: skip


def _lot(row: LotRow) -> Lot:
    return Lot(row.pk, row.amount, row.rest, row.is_granted, row.starts_at, row.priority, row.expires_at)


def _left(wallet: Balance) -> QuerySet[Draw]:
    """The wallet's draws that were not moved on as a whole, with what is left of them."""
    moved = Coalesce(Sum(Abs("followers__amount")), Value(0))
    rows = Draw.objects.filter(balance=wallet, amount__gt=0).select_related("lot")
    return rows.annotate(left=F("amount") - moved).filter(left__gt=0)


def _draws(rows: QuerySet[Draw]) -> Iterator[lots.Draw]:
    """In portions that double, since each looks through all of them again; mostly the first one is enough."""
    start, end = 0, 200
    while portion := list(rows[start:end]):
        yield from map(_draw, portion)
        start, end = end, 2 * end


def _draw(row: Draw) -> lots.Draw:
    """Of a row of `_left`."""
    cause = Cause(row.at, row.since, row.record, row.entry_id)
    lot = None if row.lot is None else _lot(row.lot)
    return lots.Draw(lot, row.amount, cause, row.left, number=row.pk)  # type: ignore[attr-defined]  # annotated
