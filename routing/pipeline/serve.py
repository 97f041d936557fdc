"""The life of one request, from top to bottom, the same for every endpoint.

`serve` tells the story: resolve the model and rank its routes (plan.py), admit the request (rate limits here, then the
hold in admission.py), try the routes in order until one answers, relay the answer, settle. Ranking comes before the
hold because a request that no route can serve is refused without one (ADR 0003). Whatever happens after the hold, the
request settles exactly once, which also gives back what the rate limits counted: what leaves the run's block by an
exception is settled there, a whole answer where it is read, a stream where it ends. A stream is returned begun but
unsettled; the API plane writes it (routing/api/plane.py), and its `close` is the last resort.

A request whose idempotency key stands for another one is not admitted: it gets that one's answer, or is told its id
(`repeat`, ADR 0013).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from msgspec.structs import replace

from accounts.errors import GatewayError
from accounts.limits import Standing
from billing.books import Repeated
from billing.kinds import Usage
from billing.reservations import KeyStands
from routing.catalogue.snapshot import RouteView
from routing.endpoints.base import Form
from routing.errors import IdempotencyKeyInUse, IdempotencyKeyMismatch, IdempotencyKeyUsed, NoAvailableChannel
from routing.pipeline.admission import admit
from routing.pipeline.attempt import Attempt, AttemptFailed
from routing.pipeline.call import Call, Option, UntilGone, WholeReply
from routing.pipeline.counts import counted, most_output, remarks
from routing.pipeline.forms import Forms
from routing.pipeline.gateway import Gateway
from routing.pipeline.outcomes import LEFT, SUCCESS
from routing.pipeline.plan import resolve
from routing.pipeline.run import ClientGone, Run
from routing.pipeline.stream import ClientWatch, StreamReply
from routing.pipeline.whole import read_whole
from routing.providers import ADAPTERS, recognise
from routing.providers.base import Adapter, MalformedAnswer, Reader, UpstreamCall, UpstreamRequest
from routing.wire import fake
from routing.wire.answer import Answer
from routing.wire.writing import LARGE

_MOST_ERROR_BYTES = 64 * 1024
_IN_PART = frozenset((206, 226))
"""Success with a range or a difference (RFC 9110, section 15.3.7; RFC 3229): nobody asked for either."""
_WORTH_ASKING = 0.25
"""Seconds after which a whole answer's client may have left."""
_MOST_WAIT = 0.02
"""Seconds that the web server is given to say that the client has left, also where every core is busy."""
_SHARE_OF_WAIT = 0.02
"""The same as a share of the time that the answer took, where that is less."""
Reply = WholeReply | StreamReply


async def serve(call: Call, gateway: Gateway, until_gone: UntilGone) -> Reply:
    """One request.

    Raises a GatewayError for whatever the client must be told instead, ClientGone if nobody is left to be told.
    """
    forms = await _forms_of(call) if call.body_bytes > LARGE and call.endpoint.over else None
    plan = resolve(call, gateway.health, forms)
    standing = await gateway.limiter.admit(call.id, call.caller.limits, plan.limited_tokens)
    try:
        run = await admit(plan, standing, gateway)
    except BaseException as error:
        gateway.limiter.finish(call.id, call.caller.limits, asked=plan.limited_tokens, used=0)
        if isinstance(error, KeyStands):
            return repeat(error.first, call, standing, gateway)
        raise
    with run:
        if call.request.is_stream:
            return await _first_stream(run, until_gone)
        run.until_gone = until_gone
        return await _first_answer(run, None)


async def _forms_of(call: Call) -> Forms:
    """A large request said in other formats, in a thread: it lets go of the interpreter every few milliseconds."""
    forms = Forms(call)
    await asyncio.to_thread(forms.say_ahead)
    return forms


async def _first_stream(run: Run, until_gone: UntilGone) -> Reply:
    """The first route's stream; stops trying as soon as the client leaves. (A whole answer is read all the same.)"""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - coroutines run in tasks
    watch = ClientWatch(until_gone(), task.cancel)
    try:
        return await _first_answer(run, watch)
    except BaseException as error:
        watch.close()
        if watch.is_gone and isinstance(error, asyncio.CancelledError):
            task.uncancel()  # it was the watch that cancelled, not the server
            raise ClientGone from None
        raise


