"""A stream on its way: from the first valid event to the settling.

Headers go out only when the first valid event is in hand. After that a failure is one error event and the end, without
[DONE]; a client that leaves stops the upstream at once (or is read to the end, where the channel says so) and pays for
what was received. Memory is constant: what the client does not take, the upstream is not asked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from django.conf import settings

from billing import reservations
from billing.books import Progress
from billing.kinds import NOTHING, Usage
from costrouter.errors import GatewayError
from routing.endpoints.chat.stream import ChatRelay, Tally, public_usage
from routing.errors import UpstreamError, UpstreamTimeout
from routing.pipeline.run import Run
from routing.providers.base import Adapter, MalformedAnswer
from routing.selection.health import Health
from routing.wire.client import PAUSE_BYTES, Answer, UpstreamFault
from routing.wire.events import KEEP_ALIVE, Comment, EventParser, EventTooLarge

log = logging.getLogger(__name__)

Send = Callable[[bytes], Awaitable[None]]

STALL_SECONDS: Final = 30.0
"""A client that takes nothing for so long is treated as gone."""
PROGRESS_SECONDS: Final = 5.0
END_SECONDS: Final = 0.1
_KEEP_ALIVE_SECONDS: Final = settings.KEEP_ALIVE_SECONDS
_TICK_SECONDS: Final = min(1.0, _KEEP_ALIVE_SECONDS / 4)
DONE_EVENT: Final = b"[DONE]"


class ClientGone(Exception):
    """The client has left; there is nobody to answer."""


class ClientWatch:
    """Notices when the client leaves, and calls whoever is responsible then."""

    def __init__(self, until_gone: Awaitable[Any], when_gone: Callable[[], object]) -> None:
        self._when_gone = when_gone
        self._waiting = asyncio.ensure_future(until_gone)
        self._waiting.add_done_callback(self._on_done)
        self.is_gone = False

    def _on_done(self, waiting: asyncio.Future[Any]) -> None:
        if not waiting.cancelled():
            self.is_gone = True
            self._when_gone()

    def when_gone(self, callback: Callable[[], object]) -> None:
        """From now on `callback` is called; at once if the client has left already."""
        self._when_gone = callback
        if self.is_gone:
            callback()

    def close(self) -> None:
        self._waiting.cancel()


class StreamReply:
    """A stream that has begun: its head is known, its body is written by `write`."""

    def __init__(
        self,
        run: Run,
        adapter: Adapter,
        answer: Answer,
        health: Health,
        watch: ClientWatch,
        *,
        strips_timings: bool,
        started: float,
    ) -> None:
        call, route = run.plan.call, run.route
        assert route is not None  # noqa: S101 - an attempt has a route
        request = call.request
        self._run = run
        self._adapter = adapter
        self._answer = answer
        self._health = health
        self._watch = watch
        self._route = route
        self._started = started
        self._parser = EventParser()
        self._tally = Tally(request.choices, adapter.usage)
        self._relay = ChatRelay(
            public_id=call.public_id,
            model=run.model.name,
            created=int(call.started_at),
            shows_usage=request.wants_usage,
            strips_timings=strips_timings,
            tally=self._tally,
            choices=request.choices,
        )
        self._first = b""
        self._has_begun = False
        """A valid event has come; comments alone are none."""
        self._is_at_end = False
        self._broken: MalformedAnswer | None = None
        self._is_client_gone = False
        self._is_closed = False
        self._task: asyncio.Task[Any] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._moves = 0
        """How often something has come or gone; what has not moved between two ticks is still."""
        self._moves_seen = -1
        self._still_since = started
        self._is_sending = False
        self._note_at = started + PROGRESS_SECONDS
        self.headers: list[tuple[bytes, bytes]] = []

    # --- before the head ---

    async def begin(self) -> None:
        """Reads up to the first valid event. Raises UpstreamFault or MalformedAnswer: another route may be tried."""
        while not self._has_begun:
            if self._is_at_end:
                raise MalformedAnswer("the stream ended before it began")
            if len(self._first) > PAUSE_BYTES:
                raise MalformedAnswer("nothing but comments came")
            self._first += self._digest(await self._answer.next())
        now = time.monotonic()
        self._run.first_byte = now
        self._watch.when_gone(self._on_gone)
        self._run.note_attempt("answered", started=self._started, status=self._answer.status)
        self._health.routes[self._route.id].succeeded(now, now - self._started)
        self.headers = self._run.headers()

    def _digest(self, data: bytes | None) -> bytes:
        """The client's events from the upstream's bytes (None at their end); raises MalformedAnswer."""
        try:
            events = self._parser.finish() if data is None else self._parser.feed(data)
        except EventTooLarge as error:
            raise MalformedAnswer("an event is too large") from error
        if data is None:
            self._is_at_end = True
        out = []
        try:
            for event in events:
                if type(event) is Comment:
                    out.append(event + b"\n\n")
                elif event == DONE_EVENT:
                    self._relay.is_done = self._is_at_end = True
                    break
                else:
                    out.append(self._relay.relay(self._adapter.event(event)))
                    self._has_begun = True
        except MalformedAnswer as error:
            if not self._has_begun:
                raise
            self._broken = error  # what came before it is still relayed
            self._is_at_end = True
        return b"".join(out)

    # --- after the head ---

    async def write(self, send: Send) -> None:
        """Writes the body with the server's `send`; raises ClientGone where the client cannot be reached.

        Never raises for the upstream; `close` must follow, whatever happens.
        """
        self._client: Send = send
        self._task = asyncio.current_task()
        self._tick = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._on_tick)
        try:
            await self._write()
        except UpstreamFault as fault:
            await self._break_off(fault.fault, fault.detail)
        except MalformedAnswer as error:
            await self._break_off("invalid_response", str(error))
        except ClientGone:
            raise
        except Exception:  # the last resort: whatever goes wrong, a broken answer never looks like a whole one
            log.exception("a stream failed on a fault of ours")
            await self._break_off("invalid_response", "a fault of ours")

    async def finish(self) -> None:
        """Waits a moment for the upstream's clean end, so that its connection can be kept."""
        if self._relay.is_done and not self._is_client_gone:
            try:
                await self._answer.next(END_SECONDS)
            except UpstreamFault:
                return

    def close(self) -> None:
        """Ends whatever is still open, and settles if nothing has yet: what ends here was cut off by the client."""
        if self._tick is not None:
            self._tick.cancel()
        self._watch.close()
        self._answer.close()
        if not self._is_closed:
            self._is_closed = True
            self._health.channels[self._route.channel.id].in_flight -= 1
        self._settle("client_gone")

    async def _write(self) -> None:
        pending = self._first
        while not self._is_at_end:
            if pending and not self._is_client_gone:
                self._is_sending = True
                try:  # what `_send` does, here without its call: every chunk of every stream comes this way
                    await self._client(pending)
                except Exception as error:
                    raise ClientGone from error
                self._is_sending = False
            data = await self._answer.next()
            self._moves += 1
            pending = KEEP_ALIVE if data == b"" else self._digest(data)
        if self._broken is not None or not self._relay.is_complete:
            if pending and not self._is_client_gone:
                await self._send(pending)
            raise self._broken or UpstreamFault("broken_stream", "the stream ended before the answer was whole")
        usage = self._settle("client_gone" if self._is_client_gone else "success")
        if not self._is_client_gone:
            await self._send(pending + self._closing(usage))

    async def _send(self, data: bytes) -> None:
        self._is_sending = True
        try:
            await self._client(data)
        except Exception as error:  # whatever the server raises, the client cannot be reached
            raise ClientGone from error
        self._is_sending = False
        self._moves += 1

    def _closing(self, usage: Usage) -> bytes:
        run = self._run
        shown = public_usage(usage, self._tally.reported_fields, *run.shown_cost(usage))
        return self._relay.closing(shown, run.explanation() if run.plan.call.wants_explanation else None)

    async def _break_off(self, fault: str, detail: str) -> None:
        """The upstream failed after the first byte: bills what was received and says so to the client."""
        if self._is_client_gone:
            self._settle("client_gone")
            return
        self._run.attempts[-1] |= {"outcome": fault, "detail": detail[:500]}
        self._health.routes[self._route.id].failed(time.monotonic())
        timed_out = fault.endswith("_timeout")
        self._settle("timeout" if timed_out else "upstream_error")
        error: GatewayError = (
            UpstreamTimeout() if timed_out else UpstreamError("The upstream broke off before the answer was complete.")
        )
        await self._send(b"data: " + orjson.dumps(error.envelope) + b"\n\n")

    def _on_gone(self) -> None:
        """The client left: the upstream is stopped, or read on where its vendor charges anyway."""
        if not self._run.is_settled:
            self._is_client_gone = True
            if not self._route.channel.drains:
                self._answer.hang_up()

    def _on_tick(self) -> None:
        """Looks after the stream now and then, so that a chunk needs no timer of its own."""
        now = time.monotonic()
        if self._moves != self._moves_seen:
            self._moves_seen, self._still_since = self._moves, now
        elif self._is_sending:
            if now - self._still_since > STALL_SECONDS and self._task is not None:
                self._is_client_gone = True
                self._task.cancel()
                return
        elif now - self._still_since >= _KEEP_ALIVE_SECONDS:
            self._answer.wake()
        if now >= self._note_at:
            self._note_progress()
        self._tick = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._on_tick)

    # --- what it used ---

    def _settle(self, outcome: str) -> Usage:
        """Settles once, with the best figures there are; the usage that was settled with."""
        usage, source = self.usage()
        if not self._run.is_settled:
            if source == "upstream" and outcome == "success":
                self._run.teach(self._health, usage)
            status = 200 if outcome in {"success", "client_gone"} else 504 if outcome == "timeout" else 502
            code = {"upstream_error": "upstream_error", "timeout": "upstream_timeout"}.get(outcome, "")
            self._run.settle(outcome=outcome, status=status, error_code=code, usage=usage, source=source)
        return usage

    def usage(self) -> tuple[Usage, str]:
        """The upstream's own figures wherever they appeared, else an estimate of what was received."""
        tally = self._tally
        if tally.reported is not None:
            return tally.reported, "upstream"
        if tally.timed is not None and self._run.plan.call.request.choices == 1:
            return tally.timed, "upstream"
        output = tally.received_tokens()
        if not output:
            return NOTHING, "none"
        return Usage(input=self._run.plan.expected_input, output=output), "estimated"

    def _note_progress(self) -> None:
        self._note_at = time.monotonic() + PROGRESS_SECONDS
        usage, _source = self.usage()
        run = self._run
        reservations.note_progress(Progress(run.plan.call.id, self._route.channel.name, run.price.id, usage))
