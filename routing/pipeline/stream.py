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
from typing import Any, Final, Self

from billing.kinds import Usage
from routing.endpoints.base import Form
from routing.pipeline.attempt import Attempt
from routing.pipeline.counts import counted, most_output, remarks
from routing.pipeline.outcomes import LEFT, OF_FAULT, STOPPED, SUCCESS, Close, Consequence, error_of
from routing.pipeline.run import ClientGone, Run
from routing.pipeline.whole import MOST_LOOKED_AT
from routing.providers.base import End, MalformedAnswer, Reader
from routing.wire.answer import PAUSE_BYTES, Answer, UpstreamFault
from routing.wire.events import after_marks, opens_json
from routing.wire.frames import Again
from routing.wire.values import Values

log = logging.getLogger(__name__)

Send = Callable[[bytes], Awaitable[None]]

STALL_SECONDS: Final = 30.0
"""A client that takes nothing for so long is treated as gone."""
PROGRESS_SECONDS: Final = 5.0
"""How often a stream's usage so far is written down."""
END_SECONDS: Final = 0.1
"""How long the upstream's clean end is waited for, after it has said that it is done."""
_TEXTS: Final = (b"application/json", b"application/problem", b"text/")
"""Types of answers that are none where other bytes than text were asked for."""


def _nothing() -> None:
    pass


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

    async def is_gone_within(self, seconds: float) -> bool:
        """Whether the client has left, as far as the server says so in this time."""
        await asyncio.wait({self._waiting}, timeout=seconds)
        return self._waiting.done()

    def close(self) -> None:
        self._waiting.cancel()
        self._when_gone = _nothing  # it leads back to whoever has the watch: a cycle for the garbage collector


class BrokenOff(Exception):
    """The answer is not whole, and has no place to say so: its connection must be closed without its end."""


