"""The life of one request, from top to bottom, the same for every endpoint.

`serve` tells the story: resolve the model and rank its routes, admit the request (rate limits, then the hold), try
the routes in order until one answers, relay the answer, settle. Ranking comes before the hold because a request that
no route can serve is refused without one (ADR 0003). Whatever happens after the hold, the request settles exactly
once, which also gives back what the rate limits counted: what leaves the run's block by an exception is settled there,
a whole answer where it is read, a stream where it ends. A stream is returned begun but unsettled; the API plane writes
it (routing/api/plane.py), and its `close` is the last resort.

A request whose idempotency key stands for another one is not admitted: it gets that one's answer, or is told its id
(`repeat`, ADR 0013).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from accounts.limits import Standing
from billing.books import Hold, Repeated
from billing.kinds import Usage
from billing.money import PER_MILLION, to_json_number
from billing.reservations import FundsInFlight, InsufficientQuota, KeyStands, timestamp
from routing.catalogue.snapshot import RouteView
from routing.endpoints.base import LEAST_USEFUL_OUTPUT, ceiling_of
from routing.errors import IdempotencyKeyInUse, IdempotencyKeyMismatch, IdempotencyKeyUsed, NoAvailableChannel
from routing.pipeline.attempt import Attempt, AttemptFailed
from routing.pipeline.call import Call, Option, Plan, UntilGone, WholeReply
from routing.pipeline.counts import counted, most_output
from routing.pipeline.gateway import Gateway
from routing.pipeline.outcomes import SUCCESS
from routing.pipeline.plan import reason_out, resolve
from routing.pipeline.run import ClientGone, Run
from routing.pipeline.stream import ClientWatch, StreamReply
from routing.providers import ADAPTERS, recognise
from routing.providers.base import Adapter, End, MalformedAnswer, Reader, UpstreamCall
from routing.wire import fake
from routing.wire.client import MAX_BODY_BYTES, Answer

_MOST_ERROR_BYTES = 64 * 1024
_HOLD_PAUSES = (0.015, 0.035, 0.075, 0.125)
"""Seconds between the tries of a hold that lacks only what the tenant's own requests hold: 250 ms in all."""
Reply = WholeReply | StreamReply


async def serve(call: Call, gateway: Gateway, until_gone: UntilGone) -> Reply:
    """One request.

    Raises a GatewayError for whatever the client must be told instead, ClientGone if nobody is left to be told.
    """
    plan = resolve(call, gateway.health)
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
        return await first_answer(run, None)


async def _first_stream(run: Run, until_gone: UntilGone) -> Reply:
    """The first route's stream; stops trying as soon as the client leaves. (A whole answer is read all the same.)"""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - coroutines run in tasks
    watch = ClientWatch(until_gone(), task.cancel)
    try:
        return await first_answer(run, watch)
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
    return WholeReply([*headers, *standing.headers, (b"idempotent-replayed", b"true")], reply.body)


# --- admit: hold the most it can cost --------------------------------------------------------------------------------


async def admit(plan: Plan, standing: Standing, gateway: Gateway) -> Run:
    """Holds the most that the request can cost, and returns the run that owes the settling.

    What only the tenant's own requests in flight keep from it may come back at any moment, so the hold is tried again
    for a while: each try takes this process's queued settlements along, and other processes write theirs within
    milliseconds. Raises FundsInFlight after that, InsufficientQuota or KeyStands; then nothing is held.
    """
    pauses = iter(_HOLD_PAUSES)
    while True:
        try:
            return await hold_most(plan, standing, gateway)
        except InsufficientQuota as error:
            if not _will_fit(plan, error):
                raise
            pause = next(pauses, None)
            if pause is None:
                raise _funds_in_flight(plan, error) from None
        await asyncio.sleep(pause)


async def hold_most(plan: Plan, standing: Standing, gateway: Gateway) -> Run:
    """One try to hold it, or two.

    Where the cap is ours, it is lowered once to what the wallet affords, as long as that is still useful. Raises
    InsufficientQuota with the affordable number, nothing held.
    """
    cap = plan.needs.cap
    try:
        return await _hold(plan, standing, gateway, cap)
    except InsufficientQuota as error:
        cap = _affordable_cap(plan, error.available)
        if not plan.needs.is_cap_ours or not LEAST_USEFUL_OUTPUT <= cap < plan.needs.cap:
            raise _insufficient(plan, error, cap) from None
    try:
        return await _hold(plan, standing, gateway, cap)
    except InsufficientQuota as error:  # somebody else was faster
        raise _insufficient(plan, error, _affordable_cap(plan, error.available)) from None


