"""The event loop's side of the writer: what waits to be written, and the answers that come back."""

from __future__ import annotations

import asyncio
import queue
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from accounts.errors import ServiceUnavailable
from billing.books import HELD, Hold, HoldOutcome, Progress, Repeated, Settlement

SETTLE_WINDOW: Final = 0.010
HOLD_PATIENCE: Final = 3.0
MOST_WAITING: Final = 200
MOST_IN_BATCH: Final = 500
_WATCH_PAUSE: Final = 0.25

T = TypeVar("T")


class Waiting(msgspec.Struct, eq=False):
    """A hold whose request waits for the answer."""

    hold: Hold
    future: asyncio.Future[HoldOutcome]
    deadline: float
    is_uncertain: bool = False
    """A commit of this hold was sent, and the answer got lost."""


Answer = HoldOutcome | ServiceUnavailable


class Batch(msgspec.Struct, frozen=True):
    """What goes into one transaction."""

    holds: Sequence[Waiting] = ()
    settlements: Sequence[Settlement] = ()

    @property
    def is_full(self) -> bool:
        return MOST_IN_BATCH in {len(self.holds), len(self.settlements)}


class Inbox:
    """Queues that the event loop's thread fills and the writer's thread empties; each thread has its own methods.

    Work stays queued until it is written, so that nothing is lost with a connection.
    """

    def __init__(self) -> None:
        self._holds: deque[Waiting] = deque()
        self._settlements: deque[Settlement] = deque()
        self._notes: deque[Progress] = deque()
        self._releases: deque[str] = deque()
        """Ids of holds that were made, or may have been, for requests that were refused or left meanwhile."""
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_rung = False
        self._settle_timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting_count = 0
        self._is_watching = False
        self._stop_by: float | None = None
        self.is_away = False
        """Whether the database is; the scribe finds out, or the watch when a commit hangs."""
        self.in_flight: set[str] = set()
        """Ids that this process holds money for and has not settled yet."""

    # --- the event loop's thread ---

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._settle_timer = None  # an earlier loop's would never fire
        self._is_rung = False
        self._is_watching = True
        self._stop_by = None
        self._refuse_late()

    def close(self, stop_by: float) -> None:
        """What is queued is still written, until this moment of the monotonic clock at the latest."""
        self._stop_by = stop_by
        self._bell.put(None)

    def end(self) -> None:
        """After the writer's thread has ended."""
        self._is_watching = False

    def hold(self, hold: Hold) -> asyncio.Future[HoldOutcome]:
        """The outcome, once committed. Raises ServiceUnavailable if too many wait for an absent database."""
        if self.is_away and self._waiting_count >= MOST_WAITING:
            raise ServiceUnavailable
        assert self._loop is not None  # noqa: S101 - `open` comes first
        future: asyncio.Future[HoldOutcome] = self._loop.create_future()  # asking for the running loop costs a syscall
        self._waiting_count += 1
        self.in_flight.add(hold.id)
        self._holds.append(Waiting(hold, future, time.monotonic() + HOLD_PATIENCE))
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
        self._releases.append(id_)
        self._ring()

    def note(self, progress: Progress) -> None:
        self._notes.append(progress)
        self._ring()

    def _settle_now(self) -> None:
        self._settle_timer = None
        if self._settlements:
            self._ring()

    def _refuse_late(self) -> None:
        """Every quarter of a second: holds that wait in a commit which hangs are refused.

        They stay queued, since the commit may yet succeed; what it then holds is given back at once.
        """
        if not self._is_watching or self._loop is None:
            return
        now = time.monotonic()
        for waiting in self._holds.copy():
            if waiting.deadline > now:
                break
            if not waiting.future.done():
                self.is_away = True
                waiting.future.set_exception(ServiceUnavailable())
        self._loop.call_later(_WATCH_PAUSE, self._refuse_late)

    def _ring(self) -> None:
        """Wakes the writer's thread, once for however much there is: waking costs more than what it is woken for."""
        if not self._is_rung:
            self._is_rung = True
            self._bell.put(None)

    def _resolve(self, answers: Sequence[tuple[Waiting, Answer]]) -> None:
        """A hold whose request is gone already is given back."""
        self._waiting_count -= len(answers)
        for waiting, answer in answers:
            is_held = answer is HELD or answer == Repeated(waiting.hold.id)
            if not is_held:
                self.in_flight.discard(waiting.hold.id)
            if waiting.future.done():
                if is_held:
                    self.release(waiting.hold.id)
            elif isinstance(answer, ServiceUnavailable):
                waiting.future.set_exception(answer)
            else:
                waiting.future.set_result(answer)

    # --- the writer's thread ---

    @property
    def is_closing(self) -> bool:
        return self._stop_by is not None

    @property
    def is_out_of_time(self) -> bool:
        return self._stop_by is not None and time.monotonic() >= self._stop_by

    @property
    def has_work(self) -> bool:
        """Whether there is something that must not be left; notes may be."""
        return bool(self._holds or self._settlements or self._releases)

    def wait(self, timeout: float | None) -> None:
        """Returns when there is something to write, or after so many seconds."""
        try:
            self._bell.get(timeout=timeout)
        except queue.Empty:
            return
        self._is_rung = False

    def batch(self) -> Batch:
        """The next work, still queued until it is struck off."""
        return Batch(_first(self._holds), _first(self._settlements))

    def strike(self, batch: Batch) -> None:
        """Takes work off that has been written; it is what came first."""
        _drop(self._holds, len(batch.holds))
        _drop(self._settlements, len(batch.settlements))

    def everything(self) -> Batch:
        """All that is queued, be it more than one batch."""
        return Batch(list(self._holds.copy()), list(self._settlements.copy()))

    def take_release(self) -> str | None:
        return self._releases.popleft() if self._releases else None

    def take_notes(self) -> list[Progress]:
        """Of every stream the latest note, off the queue: one that gets lost is followed by the next."""
        notes = list(self._notes.copy())
        _drop(self._notes, len(notes))
        return list({note.id: note for note in notes}.values())

    def take_late(self) -> list[Waiting]:
        """Holds that have waited too long, off the queue; those that may have been made are released."""
        now = time.monotonic()
        late = []
        while self._holds and self._holds[0].deadline <= now:
            late.append(self._holds.popleft())
        self._releases.extend(waiting.hold.id for waiting in late if waiting.is_uncertain)
        return late

    def answer(self, answers: Sequence[tuple[Waiting, Answer]]) -> None:
        assert self._loop is not None  # noqa: S101 - set by open()
        if answers and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve, answers)


def _first(rows: deque[T]) -> list[T]:
    """At most a batch from the left. The other thread only appends."""
    return list(islice(rows.copy(), MOST_IN_BATCH))


def _drop(rows: deque[Any], count: int) -> None:
    for _ in range(count):
        rows.popleft()
