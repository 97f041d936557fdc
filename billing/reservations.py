"""Hold and settle: the whole money mechanism of a request.

- **Hold** lowers `available` of every leg (the tenant's wallet, each quota that applies) by the most that the request
  can cost, in an update that refuses to go below zero, and inserts a reservation named by the request id. Refused means
  that nothing was changed.
- **Settle** deletes the reservation, inserts the usage record and gives back hold minus cost, in one transaction; what
  the usage costs beyond its hold is taken as far as the legs go. Whoever deletes the reservation wins; anyone later
  finds it gone and does nothing.

Both travel through a journal, this process's writer (billing/writer/), which commits many of them together.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import time
from functools import lru_cache
from math import floor
from typing import Final

import msgspec

from accounts.errors import GatewayError
from billing.books import Hold, Refused, Repeated, Settlement
from billing.journal import Journal

MOST_LEDGER_UNITS: Final = 2**62
"""No single hold may pass this: the sum of two still fits a 64-bit column."""


class InsufficientQuota(GatewayError):
    """A balance does not cover the most that the request can cost.

    It has `available` ledger units, and `tied_up` in requests in flight; `balance` is its id where there is one.
    """

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, message: str, *, available: int, tied_up: int = 0, balance: int | None = None) -> None:
        super().__init__(message)
        self.available = available
        self.tied_up = tied_up
        self.balance = balance


class PaymentRequired(InsufficientQuota):
    """The same of a wallet, whose tenant has chosen this status for it."""

    status = 402


class QuotaExceeded(InsufficientQuota):
    """The balance is a quota: there may be money, but no more of it may be spent in this period."""

    code = "quota_exceeded"


class FundsInFlight(GatewayError):
    """Only what the tenant's own requests in flight hold is missing: it may come back at any moment."""

    status = 429
    type = "rate_limit_error"
    code = "funds_in_flight"
    retriable = True

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=1)


class KeyStands(Exception):
    """Nothing was held: the request's idempotency key stands for another, `first`."""

    def __init__(self, first: Repeated) -> None:
        super().__init__(first.request)
        self.first = first


def new_id() -> str:
    """A new request id, 32 hex digits: a UUID of version 7, so that the rows of one moment lie together (RFC 9562)."""
    random = os.urandom(10)
    text = random.hex()
    return f"{time.time_ns() // 1_000_000:012x}7{text[:3]}{'89ab'[random[9] & 3]}{text[3:18]}"


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as UTC text that both databases read into a timestamp column."""
    whole = floor(seconds)
    return f"{_second(whole)}.{str(floor((seconds - whole) * 1_000_000)).zfill(6)}"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    """The text of a whole second, which many requests share."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(" ")[:19]


class Reservations:
    """What the way of a request tells the books, within the bounds of their columns."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.keep = journal.keep
        """Keeps how far an answer has come, before that is handed to the client: a killed process loses nothing."""
        self.note = journal.note
        """Writes down how far a stream has come; the notes of a process share one statement."""

    async def hold(self, wanted: Hold) -> None:
        """Holds the amount on every leg; returns when that is committed.

        Raises InsufficientQuota or KeyStands (nothing changed) or ServiceUnavailable (what an absent database may still
        have committed is given back when it returns).
        """
        if wanted.amount > MOST_LEDGER_UNITS:
            raise InsufficientQuota("This request could cost more than any balance can hold.", available=0)
        answer = self.journal.hold(wanted)
        try:
            outcome = await answer
        except asyncio.CancelledError:
            if not answer.cancelled():  # held, and gone before it heard of it
                self.journal.release(wanted.id)
            raise
        if isinstance(outcome, Refused):
            raise InsufficientQuota(
                "The balance does not cover this request.",
                available=outcome.available,
                tied_up=outcome.tied_up,
                balance=outcome.balance,
            )
        if isinstance(outcome, Repeated) and outcome.request != wanted.id:
            raise KeyStands(outcome)

    def settle(self, settlement: Settlement) -> None:
        """Hands the outcome to the journal and returns at once; any exit may call it, a cancelled one too."""
        if max(settlement.claimed_cost, settlement.provider_cost or 0) > MOST_LEDGER_UNITS:
            settlement = _within_columns(settlement)
        self.journal.settle(settlement)


def _within_columns(settlement: Settlement) -> Settlement:
    """Claims that only a mistaken upstream can make, cut to what a 64-bit column holds."""
    provider_cost = settlement.provider_cost
    return msgspec.structs.replace(
        settlement,
        claimed_cost=min(settlement.claimed_cost, MOST_LEDGER_UNITS),
        provider_cost=None if provider_cost is None else min(provider_cost, MOST_LEDGER_UNITS),
    )
