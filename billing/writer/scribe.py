"""The thread's side of the writer: commits what the inbox has, whatever the database does meanwhile."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from django.db import connection

from accounts.errors import ServiceUnavailable
from billing import corrections
from billing.books import AWAY, Books, HoldOutcome, Repeated, Settlement
from billing.spool import Spool
from billing.writer.inbox import Answer, Batch, Inbox, Waiting

log = logging.getLogger(__name__)

_RECONNECT_PAUSE: Final = 0.25
_CROWD: Final = 6
"""So many waiting holds do not wait for settlements as well."""
_MOST_LATE: Final = 20


class Scribe:
    """Writes one inbox to the books, on a connection that it opens anew when it is lost."""

    def __init__(
        self, inbox: Inbox, connect: Callable[[], Books], owner: str, spool: Spool | None = None
    ) -> None:  # fmt: skip
        self._inbox = inbox
        self._connect = connect
        self._owner = owner
        self._spool = spool
        self._books: Books | None = None
        self._late: deque[Settlement] = deque()
        """Outcomes that came when their requests had been closed already."""
        self._has_more = False
        """A full batch was written: there may be more that nobody rings for."""

    def run(self) -> None:
        """Until the inbox is closed, and then until everything is written or the time is over."""
        inbox = self._inbox
        while not inbox.is_closing or inbox.has_work or self._late:
            self._wait()
            try:
                self._write_what_can_be_written()
                inbox.is_away = False
            except AWAY as error:
                self._lose_connection(error)
                if inbox.is_out_of_time:
                    break
        if self._books is not None:
            self._books.close()
        connection.close()
        self._give_up()

    def _wait(self) -> None:
        """Returns when there is something to write, or to try again."""
        if self._inbox.is_closing or (self._has_more and not self._inbox.is_away):
            return
        self._inbox.wait(_RECONNECT_PAUSE if self._inbox.is_away else None)

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
        batch = self._inbox.batch()
        if len(batch.holds) >= _CROWD and batch.settlements:
            self._post(self._books, Batch(holds=batch.holds))
            self._post(self._books, Batch(settlements=self._inbox.batch().settlements))
        elif batch.holds or batch.settlements:
            self._post(self._books, batch)
        while (id_ := self._inbox.take_release()) is not None:
            self._books.release(id_)  # one that gets lost is released by the audit
        notes = self._inbox.take_notes()
        if notes:
            self._books.note_progress(notes)
        self._correct_late()

    def _post(self, books: Books, batch: Batch) -> None:
        """Commits the batch, strikes it off, and answers."""
        known = _known(books, batch.holds)
        wanted = [
            waiting
            for waiting in batch.holds
            if waiting.hold.id not in known and (waiting.is_uncertain or not waiting.future.done())
        ]
        for waiting in wanted:
            waiting.is_uncertain = True
        outcomes: list[HoldOutcome] = []
        settled: set[str] = set()
        if wanted or batch.settlements:
            outcomes, settled = books.post([waiting.hold for waiting in wanted], batch.settlements, self._owner)
        self._late += [each for each in batch.settlements if each.id not in settled]
        if batch.is_full:
            self._has_more = True
        self._inbox.strike(batch)
        answers: list[tuple[Waiting, Answer]] = list(zip(wanted, outcomes, strict=True))
        if len(wanted) < len(batch.holds):
            sent = {waiting.hold.id for waiting in wanted}
            answers += [(row, _answer_unsent(row, known)) for row in batch.holds if row.hold.id not in sent]
        self._inbox.answer(answers)
        self._forget([settlement.id for settlement in batch.settlements if settlement.id in settled])

    def _correct_late(self) -> None:
        """Outcomes of requests that others have closed, a few at a time: nobody waits for them."""
        for _number in range(min(_MOST_LATE, len(self._late))):
            try:
                corrections.settle_late(self._late[0])
            except AWAY:
                raise
            except Exception:  # one that cannot be booked must not keep the others, nor the writer, from going on
                log.exception("a late outcome was refused by the database: %s", self._late[0].id)
            self._forget([self._late.popleft().id])
        self._has_more = self._has_more or bool(self._late)

    def _forget(self, ids: Sequence[str]) -> None:
        """What is settled is not in flight any more."""
        self._inbox.in_flight.difference_update(ids)
        if self._spool is not None:
            self._spool.forget(ids)

    def _lose_connection(self, error: Exception) -> None:
        if not self._inbox.is_away:
            log.error("the database is away, the writer waits: %s", error)
        self._inbox.is_away = True
        if self._books is not None:
            try:
                self._books.close()
            except AWAY:
                pass
        self._books = None
        connection.close()
        self._inbox.answer([(waiting, ServiceUnavailable()) for waiting in self._inbox.take_late()])
        time.sleep(0.05)

    def _write_one_by_one(self, books: Books) -> None:
        """After a fault that is a row's own: everything else is written, the bad row is left to the audit.

        Raises what AWAY names; what is not written yet is then still queued.
        """
        batch = self._inbox.batch()
        for waiting in batch.holds:
            alone = Batch(holds=[waiting])
            try:
                self._post(books, alone)
            except AWAY:
                raise
            except Exception:  # reported to its request; nothing was held
                log.exception("a hold was refused by the database: %s", waiting.hold.id)
                self._inbox.strike(alone)
                self._inbox.answer([(waiting, ServiceUnavailable())])
        for settlement in batch.settlements:
            self._settle_alone(books, settlement)
        self._has_more = True  # perhaps, and nobody rings for what was left behind

    def _settle_alone(self, books: Books, settlement: Settlement) -> None:
        """Money before the story: texts that a column refuses (NUL, too long) do not make an answer free."""
        bare = msgspec.structs.replace(
            settlement, attempts=[], decision={}, error_code="", requested_model=settlement.model, upstream_model=""
        )
        for attempt in (settlement, bare):
            try:
                return self._post(books, Batch(settlements=[attempt]))
            except AWAY:
                raise
            except Exception:  # its reservation stays open and is released by the audit
                log.exception("a settlement was refused by the database: %s", settlement.id)
        self._inbox.strike(Batch(settlements=[settlement]))
        self._forget([settlement.id])
        return None

    def _give_up(self) -> None:
        """At the end: whoever still waits is told, and what stays unsettled is named."""
        batch = self._inbox.everything()
        self._inbox.answer([(waiting, ServiceUnavailable()) for waiting in batch.holds])
        for settlement in batch.settlements:
            log.error("not settled at shutdown, left to recovery: %s", settlement.id)


def _known(books: Books, holds: Sequence[Waiting]) -> set[str]:
    """Holds that an earlier commit, whose answer got lost, has made."""
    uncertain = [waiting.hold.id for waiting in holds if waiting.is_uncertain]
    return books.held_ids(uncertain) if uncertain else set()


def _answer_unsent(waiting: Waiting, known: set[str]) -> Answer:
    """For a hold that needed no commit: it was made before, or nobody waits for it any more."""
    id_ = waiting.hold.id
    return Repeated(id_) if id_ in known else ServiceUnavailable()