async def _hold(plan: Plan, standing: Standing, gateway: Gateway, cap: int) -> Run:
    amount = _amount(plan, cap)
    await gateway.reservations.hold(_hold_of(plan, amount))
    model, price = plan.models[0]
    return Run(plan, gateway, standing, cap, amount, model, price)


def _amount(plan: Plan, cap: int) -> int:
    """What is held with this cap: the most that the request can cost at the dearest of its models."""
    return max([ceiling_of(plan.needs, price, cap) for _model, price in plan.models])


def _hold_of(plan: Plan, amount: int) -> Hold:
    """The hold of this amount as the books write it."""
    call = plan.call
    model, price = plan.models[0]
    return Hold(
        id=call.id,
        legs=call.caller.legs,
        tenant_id=call.caller.tenant_id,
        amount=amount,
        api_key_id=call.caller.key_id,
        endpoint=call.endpoint.name,
        model=model.name,
        price_id=price.id,
        is_stream=call.request.is_stream,
        created_at=timestamp(call.started_at),
        idempotency=call.idempotency,
    )


def _affordable_cap(plan: Plan, available: int) -> int:
    """Output tokens of one answer that so many ledger units pay for, the prompt at its most."""
    rest = available - _amount(plan, 0)
    if rest < 0:
        return 0
    rate = max(price.highest_output_rate() for _model, price in plan.models) * plan.needs.answers
    return plan.needs.cap if rate == 0 else rest * PER_MILLION // rate


def _insufficient(plan: Plan, refused: InsufficientQuota, affordable: int) -> InsufficientQuota:
    currency = plan.call.caller.currency
    cost = to_json_number(_amount(plan, plan.needs.cap), currency)
    message = (
        f"You exceeded your current quota: this request can cost up to {cost} {currency} and "
        f"{to_json_number(refused.available, currency)} {currency} are available"
    )
    if plan.needs.cap:
        message += f", which affords {affordable} output tokens. Lower max_tokens or add credit."
    else:
        message += ". Add credit."
    return InsufficientQuota(message, available=refused.available, tied_up=refused.tied_up)


def _will_fit(plan: Plan, refused: InsufficientQuota) -> bool:
    """Whether the request could be admitted if everything came back that requests in flight hold."""
    cap = min(plan.needs.cap, LEAST_USEFUL_OUTPUT) if plan.needs.is_cap_ours else plan.needs.cap
    return refused.tied_up > 0 and _amount(plan, cap) <= refused.available + refused.tied_up


def _funds_in_flight(plan: Plan, refused: InsufficientQuota) -> FundsInFlight:
    currency = plan.call.caller.currency
    cost, available, held = (
        to_json_number(amount, currency)
        for amount in (_amount(plan, plan.needs.cap), refused.available, refused.tied_up)
    )
    return FundsInFlight(
        f"This request can cost up to {cost} {currency}; {available} {currency} are available, and your requests in "
        f"flight hold {held} {currency}. Please try again in 1 s, when some of them have ended."
    )


# --- try: the routes in order ----------------------------------------------------------------------------------------


async def first_answer(run: Run, watch: ClientWatch | None) -> Reply:
    """The first route's answer that comes, inside the attempt limit and the retry budget; with a watch, a stream's.

    If none comes, the client is told of the last failure: the routes before it were only worth trying first.
    """
    health, now = run.gateway.health, time.monotonic()
    health.retries.note_request(now)
    failures: list[AttemptFailed] = []
    for option in run.plan.options:
        if reason_out(option.route, health, now) is not None:
            continue  # it went out while others were tried
        if failures and not _may_go_on(run, failures, now):
            break
        try:
            with run.attempt(option) as attempt:
                return await _exchange(run, attempt, option, watch)
        except AttemptFailed as failure:
            failures.append(failure)
            now = time.monotonic()
    raise failures[-1].error if failures else NoAvailableChannel(retry_after=1)


def _may_go_on(run: Run, failures: list[AttemptFailed], now: float) -> bool:
    """An attempt that never reached its upstream put no load on it: the next one needs no budget."""
    if len(failures) >= run.gateway.options.most_attempts:
        return False
    return not failures[-1].was_sent or run.gateway.health.retries.take(now)


