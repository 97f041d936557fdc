"""The process's one writer of money: a thread that commits many holds, or many settlements, together.

What arrives while a commit is under way goes together into the next. Nobody waits for a settlement, so it goes along
with a few holds, or after ten milliseconds by itself: one transaction, one wait for the disk. Where many wait for their
holds, those go first, alone, and the settlements follow while the answers are on their way (ADR 0004). While the
database is away, or hangs, holds wait up to three seconds (two hundred of them at most) and are then refused;
settlements wait for as long as it takes.

`inbox.py` is the event loop's side, `scribe.py` the thread's; a `Batch` is what goes from one to the other.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

from accounts.errors import ServiceUnavailable
from billing.books import Books, Hold, HoldOutcome, Progress, Settlement, open_books
from billing.spool import Spool
from billing.writer.inbox import MOST_WAITING, Inbox
from billing.writer.scribe import Scribe

__all__ = ["MOST_WAITING", "Writer"]


class Writer:
    """A journal (billing/journal.py): accepts work from the event loop's thread and has it written by its own."""

    def __init__(self, connect: Callable[[], Books] = open_books, spool_folder: Path | None = None) -> None:
        self._connect = connect
        self._spool_folder = spool_folder
        self._spool: Spool | None = None
        self._inbox = Inbox()
        self._thread: threading.Thread | None = None

    @property
    def in_flight(self) -> set[str]:
        """Ids that this process holds money for and has not settled yet. Not a copy."""
        return self._inbox.in_flight

    def start(self, owner: str) -> None:
        """Begins to write, in the name of this process, for the running event loop."""
        self._inbox.open(asyncio.get_running_loop())
        if self._spool_folder is not None:
            self._spool = Spool(self._spool_folder, owner)
        scribe = Scribe(self._inbox, self._connect, owner, self._spool)
        self._thread = threading.Thread(target=scribe.run, name="writer", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 10.0) -> None:
        """Writes what is still to be written, for at most `patience` seconds, and ends."""
        if self._thread is not None:
            self._inbox.close(time.monotonic() + patience)
            self._thread.join(patience)
            self._inbox.end()
            self._thread = None
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.close()

    def hold(self, hold: Hold) -> asyncio.Future[HoldOutcome]:
        if self._spool is not None and not self._spool.has_room():
            raise ServiceUnavailable
        return self._inbox.hold(hold)

    def keep(self, progress: Progress) -> None:
        if self._spool is not None:
            self._spool.note(progress)

    def settle(self, settlement: Settlement) -> None:
        self._inbox.settle(settlement)

    def note(self, progress: Progress) -> None:
        self._inbox.note(progress)

    def release(self, id_: str) -> None:
        self._inbox.release(id_)
