"""The journal: what the way of a request tells the books. This process's writer is one (billing/writer/)."""

from __future__ import annotations

import asyncio
from typing import Protocol

from billing.books import Hold, HoldOutcome, Progress, Settlement


class Journal(Protocol):
    """Takes holds, settlements and notes from the event loop's thread and returns at once."""

    def hold(self, hold: Hold) -> asyncio.Future[HoldOutcome]:
        """The outcome, once it is committed. Raises ServiceUnavailable, at once or through the future.

        Whoever stops waiting after the future is done has to release.
        """

    def settle(self, settlement: Settlement) -> None:
        """Closes the reservation with its usage record, at the latest some milliseconds from now."""

    def keep(self, progress: Progress) -> None:
        """Keeps how far an answer has come, safe from this process's death when it returns (billing/spool.py)."""

    def note(self, progress: Progress) -> None:
        """The same, safe from the machine's death some moments later; of one stream, the latest note counts."""

    def release(self, id_: str) -> None:
        """Gives back a hold whose request has ended without an attempt."""