# --- repeat: what stands for an idempotency key already --------------------------------------------------------------


def repeat(first: Repeated, call: Call, standing: Standing, gateway: Gateway) -> WholeReply:
    """The answer that the first request with this key got, as long as it is at hand in this process.

    Raises IdempotencyKeyMismatch, IdempotencyKeyInUse or IdempotencyKeyUsed.
    """
    if not first.is_same:
        raise IdempotencyKeyMismatch
    public_id = call.public_id(first.request)
    if first.is_in_flight:
        raise IdempotencyKeyInUse(public_id)
    reply = gateway.answers.find(first.request)
    if reply is None:
        raise IdempotencyKeyUsed(public_id)
    headers = [pair for pair in reply.headers if not pair[0].startswith(b"x-ratelimit-")]
    return WholeReply([*headers, *standing.headers, (b"idempotent-replayed", b"true")], reply.body, reply.media)


# --- try: the routes in order ----------------------------------------------------------------------------------------


async def _first_answer(run: Run, watch: ClientWatch | None) -> Reply:
    """The first route's answer that comes, inside the attempt limit and the retry budget; with a watch, a stream's.

    If none comes, the client is told of the last failure: the routes before it were only worth trying first.
    """
    health, now = run.gateway.health, time.monotonic()
    health.retries.note_request(now)
    errors: list[GatewayError] = []
    was_sent = False
    for option in run.plan.options:
        channel = option.route.channel
        if health.reason_out(option.route.id, channel.id, channel.concurrency, now) is not None:
            continue  # it went out while others were tried
        if errors:
            if watch is None and await _is_client_gone(run):
                raise ClientGone  # another answer would be paid for and read by nobody
            if not _may_go_on(run, len(errors), now, was_sent=was_sent):
                break
        try:
            with run.attempt(option) as attempt:
                return await _exchange(run, attempt, option, watch)
        except AttemptFailed as failure:
            # Without the exception, whose frames lead back to this one: a circle that only the garbage collector finds.
            errors.append(failure.error)
            was_sent = failure.was_sent
            run.is_sent = False  # what failed costs nothing, whoever leaves now
            now = time.monotonic()
    raise errors.pop() if errors else NoAvailableChannel(retry_after=1)


def _may_go_on(run: Run, tried: int, now: float, *, was_sent: bool) -> bool:
    """An attempt that never reached its upstream put no load on it: the next one needs no budget."""
    if tried >= run.gateway.options.most_attempts:
        return False
    return not was_sent or run.gateway.health.retries.take(now)


async def _exchange(run: Run, attempt: Attempt, option: Option, watch: ClientWatch | None) -> Reply:
    """Sends the request on the route; returns when the answer, or a stream's first event, is in hand."""
    route = option.route
    state = run.gateway.health.routes[route.id]
    adapter = ADAPTERS[state.dialect or route.channel.provider]
    upstream_call = _upstream_call(run, option, adapter, is_met=bool(state.dialect))
    asked = await _asked_in_turns(adapter, upstream_call) if upstream_call.is_large else adapter.request(upstream_call)
    answer = await _send(run, route, asked, is_stream=upstream_call.is_stream)
    try:
        # Asked in the dialect known so far, read in the one that its headers show: related dialects differ in reading.
        state.dialect = recognise(route.channel.provider, answer.headers)
        adapter = ADAPTERS[state.dialect]
        if not 200 <= answer.status < 300:
            body = (await answer.read())[:_MOST_ERROR_BYTES]
            answer.close()
            raise attempt.refuse(adapter.refusal(answer.status, answer.headers, body, upstream_call), answer.status)
        if answer.status in _IN_PART:
            raise MalformedAnswer(f"a part of an answer came ({answer.status})")
        reader = adapter.open(upstream_call)
        if watch is not None:
            stream = StreamReply(run, attempt, option.form, reader, answer, watch)
            await stream.begin()
            return stream
        return await _whole(run, attempt, option.form, reader, answer)
    except BaseException:
        answer.close()
        raise


