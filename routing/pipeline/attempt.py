"""One try of one route inside one request: it takes the channel's place, ends exactly once, and is its own record."""

from __future__ import annotations

import logging
import time
from math import floor
from types import TracebackType
from typing import Final, NoReturn, Self

import msgspec

from accounts.errors import GatewayError
from routing.catalogue.snapshot import RouteView
from routing.pipeline.outcomes import OF_FAULT, OF_MEANING, Consequence, Ending, Mark, error_of
from routing.providers.base import MalformedAnswer, Refusal
from routing.selection.health import ACCOUNT_REST, CHANNEL_REST, Health
from routing.wire.answer import UpstreamFault

log = logging.getLogger(__name__)

_MOST_DETAIL: Final = 500
_MOST_REMARKS: Final = 100


class AttemptRecord(msgspec.Struct):
    """An attempt as it is stored with its request; milliseconds since the request began.

    `detail` is for operators only.
    """

    channel: str
    upstream_model: str
    outcome: Ending | None
    status: int | None
    detail: str
    started_ms: int
    duration_ms: int


class AttemptFailed(Exception):
    """This route did not answer; another may. `error` is what the client is told if none does."""

    def __init__(self, error: GatewayError, *, was_sent: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.was_sent = was_sent


class Attempt:
    """Made with `with`: whatever leaves the block by an exception ends the attempt.

    `answered` is followed by `end`: at once, or by the stream at its end. A failure is `fail`, or `refuse` where the
    upstream said why; both end it. The channel's place is given back by `end`, nowhere else.
    """

    __slots__ = ("_channel", "_health", "_is_over", "_started", "_state", "record", "route")

    def __init__(self, health: Health, route: RouteView, *, request_started: float) -> None:
        now = time.monotonic()
        self.route = route
        self._health = health
        self._started = now
        self._is_over = False
        self._state = health.routes.recall(route.id)
        self._channel = health.channels.recall(route.channel.id)
        if self._state.opened:
            self._state.started(now)
        self._channel.in_flight += 1
        self.record = AttemptRecord(
            route.channel.name, route.upstream_name, None, None, "", floor((now - request_started) * 1000), 0
        )

    def answered(self, status: int, *, first_byte: float) -> None:
        """The answer has begun (a stream) or is there: good for the route. Times are of the monotonic clock."""
        now, record = time.monotonic(), self.record
        record.outcome, record.status = Ending.ANSWERED, status
        record.duration_ms = floor((now - self._started) * 1000)
        self._state.succeeded(now, first_byte - self._started)

    def end(self) -> None:
        """Gives the place back, once. What has no ending by now was cancelled, which says nothing of its route."""
        if self._is_over:
            return
        self._is_over = True
        self._channel.in_flight -= 1
        if self.record.outcome is None:
            self._note(Ending.CANCELLED, time.monotonic())
            self._state.ended_without_verdict()

    def fail(self, consequence: Consequence, detail: str, *, refusal: Refusal | None = None, status: int = 0) -> float:
        """The end by a fault or a refusal; returns how long the route rests now, in seconds."""
        now = time.monotonic()
        if self.record.outcome is None:
            self._note(consequence.ending, now, status or None, detail)
        else:  # it had begun to answer: status and duration stay those of the answer's beginning
            self.record.outcome, self.record.detail = consequence.ending, detail[:_MOST_DETAIL]
        wait = 0.0
        match consequence.mark:
            case Mark.BAD:
                self._state.failed(now)
                self._health.note_trouble(self.route.id)
            case Mark.REST:
                self._state.rest(now, refusal.retry_after if refusal else None)
                self._health.note_trouble(self.route.id)
                wait = self._state.resting_until - now
            case Mark.REST_CHANNEL:
                self._rest_channel("refuses our key", status, CHANNEL_REST)
            case Mark.REST_ACCOUNT:
                self._rest_channel("says that our account is empty", status, ACCOUNT_REST)
            case Mark.NONE:
                self._state.ended_without_verdict()
        self.end()
        return wait

    def _rest_channel(self, what: str, status: int, seconds: float) -> None:
        self._state.ended_without_verdict()
        log.error("channel %s %s (%d); it rests for %d seconds", self.route.channel.id, what, status, seconds)
        self._health.rest_channel(self.route.channel.id, seconds)

    def remark(self, text: str) -> None:
        """Something odd about a good answer: kept with the attempt, and logged once for each channel."""
        self.record.detail = self.record.detail or text[:_MOST_DETAIL]
        said = self._channel.remarks
        if text not in said and len(said) < _MOST_REMARKS:
            said.add(text)
            log.warning("channel %s: %s", self.route.channel.id, text)

    def refuse(self, refusal: Refusal, status: int) -> GatewayError | AttemptFailed:
        """Ends with the upstream's error; returns what to raise: the client's fault as it is, else AttemptFailed."""
        consequence = OF_MEANING[refusal.meaning]
        wait = self.fail(consequence, refusal.detail, refusal=refusal, status=status)
        error = error_of(consequence, refusal, status=status, wait=wait)
        if consequence.ending is Ending.REFUSED_CONTENT:
            return error
        return AttemptFailed(error, was_sent=consequence.was_sent)

    def _note(self, ending: Ending, now: float, status: int | None = None, detail: str = "") -> None:
        record = self.record
        record.outcome, record.status = ending, status
        record.detail = detail[:_MOST_DETAIL] or record.detail  # of which a remark may have been made before
        record.duration_ms = floor((now - self._started) * 1000)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, UpstreamFault):
            self._fail_over(OF_FAULT[error.fault], error.detail, error)
        if isinstance(error, MalformedAnswer):
            self._fail_over(OF_FAULT["invalid_response"], str(error), error, status=200)
        self.end()

    def _fail_over(self, consequence: Consequence, detail: str, cause: Exception, *, status: int = 0) -> NoReturn:
        self.fail(consequence, detail, status=status)
        error = error_of(consequence, None, status=status, wait=0.0)
        raise AttemptFailed(error, was_sent=consequence.was_sent) from cause
