"""The life of one chat completion, from top to bottom.

`complete` tells the story: resolve the model and rank its routes, admit the request (rate limits, then the hold), try
the routes in order until one answers, relay the answer, settle. Ranking comes before the hold because a request that
no route can serve is refused without one (ADR 0003). Whatever happens after the hold, the request settles exactly
once: every exit calls `Run.settle`, which does nothing the second time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import orjson
from django.conf import settings

from accounts.limits import Standing, limiter
from billing import reservations
from billing.books import Hold
from billing.kinds import Usage
from billing.money import PER_MILLION, to_json_number
from billing.reservations import InsufficientQuota
from costrouter.errors import GatewayError
from routing.endpoints.chat.stream import Assembler, Tally, complete_answer, public_usage, written
from routing.errors import ContentRefused, NoAvailableChannel, UpstreamError, UpstreamTimeout
from routing.pipeline.plan import LEAST_USEFUL_OUTPUT, Call, Option, Plan, resolve
from routing.pipeline.run import Run
from routing.pipeline.stream import ClientGone, ClientWatch, StreamReply
from routing.providers import ADAPTERS
from routing.providers.base import Adapter, MalformedAnswer, Order
from routing.selection.health import Health
from routing.wire import addresses
from routing.wire import fake as fake_upstream
from routing.wire.client import MAX_BODY_BYTES, Answer, Client, UpstreamFault
from routing.wire.events import Comment, EventParser, EventTooLarge

log = logging.getLogger(__name__)

UntilGone = Callable[[], Awaitable[None]]

ENDPOINT: Final = "chat.completions"
_MOST_ERROR_BYTES: Final = 64 * 1024
_MOST_ATTEMPTS: Final = settings.MAX_ATTEMPTS
_BYTES_PER_TOKEN: Final = 4

health = Health(settings.RETRY_BUDGET)
client = Client(addresses.networks(settings.CHANNEL_NETWORKS))


class JsonReply(msgspec.Struct, frozen=True):
    """A whole answer, ready to be sent."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


async def complete(call: Call, until_gone: UntilGone) -> JsonReply | StreamReply:
    """One chat completion.

    Raises a GatewayError for whatever the client must be told instead, ClientGone if nobody is left to be told.
    """
    plan = resolve(call, health)
    standing = await limiter.admit(call.id, call.caller.limits, plan.limited_tokens)
    try:
        run = await admit(plan, standing)
    except BaseException:
        limiter.finish(call.id, call.caller.limits, asked=plan.limited_tokens, used=0)
        raise
    try:
        if call.request.is_stream:
            return await _first_stream(run, until_gone)
        return await first_answer(run, None)
    except GatewayError as error:
        run.settle_refused(error)
        raise
    except ClientGone:
        run.settle(outcome="client_gone", status=499)
        raise
    except BaseException:
        run.settle(outcome="internal_error", status=500, error_code="internal_error")
        raise


async def _first_stream(run: Run, until_gone: UntilGone) -> JsonReply | StreamReply:
    """The first route's stream; stops trying as soon as the client leaves. (A whole answer is read all the same.)"""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - coroutines run in tasks
    watch = ClientWatch(until_gone(), task.cancel)
    try:
        return await first_answer(run, watch)
    except BaseException as error:
        watch.close()
        if watch.is_gone and isinstance(error, asyncio.CancelledError):
            task.uncancel()
            raise ClientGone from None
        raise


# --- admit: the hold -------------------------------------------------------------------------------------------------


async def admit(plan: Plan, standing: Standing) -> Run:
    """Holds the most that the request can cost, and returns the run that owes the settling.

    Where the cap is ours, it is lowered to what the wallet affords as long as that is still useful. Raises
    InsufficientQuota with the affordable number, nothing held.
    """
    cap, amount = plan.cap, plan.amount(plan.cap)
    try:
        await reservations.hold(_wanted(plan, amount))
        return Run(plan, cap, amount, standing, *plan.models[0])
    except InsufficientQuota as error:
        cap = _affordable_cap(plan, error.available)
        if not plan.is_cap_ours or not LEAST_USEFUL_OUTPUT <= cap < plan.cap:
            raise _insufficient(plan, error.available, cap) from None
    amount = plan.amount(cap)
    try:
        await reservations.hold(_wanted(plan, amount))
        return Run(plan, cap, amount, standing, *plan.models[0])
    except InsufficientQuota as error:
        raise _insufficient(plan, error.available, _affordable_cap(plan, error.available)) from None


def _wanted(plan: Plan, amount: int) -> Hold:
    call = plan.call
    model, price = plan.models[0]
    return Hold(
        id=call.id,
        legs=call.caller.legs,
        tenant_id=call.caller.tenant_id,
        amount=amount,
        api_key_id=call.caller.key_id,
        endpoint=ENDPOINT,
        model=model.name,
        price_id=price.id,
        is_stream=call.request.is_stream,
        created_at=reservations.timestamp(call.started_at),
    )


