"""What the books are told: holds, settlements and progress as rows, and the columns they become. Values only."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from billing.kinds import KINDS, NOTHING, Usage

log = logging.getLogger(__name__)


class Idempotency(msgspec.Struct, frozen=True):
    """By what a client makes several requests one: SHA-256 digests, in hex."""

    value: str
    """Of the `Idempotency-Key` header's value."""
    body: str
    """Of the path and the body."""


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reservation to be: everything that anyone needs to settle it should its owner die.

    `amount` is in ledger units and taken from every leg; `legs` are balance ids in rising order; `id` is the request's
    UUID in hex; `created_at` UTC text (`timestamp`). With an `idempotency` it is made only if no earlier request of the
    same API key stands for the same value.
    """

    id: str
    legs: tuple[int, ...]
    tenant_id: int
    amount: int
    api_key_id: int
    endpoint: str
    model: str
    price_id: int
    is_stream: bool
    created_at: str
    idempotency: Idempotency | None = None

    @property
    def key(self) -> tuple[int, str] | None:
        """What names its idempotency key in the books; None if it carries none."""
        return None if self.idempotency is None else (self.api_key_id, self.idempotency.value)


@dataclass(frozen=True, slots=True)
class Held:
    """The amount was taken from every leg."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken. `balance` is the id of the leg with the least left; None if the hold had no legs.

    It had `available` ledger units left (below zero where it was overdrawn, or lowered below its use), and `tied_up` in
    open reservations, some of which will come back.
    """

    balance: int | None
    available: int = 0
    tied_up: int = 0


@dataclass(frozen=True, slots=True)
class Repeated:
    """Nothing was taken: `request` was held before.

    It is this very hold, where the answer to an earlier commit got lost, or the first request with its idempotency key,
    which is still in flight or was answered, paid for or recovered; `is_same` is False if that one's body was another.
    """

    request: str
    is_in_flight: bool = True
    is_same: bool = True


class First(msgspec.Struct, frozen=True):
    """The request that an idempotency key stands for."""

    request: str
    body: str
    is_in_flight: bool

    def repeated(self, hold: Hold) -> Repeated:
        """What a later hold with this key is answered."""
        is_same = hold.idempotency is not None and hold.idempotency.body == self.body
        return Repeated(self.request, self.is_in_flight, is_same)


Firsts = Mapping[tuple[int, str], First]
"""By API key and value."""


HoldOutcome = Held | Refused | Repeated
HELD: Final = Held()


class Settlement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A usage record to be, without what the reservation knows (key, endpoint, beginning) or only the database.

    `claimed_cost` is what the usage costs. What it costs beyond the hold is taken when it settles, as far as every leg
    goes; the record's cost is what was held and taken of it, and only the rest is written off.

    `legs` are those of the hold, `held` is its amount: a hint for the shorter way, which the reservation's own amount
    overrules. What has its default does not travel: most requests succeed and use two kinds of tokens.
    """

    id: str
    legs: tuple[int, ...]
    held: int
    tenant_id: int
    requested_model: str
    model: str
    price_id: int
    currency: str
    outcome: str = "success"
    status: int = 200
    error_code: str = ""
    usage_source: str = "upstream"
    usage: Usage = NOTHING
    claimed_cost: int
    provider_cost: int | None = None
    provider_currency: str = ""
    reported_cost: int | None = None
    channel: str = ""
    upstream_model: str = ""
    attempts: Any
    decision: Any
    first_byte_ms: int | None = None
    duration_ms: int


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an answer has come: what recovery bills if its owner dies."""

    id: str
    channel: str
    price_id: int
    """Of the model that answers, which may be a fallback."""
    usage: Usage
    is_exact: bool = False
    """The answer is whole and the counts are the upstream's own."""


class Books(Protocol):
    """One connection to the books. Every method is one transaction and raises the driver's error if it fails."""

    def post(
        self, holds: Sequence[Hold], settlements: Sequence[Settlement], owner: str
    ) -> tuple[list[HoldOutcome], set[str]]:
        """Closes each open reservation with its usage record, then takes each hold from its legs or refuses it.

        One transaction, so one wait for the disk: what the settlements give back is there for the holds. Returns the
        holds' outcomes in their order, and the ids of the reservations that were still open.
        """

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        """Which of these reservations exist: asked after a commit whose answer got lost."""

    def release(self, id_: str) -> None:
        """Gives back what a reservation holds, if it exists, without a usage record: its request was refused."""

    def note_progress(self, notes: Sequence[Progress]) -> None: ...

    def close(self) -> None: ...


def choose(
    holds: Iterable[Hold], available: Mapping[int, int], tied_up: Callable[[int], int], firsts: Firsts | None = None
) -> tuple[list[HoldOutcome], dict[int, int]]:
    """Tries holds one by one against what each balance has: the outcomes, and what to take from which.

    A hold takes from all of its legs or from none. `tied_up` says what was held on a balance before, `firsts` what the
    holds' idempotency keys stand for: that comes before money, which the first request may have spent.
    """
    outcomes: list[HoldOutcome] = []
    taken: dict[int, int] = defaultdict(int)
    bound = dict(firsts or {})

    def left(balance: int) -> int:
        return available.get(balance, -1) - taken[balance]

    for hold in holds:
        first = None if hold.key is None else bound.get(hold.key)
        tightest = min(hold.legs, key=left, default=None)
        if first is not None:
            outcomes.append(first.repeated(hold))
        elif tightest is None:
            outcomes.append(Refused(None))
        elif left(tightest) < hold.amount:
            # Below zero where a quota was lowered: how far matters for what may come back.
            rest = left(tightest) if tightest in available else 0
            outcomes.append(Refused(tightest, rest, tied_up(tightest) + taken[tightest]))
        else:
            outcomes.append(HELD)
            for balance in hold.legs:
                taken[balance] += hold.amount
            if hold.idempotency is not None:
                bound[hold.api_key_id, hold.idempotency.value] = First(hold.id, hold.idempotency.body, True)
    return outcomes, {balance: amount for balance, amount in taken.items() if amount}


def report_written_off(id_: str, amount: int) -> None:
    """Raises the alarm over a usage that neither its hold nor its balances could pay; nothing if the amount is 0."""
    if amount:
        log.error("request %s: %d ledger units were written off, its balances could not pay them", id_, amount)


def usage_columns(usage: Usage) -> dict[str, int]:
    """The counts under the names of the usage record's columns."""
    return {kind.column: getattr(usage, kind.name) for kind in KINDS}


USAGE_COLUMNS: Final = tuple(kind.column for kind in KINDS)
SETTLEMENT_COLUMNS: Final = tuple(
    name for name in Settlement.__struct_fields__ if name not in {"id", "legs", "held", "usage"}
)
"""Columns of the record that a settlement has under the same name."""
FROM_HOLD: Final = {
    "api_key_id": "api_key_id",
    "endpoint": "endpoint",
    "is_stream": "is_stream",
    "started_at": "created_at",
}
"""The record's columns that the reservation has, under its names."""
HELD_COLUMNS: Final = ", ".join(FROM_HOLD.values())
RECORD_COLUMNS: Final = ", ".join((*SETTLEMENT_COLUMNS, *USAGE_COLUMNS, *FROM_HOLD))
HOLD_FIELDS: Final = tuple(name for name in Hold.__struct_fields__ if name != "idempotency")
HOLD_COLUMNS: Final = ", ".join(HOLD_FIELDS)