async def _exchange(run: Run, attempt: Attempt, option: Option, watch: ClientWatch | None) -> Reply:
    """Sends the request on the route; returns when the answer, or a stream's first event, is in hand."""
    route = option.route
    state = run.gateway.health.routes[route.id]
    adapter = ADAPTERS[state.dialect or route.channel.provider]
    upstream_call = _upstream_call(run, route, adapter, is_met=bool(state.dialect))
    answer = await _send(run, route, adapter, upstream_call)
    try:
        # Asked in the dialect known so far, read in the one that its headers show: related dialects differ in reading.
        state.dialect = recognise(route.channel.provider, answer.headers)
        adapter = ADAPTERS[state.dialect]
        if not 200 <= answer.status < 300:
            body = (await answer.read())[:_MOST_ERROR_BYTES]
            answer.close()
            raise attempt.refuse(adapter.refusal(answer.status, answer.headers, body, upstream_call), answer.status)
        reader = adapter.open(upstream_call)
        if watch is not None:
            stream = StreamReply(run, attempt, reader, answer, watch)
            await stream.begin()
            return stream
        return await _whole(run, attempt, reader, answer, is_stream=upstream_call.is_stream)
    except BaseException:
        answer.close()
        raise


def _upstream_call(run: Run, route: RouteView, adapter: Adapter, *, is_met: bool) -> UpstreamCall:
    call, needs, channel = run.plan.call, run.plan.needs, route.channel
    return UpstreamCall(
        endpoint=call.endpoint.name,
        path=call.endpoint.path,
        body=call.body,
        upstream_model=route.upstream_name,
        host=channel.origin.host if channel.origin else "",
        secret=channel.secret,
        cap=run.cap,
        answers=needs.answers,
        is_stream=call.request.is_stream or adapter.prefers_stream(needs.answers, is_met=is_met),
    )


async def _send(run: Run, route: RouteView, adapter: Adapter, upstream_call: UpstreamCall) -> Answer:
    """The answer, once its head is in."""
    origin, asked, timeouts = route.channel.origin, adapter.request(upstream_call), route.channel.timeouts
    assert origin is not None  # noqa: S101 - a channel without one is out before this
    if origin.scheme == "fake":
        return await fake.answer(origin, asked.body)
    if not upstream_call.is_stream:
        timeouts = timeouts.for_whole_answer()
    return await run.gateway.client.post(origin, asked.path, asked.headers, asked.body, timeouts)


# --- relay: a whole answer (a stream has its own file) ---------------------------------------------------------------


async def _whole(run: Run, attempt: Attempt, reader: Reader, answer: Answer, *, is_stream: bool) -> WholeReply:
    """Reads the answer to its end, makes it ours and settles it.

    A client that leaves meanwhile does not stop it: upstreams go on and charge, so the whole answer is billed.
    """
    endpoint, first_byte = run.plan.call.endpoint, time.monotonic()
    if is_stream and answer.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
        body = await _assemble(run, reader, answer)
    else:
        body = reader.whole(await answer.read())  # also what was asked for as a stream, if it came whole
    endpoint.check(body)
    answer.close()
    run.first_byte = first_byte
    attempt.answered(answer.status, first_byte=first_byte)
    attempt.end()
    usage, source = _counted(run, attempt, reader, body)
    bill = run.bill(usage, reader.reported)
    whole = endpoint.complete(body, run.plan.call.head(run.model, attempt.route), bill, run.explanation())
    if source == "upstream":
        run.teach(usage)
    reply = WholeReply([*run.headers(), (b"x-costrouter-cost", bill.cost.encode())], whole)
    run.settle(SUCCESS, usage, source)
    if run.plan.call.idempotency is not None:
        run.gateway.answers.keep(run.plan.call.id, reply)
    return reply


def _counted(run: Run, attempt: Attempt, reader: Reader, body: dict[str, Any]) -> tuple[Usage, str]:
    """What a whole answer used, and what is odd about it."""
    needs = run.plan.needs
    most = most_output(run.cap, needs.answers)
    if reader.usage is not None and reader.usage.output > most:
        attempt.remark("the upstream counted more output than its cap allows; the output was estimated")
    if reader.remark:
        attempt.remark(reader.remark)
    return counted(reader, lambda: run.plan.call.endpoint.estimate(body, needs), most)


async def _assemble(run: Run, reader: Reader, answer: Answer) -> dict[str, Any]:
    """A whole answer from a stream; raises MalformedAnswer if the stream is not whole."""
    assembler = run.plan.call.endpoint.assembler(run.plan.call.request)
    end: End | None = None
    data: bytes | None = b""
    received = 0
    while end is None and data is not None:
        data = await answer.next()
        received += len(data or b"")
        if received > MAX_BODY_BYTES:
            raise MalformedAnswer("the answer is too large")
        for event in reader.feed(data):
            if type(event) is dict:
                assembler.add(event)
            elif isinstance(event, End):
                end = event
    if end is not None and end.error is not None:
        raise end.error
    if end is None and not assembler.is_complete:
        raise MalformedAnswer("the stream ended before the answer was whole")
    return assembler.answer()