class StreamReply:
    """A stream that has begun: its head is known, its body is written by `write`.

    Used with `with`, as `write` and then `finish`: whatever leaves the block, the stream is settled and closed.
    """

    def __init__(
        self, run: Run, attempt: Attempt, form: Form, reader: Reader, answer: Answer, watch: ClientWatch
    ) -> None:
        call, needs = run.plan.call, run.plan.needs
        self._run = run
        self._attempt = attempt
        self._form = form
        self._reader = reader
        self._answer = answer
        self._watch = watch
        self._endpoint = call.endpoint
        self.media = call.endpoint.media(call.request, answer.headers.get(b"content-type", b""))
        """Its media type where it is no event stream, but bytes that nothing may be put between."""
        self._most_output = most_output(run.cap, needs.answers, needs.uncapped)
        head = call.head(run.model, attempt.route, needs.expected_input)
        self._relay = form.relay(call.request, head, self._most_output)
        reader.abbreviates = self._relay.takes_again
        self._silence = b"" if self.media else call.endpoint.keep_alive
        self._keep_alive = run.gateway.options.keep_alive_seconds
        self._tick_seconds = min(1.0, self._keep_alive / 4)
        self._first = b""
        self._has_begun = False
        """A valid event has come; comments alone are none."""
        self._is_at_end = False
        self._broken: str | None = None
        self._is_client_gone = False
        self._is_stopped = False
        self._task: asyncio.Task[Any] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._moves = 0
        """How often something has come or gone; what has not moved between two ticks is still."""
        self._moves_seen = -1
        self._still_since = self._note_at = time.monotonic()
        self._is_sending = False
        self.headers: list[tuple[bytes, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_leaving: object) -> None:
        self.close()

    # --- before the head ---

    async def begin(self) -> None:
        """Reads up to the first valid event. Raises UpstreamFault or MalformedAnswer: another route may be tried."""
        data = await self._answer.next()
        if self.media and self._is_text():
            self._take_whole((data or b"") + await self._answer.read())
        elif data is not None and not self.media and opens_json(data):
            await self._take_json(data)
        else:
            await self._take_events(data)
        self._run.first_byte = now = time.monotonic()
        self._attempt.answered(self._answer.status, first_byte=now)
        self._note_at = self._run.first_byte + PROGRESS_SECONDS
        self._watch.when_gone(self._on_gone)
        self.headers = self._run.headers()

    def _is_text(self) -> bool:
        """Whether no sound comes but words, which are the whole answer."""
        return self._answer.headers.get(b"content-type", b"").startswith(_TEXTS)

    async def _take_json(self, data: bytes) -> None:
        """One object is an answer given at once, several are a stream's pieces: it shows in the first, or behind it."""
        body, values = bytearray(data), Values()
        found = values.feed(after_marks(data))
        are_pieces = self._are_pieces(values, found)
        while not are_pieces and len(body) < MOST_LOOKED_AT:
            more = await self._answer.next()
            if more is None:
                break
            body += more
            found = values.feed(more)
            are_pieces = self._are_pieces(values, found)
        if are_pieces:
            await self._take_events(bytes(body))
        else:
            self._take_whole(bytes(body) + await self._answer.read())

    def _are_pieces(self, values: Values, found: list[bytes]) -> bool:
        return values.are_pieces or (bool(found) and self._reader.is_piece(found[0]))

    async def _take_events(self, data: bytes | None) -> None:
        passed = 0
        self._first = self._digest(data)
        while not self._has_begun:
            if self._is_at_end:
                raise MalformedAnswer("the stream ended before it began")
            passed += len(data or b"")
            if passed > PAUSE_BYTES:
                raise MalformedAnswer("nothing but comments came")
            data = await self._answer.next()
            self._first = self._digest(data) if self._first == self._silence else self._first + self._digest(data)

    def _take_whole(self, body: bytes) -> None:
        """An upstream that was asked to stream and answers at once."""
        answer = self._reader.whole(body)
        self._form.check(self._run.plan.call.request, answer)
        self._first = b"".join([self._relay.relay(piece) for piece in self._form.pieces(answer)])
        self._has_begun = True
        self._end(None)

    def _digest(self, data: bytes | None) -> bytes:
        """The client's events from the upstream's bytes (None at their end); raises MalformedAnswer."""
        out = []
        try:
            for event in self._reader.feed(data):
                if type(event) is dict:
                    out.append(self._relay.relay(event))
                    self._has_begun = True
                elif type(event) is Again:
                    out.append(self._relay.again(event))
                elif type(event) is End:
                    self._end(event.error)
                elif not out:  # a comment: its words are the upstream's own
                    out.append(self._silence)
        except MalformedAnswer as error:
            self._end(str(error))
        if data is None:
            self._is_at_end = True
        if self._relay.is_past_cap and not self._is_at_end:
            out.append(self._cut())
        return b"".join(out)

    def _cut(self) -> bytes:
        """The upstream goes on past the cap that it was given: nobody asked for more."""
        self._end(None)
        self._answer.hang_up()
        self._attempt.remark("the upstream went on past the output cap; the stream was ended there")
        return self._relay.cut()

    def _end(self, error: str | None) -> None:
        """Nothing follows; what came before an error is still relayed, if anything did."""
        self._is_at_end = True
        if error is None:
            self._relay.is_done = True
        elif not self._has_begun:
            raise MalformedAnswer(error)
        else:
            self._broken = error

    # --- after the head ---

    async def write(self, send: Send) -> None:
        """Writes the body with the server's `send`; raises ClientGone where the client cannot be reached.

        For the upstream it raises nothing but BrokenOff, where the answer is no event stream.
        """
        self._client: Send = send
        self._task = asyncio.current_task()
        self._tick = asyncio.get_running_loop().call_later(self._tick_seconds, self._on_tick)
        try:
            await self._write()
        except UpstreamFault as fault:
            await self._break_off(OF_FAULT[fault.fault], fault.detail)
        except MalformedAnswer as error:
            await self._break_off(OF_FAULT["invalid_response"], str(error))
        except ClientGone:
            raise
        except Exception:  # the last resort: whatever goes wrong, a broken answer never looks like a whole one
            log.exception("a stream failed on a fault of ours")
            await self._break_off(OF_FAULT["invalid_response"], "a fault of ours")

    def stop(self) -> None:
        """The process ends: what was received is billed, and the client told that it was not all."""
        if self._run.is_settled or self._is_stopped:
            return
        self._is_stopped = True
        if self._is_sending and self._task is not None:
            self._task.cancel()  # it takes nothing: nobody can be told
        else:
            self._answer.hang_up()

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
        self._attempt.end()
        self._settle(LEFT)

    async def _write(self) -> None:
        pending = self._first
        while not self._is_at_end:
            if pending and not self._is_client_gone:
                self._run.keep_progress(self.usage()[0])
                self._is_sending = True
                try:  # as `_send` does, without its call: every chunk of every stream comes this way
                    await self._client(pending)
                except Exception as error:
                    raise ClientGone from error
                self._is_sending = False
            try:
                data = await self._answer.next()
            except UpstreamFault:
                if not self._relay.is_complete or self._reader.is_doubtful:
                    raise
                data = None  # nothing is missing but its end
            self._moves += 1
            pending = self._silence if data == b"" else self._digest(data)
        if self._broken is not None or not self._relay.is_complete:
            if pending and not self._is_client_gone:
                self._run.keep_progress(self.usage()[0])
                await self._send(pending)
            if self._broken is not None:
                raise MalformedAnswer(self._broken)
            raise UpstreamFault("broken_stream", "the stream ended before the answer was whole")
        usage = self._settle(LEFT if self._is_client_gone else SUCCESS)
        if not self._is_client_gone:
            await self._send(pending + self._closing(usage), is_last=True)

    async def _send(self, data: bytes, *, is_last: bool = False) -> None:
        if is_last and not data:
            return
        self._is_sending = True
        try:
            await self._client(data)
        except Exception as error:  # whatever the server raises, the client cannot be reached
            raise ClientGone from error
        self._is_sending = False
        self._moves += 1

    def _closing(self, usage: Usage) -> bytes:
        return self._relay.closing(self._run.bill(usage, self._reader.reported), self._run.explanation())

    async def _break_off(self, consequence: Consequence, detail: str) -> None:
        """The upstream failed after the first byte: bills what was received and says so to the client.

        Raises BrokenOff where only the end of the connection can say it.
        """
        if self._is_client_gone:
            self._settle(LEFT)
            return
        if self._is_stopped:
            consequence, detail = STOPPED, "this process ended"
        self._attempt.fail(consequence, detail)
        self._settle(consequence.close)
        if self.media:
            raise BrokenOff
        error = error_of(consequence, None, status=0, wait=0.0, has_begun=True)
        call = self._run.plan.call
        await self._send(call.endpoint.error_event(error, call.id, self._relay))

    def _on_gone(self) -> None:
        """The client left: the upstream is stopped, or read on where its vendor charges anyway."""
        if not self._run.is_settled:
            self._is_client_gone = True
            if not self._attempt.route.channel.drains:
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
        elif now - self._still_since >= self._keep_alive:
            self._answer.wake()
        if now >= self._note_at:
            self._note_progress()
        self._tick = asyncio.get_running_loop().call_later(self._tick_seconds, self._on_tick)

    # --- what it used ---

    def _settle(self, close: Close) -> Usage:
        """Settles once, with the best figures there are; the usage that was settled with."""
        usage, source = self.usage()
        if not self._run.is_settled:
            for remark in remarks(self._reader, self._most_output):
                self._attempt.remark(remark)
            if source == "upstream" and close is SUCCESS:
                self._run.teach(usage)
            self._run.settle(close, usage, source, reported_cost=self._reader.told_cost)
        return usage

    def usage(self) -> tuple[Usage, str]:
        """The upstream's own figures wherever they appeared, else an estimate of what was received."""
        return counted(self._reader, self._received, self._most_output)

    def _received(self) -> Usage:
        return self._endpoint.received(self._relay, self._run.plan.needs)

    def _note_progress(self) -> None:
        self._note_at = time.monotonic() + PROGRESS_SECONDS
        usage, _source = self.usage()
        self._run.note_progress(usage)
