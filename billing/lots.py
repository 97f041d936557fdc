"""Which money is spent first: lots, what is drawn from them, and how it is given back.

Pure: no Django, no I/O. Amounts are ledger units. The order is the one that tenants read on their wallet's page:
priority, then granted before purchased, then oldest.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

NEW: Final = 2**62
"""Where the numbers of draws begin that have no row yet."""


@dataclass(slots=True)
class Lot:
    """What one entry (by its id) brought in, and what is left of it; it pays until before `expires_at`."""

    id: int
    amount: int
    rest: int
    is_granted: bool
    starts_at: dt.datetime
    priority: int = 0
    expires_at: dt.datetime | None = None

    def has_expired(self, at: dt.datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= at

    def pays_at(self, at: dt.datetime) -> bool:
        return self.starts_at <= at and not self.has_expired(at)


@dataclass(frozen=True, slots=True)
class Cause:
    """What was paid: usage that settled in [since, at), one request, or an entry that took money away."""

    at: dt.datetime
    since: dt.datetime | None = None
    record: UUID | None = None
    entry: int | None = None

    @property
    def begins(self) -> dt.datetime:
        return self.since or self.at


@dataclass(slots=True, eq=False)
class Draw:
    """A piece of a cause and the lot that paid it; None: nobody did yet. `left` was not moved on by a later draw."""

    lot: Lot | None
    amount: int
    cause: Cause
    left: int
    of: Draw | None = None
    number: int = 0
    """The later it was drawn, the higher: the id of its row, or above all ids while it has none."""

    @property
    def is_usage(self) -> bool:
        return self.cause.entry is None


def spending_order(lot: Lot) -> tuple[Any, ...]:
    return lot.priority, not lot.is_granted, lot.starts_at, lot.id


def refund_order(lot: Lot) -> tuple[Any, ...]:
    """Money that leaves the house is taken from what was paid in."""
    return lot.is_granted, lot.priority, lot.starts_at, lot.id


@dataclass(slots=True)
class Pool:
    """A wallet's lots with something left, and what nobody has paid yet, oldest first."""

    lots: dict[int, Lot] = field(default_factory=dict)
    unpaid: list[Draw] = field(default_factory=list)
    earlier: Callable[[], Iterable[Draw]] = tuple
    """What usage drew before and was not moved on, newest first (`newest_first`), without what is in `unpaid`."""
    drawn: list[Draw] = field(default_factory=list)
    """What this pool has drawn, in order."""

    @property
    def owed(self) -> int:
        return sum(draw.left for draw in self.unpaid)

    def open(self, lot: Lot) -> None:
        """A lot is there: what is owed eats it first, the oldest before."""
        self.lots[lot.id] = lot
        self._pay_owed(lot)

    def _pay_owed(self, lot: Lot) -> None:
        for draw in self.unpaid:
            amount = min(draw.left, lot.rest)
            if amount:
                self._move(draw, lot, amount, draw.cause)
        self.unpaid = [draw for draw in self.unpaid if draw.left]

    def spend(self, amount: int, cause: Cause, *, order: Callable[[Lot], Any] = spending_order) -> None:
        """Draws the amount from the lots in order; what cannot be paid is owed.

        Last come the lots that had expired, or were not there yet when a request that appears late says that it ended.
        """
        for lot in sorted(self.lots.values(), key=lambda lot: (not lot.pays_at(cause.begins), order(lot))):
            amount -= self.take(lot, amount, cause)
        if amount:
            self.unpaid.append(self._draw(None, amount, cause))

    def take(self, lot: Lot, amount: int, cause: Cause) -> int:
        """Draws as much of the amount as the lot has; returns that."""
        taken = min(amount, lot.rest)
        if taken:
            lot.rest -= taken
            self._draw(lot, taken, cause)
        return taken

    def give_back(self, amount: int, cause: Cause) -> int:
        """Unwinds what usage drew, newest first, of one moment the latest expiry first; returns what is over."""
        mine = sorted((draw for draw in [*self.drawn, *self.unpaid] if draw.left and draw.is_usage), key=newest_first)
        for draw in heapq.merge(_once(mine), self.earlier(), key=newest_first):
            if not amount:
                break
            given = min(amount, draw.left)
            amount -= given
            self._undo(draw, given, cause)
        # What is still owed is no usage but money that left: it eats what was opened again.
        self.unpaid = [draw for draw in self.unpaid if draw.left]
        for lot in sorted(self.lots.values(), key=spending_order):
            self._pay_owed(lot)
        return amount

    def _undo(self, draw: Draw, amount: int, cause: Cause) -> None:
        draw.left -= amount
        self._draw(draw.lot, -amount, cause, of=draw)
        if draw.lot is not None:
            draw.lot.rest += amount
            self.lots[draw.lot.id] = draw.lot

    def _move(self, draw: Draw, lot: Lot, amount: int, cause: Cause) -> None:
        draw.left -= amount
        lot.rest -= amount
        self._draw(lot, amount, cause, of=draw)

    def _draw(self, lot: Lot | None, amount: int, cause: Cause, of: Draw | None = None) -> Draw:
        draw = Draw(lot, amount, cause, max(0, amount), of, NEW + len(self.drawn))
        self.drawn.append(draw)
        return draw


def newest_first(draw: Draw) -> tuple[Any, ...]:
    """What nobody paid is the newest of its moment; then comes what never expires."""
    expires_at = draw.lot and draw.lot.expires_at
    return (
        -draw.cause.at.timestamp(),
        draw.lot is not None,
        -expires_at.timestamp() if expires_at else float("-inf"),
        -draw.number,
    )


def _once(draws: Iterable[Draw]) -> Iterator[Draw]:
    seen: set[int] = set()
    for draw in draws:
        if id(draw) not in seen:
            seen.add(id(draw))
            yield draw
