"""What the books are told: holds, settlements and progress as rows, and the columns they become. Values only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec


class Hold(msgspec.Struct, frozen=True):
    """A reservation to be: everything that anyone needs to settle it should its owner die.

    `amount` is in ledger units; `id` is the request's UUID in hex; `created_at` UTC text (`timestamp`).
    """

    id: str
    tenant_id: int
    amount: int
    api_key_id: int
    endpoint: str
    model: str
    price_id: int
    is_stream: bool
    created_at: str
    input_tokens: int


@dataclass(frozen=True, slots=True)
class HoldOutcome:
    """`available` is what the wallet had left when it refused, in ledger units."""

    is_held: bool
    available: int = 0


HELD: Final = HoldOutcome(True)


class Settlement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A usage record to be, without what the reservation knows (key, endpoint, beginning) or only the database.

    `claimed_cost` is what the usage costs; the record's cost is that or the hold, whichever is smaller. What has its
    default does not travel: most requests succeed and use two kinds of tokens.
    """

    id: str
    tenant_id: int
    requested_model: str
    model: str
    price_id: int
    currency: str
    outcome: str = "success"
    status: int = 200
    error_code: str = ""
    usage_source: str = "upstream"
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    images: int = 0
    claimed_cost: int
    provider_cost: int | None = None
    provider_currency: str = ""
    channel: str = ""
    upstream_model: str = ""
    attempts: Any
    decision: Any
    first_byte_ms: int | None = None
    duration_ms: int


class Progress(msgspec.Struct, frozen=True):
    """How far a running stream has come: what recovery bills if its owner dies."""

    id: str
    channel: str
    price_id: int
    """Of the model that answers, which may be a fallback."""
    input_tokens: int
    output_tokens: int


class Books(Protocol):
    """One connection to the books. Every method is one transaction and raises the driver's error if it fails."""

    def post(
        self, holds: Sequence[Hold], settlements: Sequence[Settlement], owner: str
    ) -> tuple[list[HoldOutcome], set[str]]:
        """Closes each open reservation with its usage record, then takes each hold from its wallet or refuses it.

        One transaction, so one wait for the disk: what the settlements give back is there for the holds. Returns the
        holds' outcomes in their order, and the ids of the reservations that were still open.
        """

    def held_ids(self, ids: Sequence[str]) -> set[str]:
        """Which of these reservations exist: asked after a commit whose answer got lost."""

    def release(self, id_: str) -> None:
        """Gives back what a reservation holds, if it exists, without a usage record: its request was refused."""

    def note_progress(self, notes: Sequence[Progress]) -> None: ...

    def close(self) -> None: ...


def choose(holds: Iterable[Hold], available: dict[int, int]) -> tuple[list[HoldOutcome], dict[int, int]]:
    """Tries holds one by one against what each tenant has: the outcomes, and what to take from whom."""
    outcomes = []
    taken: dict[int, int] = defaultdict(int)
    for hold in holds:
        left = available.get(hold.tenant_id, -1) - taken[hold.tenant_id]
        if hold.amount <= left:
            taken[hold.tenant_id] += hold.amount
            outcomes.append(HELD)
        else:
            outcomes.append(HoldOutcome(False, max(left, 0)))
    return outcomes, {tenant_id: amount for tenant_id, amount in taken.items() if amount}


SETTLEMENT_COLUMNS: Final = tuple(name for name in Settlement.__struct_fields__ if name != "id")
FROM_HOLD: Final = {
    "api_key_id": "api_key_id",
    "endpoint": "endpoint",
    "is_stream": "is_stream",
    "started_at": "created_at",
}
"""The record's columns that the reservation has, under its names."""
HELD_COLUMNS: Final = ", ".join(FROM_HOLD.values())
RECORD_COLUMNS: Final = ", ".join((*SETTLEMENT_COLUMNS, *FROM_HOLD))
HOLD_COLUMNS: Final = (
    "id, amount, tenant_id, api_key_id, endpoint, model, price_id, is_stream, created_at, input_tokens"
)