def _upstream_call(run: Run, option: Option, adapter: Adapter, *, is_met: bool) -> UpstreamCall:
    call, needs, channel = run.plan.call, run.plan.needs, option.route.channel
    return UpstreamCall(
        endpoint=option.form.name,
        path=option.form.path,
        body=option.body,
        upstream_model=option.route.upstream_name,
        host=channel.origin.host if channel.origin else "",
        secret=channel.secret,
        # A fallback may write less than the model that was asked for.
        cap=min(run.cap, option.model.output_limit or run.cap),
        answers=needs.answers,
        is_stream=call.request.is_stream or adapter.prefers_stream(needs.answers, is_met=is_met),
        options=channel.options,
        headers=call.headers,
        is_translated=option.form is not call.endpoint,
        is_large=call.body_bytes > LARGE,
    )


async def _asked_in_turns(adapter: Adapter, upstream_call: UpstreamCall) -> UpstreamRequest:
    """A large request, translated in a thread and written piece by piece: others have their turn meanwhile."""
    asked = await asyncio.to_thread(adapter.request, upstream_call)
    pieces = list(asked.pieces)
    for piece in asked.unwritten or ():
        pieces.append(piece)
        await asyncio.sleep(0)
    return replace(asked, pieces=tuple(pieces), unwritten=None)


def _send(run: Run, route: RouteView, asked: UpstreamRequest, *, is_stream: bool) -> Awaitable[Answer]:
    """The answer, once its head is in."""
    origin, timeouts = route.channel.origin, route.channel.timeouts
    assert origin is not None  # noqa: S101 - a channel without one is out before this
    if origin.scheme == "fake":
        run.note_sent()
        return fake.answer(origin, asked)
    if not is_stream:
        timeouts = timeouts.for_whole_answer
    return run.gateway.client.post(
        origin, asked.path, asked.headers, asked.body, timeouts, run.note_sent, asked.pieces
    )  # fmt: skip


# --- relay: a whole answer (a stream has its own file) ---------------------------------------------------------------


async def _whole(run: Run, attempt: Attempt, form: Form, reader: Reader, answer: Answer) -> WholeReply:
    """Reads the answer to its end, makes it ours and settles it.

    Some upstreams stream although nobody asked them to, others answer whole where a stream was asked for. A client that
    leaves meanwhile does not stop it: upstreams go on and charge, so the whole answer is billed.
    """
    call, first_byte = run.plan.call, time.monotonic()
    body = await read_whole(form, call.request, reader, answer)
    form.check(call.request, body)
    answer.close()
    run.first_byte = first_byte
    attempt.answered(answer.status, first_byte=first_byte)
    attempt.end()
    usage, source = _counted(run, attempt, form, reader, body)
    bill = run.bill(usage, reader.reported)
    head = call.head(run.model, attempt.route, run.plan.needs.expected_input)
    whole = form.complete(call.request, body, head, bill, run.explanation())
    if source == "upstream":
        run.teach(usage)
    media = call.endpoint.media(call.request, answer.headers.get(b"content-type", b""))
    reply = WholeReply([*run.headers(), (b"x-costrouter-cost", bill.cost.encode())], whole, media)
    close = LEFT if await _is_client_gone(run) else SUCCESS
    run.settle(close, usage, source, reported_cost=reader.told_cost)
    if call.idempotency is not None:
        run.gateway.answers.keep(call.id, reply)
    return reply


async def _is_client_gone(run: Run) -> bool:
    """Whether nobody waits for a whole answer any more. Nobody leaves within quick ones."""
    taken = time.monotonic() - run.plan.call.started
    if run.until_gone is None or taken < _WORTH_ASKING:
        return False
    watch = ClientWatch(run.until_gone(), lambda: None)
    try:
        return await watch.is_gone_within(min(_MOST_WAIT, taken * _SHARE_OF_WAIT))
    finally:
        watch.close()


def _counted(run: Run, attempt: Attempt, form: Form, reader: Reader, body: dict[str, Any]) -> tuple[Usage, str]:
    """What a whole answer used, and what is odd about it."""
    needs = run.plan.needs
    most = most_output(run.cap, needs.answers, needs.uncapped)
    for remark in remarks(reader, most):
        attempt.remark(remark)
    return counted(reader, lambda: form.estimate(body, needs), most)