def _affordable_cap(plan: Plan, available: int) -> int:
    """Output tokens of one choice that so many ledger units pay for, the prompt at its most."""
    rest = available - plan.amount(0)
    if rest < 0:
        return 0
    rate = max(price.highest_output_rate() for _model, price in plan.models) * plan.call.request.choices
    return plan.cap if rate == 0 else rest * PER_MILLION // rate


def _insufficient(plan: Plan, available: int, affordable: int) -> InsufficientQuota:
    currency = plan.call.caller.currency
    most, left = (to_json_number(amount, currency) for amount in (plan.amount(plan.cap), available))
    return InsufficientQuota(
        f"You exceeded your current quota: this request can cost up to {most} {currency} and {left} {currency} are "
        f"available, which affords {affordable} output "
        "tokens. Lower max_tokens or add credit.",
        available=available,
    )


# --- try: the routes in order ----------------------------------------------------------------------------------------


class AttemptFailed(Exception):
    """This route did not answer; another may. `error` is what the client is told if none does."""

    def __init__(self, error: GatewayError, *, was_sent: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.was_sent = was_sent


async def first_answer(run: Run, watch: ClientWatch | None) -> JsonReply | StreamReply:
    """The first route's answer that comes, inside the attempt limit and the retry budget."""
    now = time.monotonic()
    health.retries.note_request(now)
    failures: list[AttemptFailed] = []
    for option in run.plan.routes:
        route, _model, _price = option
        if health.reason_out(route.id, route.channel.id, route.channel.concurrency, now) is not None:
            continue  # since the routes were ranked
        # An attempt that never reached its upstream put no load on it: the next one needs no budget.
        if len(failures) == _MOST_ATTEMPTS or (failures and failures[-1].was_sent and not health.retries.take(now)):
            break
        try:
            return await _attempt(run, option, watch)
        except AttemptFailed as failure:
            failures.append(failure)
            now = time.monotonic()
    raise failures[-1].error if failures else NoAvailableChannel(1)


async def _attempt(run: Run, option: Option, watch: ClientWatch | None) -> JsonReply | StreamReply:
    route, _model, _price = option
    run.choose(*option)
    started = time.monotonic()
    state = health.routes[route.id]
    state.started(started)
    channel = health.channels[route.channel.id]
    channel.in_flight += 1
    try:
        reply = await _exchange(run, watch, started)
    except UpstreamFault as fault:
        channel.in_flight -= 1
        state.failed(time.monotonic())
        run.note_attempt(fault.fault, started=started, detail=fault.detail)
        raise _failure_of(fault) from fault
    except MalformedAnswer as error:
        channel.in_flight -= 1
        state.failed(time.monotonic())
        run.note_attempt("invalid_response", started=started, status=200, detail=str(error))
        raise AttemptFailed(UpstreamError(), was_sent=True) from error
    except BaseException:
        channel.in_flight -= 1
        state.ended_without_verdict()
        raise
    if isinstance(reply, JsonReply):
        channel.in_flight -= 1
    return reply


def _failure_of(fault: UpstreamFault) -> AttemptFailed:
    was_sent = fault.fault not in {"connect_failed", "tls_failed", "connect_timeout"}
    timed_out = fault.fault.endswith("_timeout")
    return AttemptFailed(UpstreamTimeout() if timed_out else UpstreamError(), was_sent=was_sent)


async def _exchange(run: Run, watch: ClientWatch | None, started: float) -> JsonReply | StreamReply:
    """Sends the request on the chosen route; returns when the answer, or a stream's first event, is in hand."""
    call, route = run.plan.call, run.route
    assert route is not None and route.channel.origin is not None  # noqa: S101, PT018 - ranked routes are complete
    request, channel, origin = call.request, route.channel, route.channel.origin
    adapter = ADAPTERS[channel.provider]
    state = health.routes[route.id]
    order = Order(
        body=call.body,
        upstream_model=route.upstream_name,
        host=origin.host,
        secret=channel.secret,
        cap=run.cap,
        # Streamed, llama.cpp's server counts every choice; in a whole answer it counts one.
        is_stream=request.is_stream or (request.choices > 1 and state.reports_timings is not False),
        wants_timings=state.reports_timings is True,
    )
    asked = adapter.request(order)
    answer: Answer
    if origin.scheme == "fake":
        answer = await fake_upstream.answer(origin, asked.body)
    else:
        answer = await client.post(origin, asked.path, asked.headers, asked.body, channel.timeouts)
    try:
        state.reports_timings = answer.headers.get(b"server") == b"llama.cpp"
        if not 200 <= answer.status < 300:
            await _refuse(run, adapter, order, answer, started)
        if watch is not None:
            stream = StreamReply(
                run, adapter, answer, health, watch, strips_timings=order.wants_timings, started=started
            )
            await stream.begin()
            return stream
        return await _whole(run, adapter, order, answer, started)
    except BaseException:
        answer.close()
        raise


async def _refuse(run: Run, adapter: Adapter, order: Order, answer: Answer, started: float) -> None:
    """Reads an upstream's error and raises what it means: the client's fault, or a reason to try elsewhere."""
    body = (await answer.read())[:_MOST_ERROR_BYTES]
    answer.close()
    refusal = adapter.refusal(answer.status, answer.headers, body, order)
    route, now = run.route, time.monotonic()
    assert route is not None  # noqa: S101 - an attempt has a route
    state = health.routes[route.id]
    if refusal.meaning == "content_refused":
        state.ended_without_verdict()
        run.note_attempt("refused_content", started=started, status=answer.status, detail=refusal.detail)
        raise ContentRefused(answer.status, refusal)
    run.note_attempt("bad_status", started=started, status=answer.status, detail=refusal.detail)
    if refusal.meaning == "rest":
        state.rest(now, refusal.retry_after)
        raise AttemptFailed(NoAvailableChannel(state.resting_until - now), was_sent=True)
    if refusal.meaning == "key_refused":
        log.error("channel %s refuses our key (%d); it rests", route.channel.id, answer.status)
        state.ended_without_verdict()
        health.rest_channel(route.channel.id)
    else:
        state.failed(now)
    raise AttemptFailed(UpstreamError(), was_sent=True)


# --- relay: a whole answer, or a stream ------------------------------------------------------------------------------


async def _whole(run: Run, adapter: Adapter, order: Order, answer: Answer, started: float) -> JsonReply:
    """Reads the answer to its end, makes it ours and settles it.

    A client that leaves meanwhile does not stop it: upstreams go on and charge, so the whole answer is billed.
    """
    call, route = run.plan.call, run.route
    assert route is not None  # noqa: S101 - an attempt has a route
    choices = call.request.choices
    if order.is_stream and answer.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
        body, usage = await _assemble(answer, adapter, choices)
        is_reported = usage is not None
    else:
        body = adapter.answer(await answer.read())
        usage, is_reported = adapter.answer_usage(body, choices)
    answer.close()
    run.first_byte = time.monotonic()
    run.note_attempt("answered", started=started, status=answer.status)
    if usage is None:
        usage = Usage(input=run.plan.expected_input, output=_estimated_output(body))
    health.routes[route.id].succeeded(run.first_byte, run.first_byte - started)
    if is_reported:
        run.teach(health, usage)
    reply = _json_reply(run, body, usage)
    run.settle(outcome="success", status=200, usage=usage, source="upstream" if is_reported else "estimated")
    return reply


def _json_reply(run: Run, body: dict[str, Any], usage: Usage) -> JsonReply:
    call = run.plan.call
    reported = body.get("usage")
    complete_answer(body, public_id=call.public_id, model=run.model.name, created=int(call.started_at))
    cost, details = run.shown_cost(usage)
    body["usage"] = public_usage(usage, reported if type(reported) is dict else {}, cost, details)
    if call.wants_explanation:
        body["costrouter"] = run.explanation()
    return JsonReply([*run.headers(), (b"x-costrouter-cost", cost.encode())], written(body))


async def _assemble(answer: Answer, adapter: Adapter, choices: int) -> tuple[dict[str, Any], Usage | None]:
    """A whole answer from a stream; raises MalformedAnswer if the stream is not whole."""
    parser, tally = EventParser(), Tally(choices, adapter.usage)
    assembler = Assembler(tally)
    is_done, received = False, 0
    try:
        while not is_done:
            data = await answer.next()
            received += len(data or b"")
            if received > MAX_BODY_BYTES:
                raise MalformedAnswer("the answer is too large")
            for event in parser.finish() if data is None else parser.feed(data):
                if event == b"[DONE]":
                    is_done = True
                elif type(event) is not Comment:
                    assembler.add(adapter.event(event))
            if data is None:
                break
    except EventTooLarge as error:
        raise MalformedAnswer("an event is too large") from error
    if not is_done and not assembler.is_complete(choices):
        raise MalformedAnswer("the stream ended before the answer was whole")
    return assembler.answer(), tally.reported


def _estimated_output(body: dict[str, Any]) -> int:
    """Output tokens of an answer whose upstream did not say: four bytes a token."""
    text = sum(len(orjson.dumps(choice["message"].get("content") or "")) - 2 for choice in body["choices"])
    calls = sum(len(orjson.dumps(choice["message"].get("tool_calls") or "")) - 2 for choice in body["choices"])
    return -(-(text + calls) // _BYTES_PER_TOKEN)
