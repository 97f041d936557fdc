"""The process's one writer of money: a thread that commits many holds, or many settlements, together.

What arrives while a commit is under way goes together into the next. Nobody waits for a settlement, so it goes along
with a few holds, or after ten milliseconds by itself: one transaction, one wait for the disk. Where many wait for their
holds, those go first, alone, and the settlements follow while the answers are on their way (ADR 0004). While the
database is away, or hangs, holds wait up to three seconds (two hundred of them at most) and are then refused;
settlements wait for as long as it takes.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from accounts.errors import ServiceUnavailable
from billing.books import AWAY, HELD, Books, Hold, HoldOutcome, Progress, Settlement, open_books

log = logging.getLogger(__name__)

SETTLE_WINDOW: Final = 0.010
HOLD_PATIENCE: Final = 3.0
MOST_WAITING: Final = 200
MOST_IN_BATCH: Final = 500
_RECONNECT_PAUSE: Final = 0.25
_WATCH_PAUSE: Final = 0.25
_CROWD: Final = 6
"""So many waiting holds do not wait for settlements as well."""

T = TypeVar("T")


class _Waiting(msgspec.Struct, eq=False):
    hold: Hold
    future: asyncio.Future[HoldOutcome]
    deadline: float
    is_uncertain: bool = False
    """A commit of this hold was sent, and the answer got lost."""


class Writer:
    """Accepts work from the event loop's thread; starts with the first request of the process."""

    def __init__(self, connect: Callable[[], Books] = open_books) -> None:
        self._connect = connect
        self._books: Books | None = None
        self._holds: deque[_Waiting] = deque()
        self._settlements: deque[Settlement] = deque()
        self._notes: deque[Progress] = deque()
        self._unwanted: deque[str] = deque()
        """Ids of holds that were made, or may have been, for requests that were refused or left meanwhile."""
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_rung = False
        self._settle_timer: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._stop_by = 0.0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_away = False
        self._waiting_count = 0
        self._has_more = False
        """A full batch was written: there may be more that nobody rings for."""
        self.owner = ""
        self.in_flight: set[str] = set()
        """Ids that this process holds money for and has not settled yet."""

    def start(self, owner: str) -> None:
        """Begins to write, in the name of this process, for the running event loop."""
        self.owner = owner
        self._loop = asyncio.get_running_loop()
        self._settle_timer = None  # an earlier loop's would never fire
        self._is_rung = False
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()
        self._refuse_late()

    def stop(self, patience: float = 10.0) -> None:
        """Writes what is still to be written, for at most `patience` seconds, and ends."""
        if self._thread is not None:
            self._stop_by = time.monotonic() + patience
            self._is_stopping = True
            self._bell.put(None)
            self._thread.join(patience)
            self._thread = None

    # --- the event loop's side ---

    def hold(self, hold: Hold) -> asyncio.Future[HoldOutcome]:
        """The outcome, once committed. Raises ServiceUnavailable if too many wait for an absent database."""
        if self._is_away and self._waiting_count >= MOST_WAITING:
            raise ServiceUnavailable
        future: asyncio.Future[HoldOutcome] = asyncio.get_running_loop().create_future()
        self._waiting_count += 1
        self.in_flight.add(hold.id)
        self._holds.append(_Waiting(hold, future, time.monotonic() + HOLD_PATIENCE))
        self._ring()
        return future

    def settle(self, settlement: Settlement) -> None:
        """Leaves the settlement for the next commit, at the latest in ten milliseconds."""
        self._settlements.append(settlement)
        if self._settle_timer is None and self._loop is not None:
            self._settle_timer = self._loop.call_later(SETTLE_WINDOW, self._settle_now)

    def release(self, id_: str) -> None:
        """Gives back a hold whose request has ended without an attempt."""
        self.in_flight.discard(id_)
        self._unwanted.append(id_)
        self._ring()

    def note_progress(self, note: Progress) -> None:
        self._notes.append(note)
        self._ring()

    def _settle_now(self) -> None:
        self._settle_timer = None
        if self._settlements:
            self._ring()

    def _refuse_late(self) -> None:
        """Every quarter of a second: holds that wait in a commit which hangs are refused.

        They stay queued, since the commit may yet succeed; what it then holds is given back at once.
        """
        if self._thread is None or self._loop is None:
            return
        now = time.monotonic()
        for waiting in self._holds.copy():
            if waiting.deadline > now:
                break
            if not waiting.future.done():
                self._is_away = True
                waiting.future.set_exception(ServiceUnavailable())
        self._loop.call_later(_WATCH_PAUSE, self._refuse_late)

    def _ring(self) -> None:
        """Wakes the writer's thread, once for however much there is: waking costs more than what it is woken for."""
        if not self._is_rung:
            self._is_rung = True
            self._bell.put(None)

    # --- the writer's thread ---

    def _run(self) -> None:
        while not self._is_stopping or self._holds or self._settlements or self._unwanted:
            self._wait()
            try:
                self._write_what_can_be_written()
                self._is_away = False
            except AWAY as error:
                self._lose_connection(error)
                if self._is_stopping and time.monotonic() >= self._stop_by:
                    break
        if self._books is not None:
            self._books.close()
            self._books = None
        self._answer([(waiting, ServiceUnavailable()) for waiting in self._holds.copy()])
        for settlement in self._settlements.copy():
            log.error("not settled at shutdown, left to recovery: %s", settlement.id)

    def _wait(self) -> None:
        """Returns when there is something to write, or to try again."""
        if self._is_stopping or (self._has_more and not self._is_away):
            return
        try:
            self._bell.get(timeout=_RECONNECT_PAUSE if self._is_away else None)
        except queue.Empty:
            return
        self._is_rung = False

    def _write_what_can_be_written(self) -> None:
        """Raises what AWAY names; the work is then still queued."""
        try:
            self._write()
        except AWAY:
            raise
        except Exception as error:  # the last resort: one bad row must not end the writing of money
            if self._books is None:
                self._lose_connection(error)
                return
            log.exception("a batch was refused by the database; its rows are tried one by one")
            self._write_one_by_one(self._books)

    def _write(self) -> None:
        if self._books is None:
            self._books = self._connect()
        self._has_more = False
        if len(self._holds) >= _CROWD and self._settlements:
            self._post(self._books, _some(self._holds), [])
            self._post(self._books, [], _some(self._settlements))
        elif self._holds or self._settlements:
            self._post(self._books, _some(self._holds), _some(self._settlements))
        while self._unwanted:
            self._books.release(self._unwanted.popleft())  # one that gets lost is released by the audit
        if self._notes:
            notes = {note.id: note for note in self._some_notes()}  # of one stream, only the latest
            self._books.note_progress(list(notes.values()))

    def _some_notes(self) -> list[Progress]:
        """Takes the notes off their queue: one that gets lost is followed by the next."""
        notes = list(self._notes.copy())
        _drop(self._notes, len(notes))
        return notes

    def _post(self, books: Books, holds: list[_Waiting], settlements: list[Settlement]) -> None:
        """Commits these, takes them off the queues, and answers."""
        known = self._known(books, holds)
        wanted = [
            waiting
            for waiting in holds
            if waiting.hold.id not in known and (waiting.is_uncertain or not waiting.future.done())
        ]
        for waiting in wanted:
            waiting.is_uncertain = True
        outcomes: list[HoldOutcome] = []
        settled: set[str] = set()
        if wanted or settlements:
            outcomes, settled = books.post([waiting.hold for waiting in wanted], settlements, self.owner)
        if MOST_IN_BATCH in {len(holds), len(settlements)}:
            self._has_more = True
        _drop(self._holds, len(holds))
        _drop(self._settlements, len(settlements))
        answers: list[tuple[_Waiting, HoldOutcome | Exception]] = list(zip(wanted, outcomes, strict=True))
        if len(wanted) < len(holds):
            sent = {waiting.hold.id for waiting in wanted}
            rest = [waiting for waiting in holds if waiting.hold.id not in sent]
            answers += [(waiting, HELD if waiting.hold.id in known else ServiceUnavailable()) for waiting in rest]
        self._answer(answers)
        self.in_flight.difference_update([settlement.id for settlement in settlements])
        if len(settled) < len(settlements):
            late = [settlement.id for settlement in settlements if settlement.id not in settled]
            log.warning("already closed, their late outcomes were dropped: %s", ", ".join(late))

    @staticmethod
    def _known(books: Books, holds: list[_Waiting]) -> set[str]:
        """Holds that an earlier commit, whose answer got lost, has made."""
        uncertain = [waiting.hold.id for waiting in holds if waiting.is_uncertain]
        return books.held_ids(uncertain) if uncertain else set()

    def _lose_connection(self, error: Exception) -> None:
        if not self._is_away:
            log.error("the database is away, the writer waits: %s", error)
        self._is_away = True
        if self._books is not None:
            try:
                self._books.close()
            except AWAY:
                pass
        self._books = None
        now = time.monotonic()
        late = []
        while self._holds and self._holds[0].deadline <= now:
            late.append(self._holds.popleft())
        self._unwanted.extend(waiting.hold.id for waiting in late if waiting.is_uncertain)
        self._answer([(waiting, ServiceUnavailable()) for waiting in late])
        time.sleep(0.05)

    def _write_one_by_one(self, books: Books) -> None:
        """After a fault that is a row's own: everything else is written, the bad row is left to the audit.

        Raises what AWAY names; what is not written yet is then still queued.
        """
        for waiting in _some(self._holds):
            try:
                self._post(books, [waiting], [])
            except AWAY:
                raise
            except Exception:  # reported to its request; nothing was held
                log.exception("a hold was refused by the database: %s", waiting.hold.id)
                self._holds.popleft()
                self._answer([(waiting, ServiceUnavailable())])
        for settlement in _some(self._settlements):
            self._settle_alone(books, settlement)
        self._has_more = True  # perhaps, and nobody rings for what was left behind

    def _settle_alone(self, books: Books, settlement: Settlement) -> None:
        """Money before the story: texts that a column refuses (NUL, too long) do not make an answer free."""
        bare = msgspec.structs.replace(
            settlement, attempts=[], decision={}, error_code="", requested_model=settlement.model, upstream_model=""
        )
        for attempt in (settlement, bare):
            try:
                return self._post(books, [], [attempt])
            except AWAY:
                raise
            except Exception:  # its reservation stays open and is released by the audit
                log.exception("a settlement was refused by the database: %s", settlement.id)
        self._settlements.popleft()
        self.in_flight.discard(settlement.id)
        return None

    def _answer(self, answers: Sequence[tuple[_Waiting, HoldOutcome | Exception]]) -> None:
        assert self._loop is not None  # noqa: S101 - set by start()
        if answers and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve, answers)

    def _resolve(self, answers: Sequence[tuple[_Waiting, HoldOutcome | Exception]]) -> None:
        """On the loop's thread. A hold whose request is gone already is given back."""
        self._waiting_count -= len(answers)
        for waiting, answer in answers:
            if answer is not HELD:
                self.in_flight.discard(waiting.hold.id)
            if waiting.future.done():
                if answer is HELD:
                    self.release(waiting.hold.id)
            elif isinstance(answer, Exception):
                waiting.future.set_exception(answer)
            else:
                waiting.future.set_result(answer)


def _some(rows: deque[T]) -> list[T]:
    """A batch from the left, still queued until it is written. The other thread only appends."""
    return list(islice(rows.copy(), MOST_IN_BATCH))


def _drop(rows: deque[Any], count: int) -> None:
    for _ in range(count):
        rows.popleft()
