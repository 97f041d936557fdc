"""Admitting a request: a hold for the most that it can cost, or a refusal with which nothing is held."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import structs

from accounts.callers import SpendingLimit
from accounts.limits import Standing
from billing.books import Hold
from billing.money import PER_MILLION, to_json_number
from billing.reservations import FundsInFlight, InsufficientQuota, PaymentRequired, QuotaExceeded, timestamp
from routing.endpoints.base import LEAST_USEFUL_OUTPUT, ceiling_of
from routing.pipeline.call import Plan
from routing.pipeline.gateway import Gateway
from routing.pipeline.run import Run

_HOLD_PAUSES = (0.015, 0.035, 0.075, 0.125)
"""Seconds between the tries of a hold that lacks only what the tenant's own requests hold: 250 ms in all."""


async def admit(plan: Plan, standing: Standing, gateway: Gateway) -> Run:
    """Holds the most that the request can cost, and returns the run that owes the settling.

    Raises FundsInFlight, InsufficientQuota or KeyStands, or ServiceUnavailable or InvalidApiKey where it must be found
    out anew what it draws on; then nothing is held.
    """
    if plan.call.session or plan.call.caller.is_of_past_period:
        plan = await _with_present_legs(plan, gateway)
    amount = _amount(plan, plan.needs.cap)
    try:
        await gateway.reservations.hold(_hold_of(plan, amount))
    except InsufficientQuota as refused:
        return await _hold_later(plan, standing, gateway, refused)
    return _run(plan, standing, gateway, plan.needs.cap, amount)


async def _with_present_legs(plan: Plan, gateway: Gateway) -> Plan:
    """With the balances of this moment: the period in which it is held, and its session, which may begin now."""
    call = plan.call
    caller = await gateway.key_cache.with_present_legs(call.caller)
    legs, limits = caller.legs, caller.spending_limits
    if call.session:
        legs, limits = await gateway.sessions.legs(caller, call.session)
    return structs.replace(plan, call=structs.replace(call, legs=legs, spending_limits=limits))


async def _hold_later(plan: Plan, standing: Standing, gateway: Gateway, refused: InsufficientQuota) -> Run:
    """What was refused, held with a lower cap or when more has come back.

    What only the tenant's own requests in flight keep from it may come back at any moment, so the hold is tried again
    for a while: each try takes this process's queued settlements along, and other processes write theirs within
    milliseconds. Raises FundsInFlight after that, InsufficientQuota where it cannot fit.
    """
    pauses = iter(_HOLD_PAUSES)
    while True:
        try:
            return await _hold_less(plan, standing, gateway, refused)
        except InsufficientQuota as error:
            if not _will_fit(plan, error):
                raise
            pause = next(pauses, None)
            if pause is None:
                raise _funds_in_flight(plan, error) from None
        await asyncio.sleep(pause)
        try:
            return await _hold(plan, standing, gateway, plan.needs.cap)
        except InsufficientQuota as error:
            refused = error


async def _hold_less(plan: Plan, standing: Standing, gateway: Gateway, refused: InsufficientQuota) -> Run:
    """Where the cap is ours, it is lowered once to what the wallet affords, as long as that is still useful.

    Raises InsufficientQuota with the affordable number, nothing held.
    """
    cap = _affordable_cap(plan, refused.available)
    if not plan.needs.is_cap_ours or not LEAST_USEFUL_OUTPUT <= cap < plan.needs.cap:
        raise _insufficient(plan, refused, cap)
    try:
        return await _hold(plan, standing, gateway, cap)
    except InsufficientQuota as error:  # somebody else was faster
        raise _insufficient(plan, error, _affordable_cap(plan, error.available)) from None


async def _hold(plan: Plan, standing: Standing, gateway: Gateway, cap: int) -> Run:
    amount = _amount(plan, cap)
    await gateway.reservations.hold(_hold_of(plan, amount))
    return _run(plan, standing, gateway, cap, amount)


def _run(plan: Plan, standing: Standing, gateway: Gateway, cap: int, amount: int) -> Run:
    model, price = plan.models[0]
    return Run(plan, gateway, standing, cap, amount, model, price)


def _amount(plan: Plan, cap: int) -> int:
    """What is held with this cap: the most that the request can cost at the dearest of its models."""
    if len(plan.models) == 1:
        return ceiling_of(plan.needs, plan.models[0][1], cap)
    return max(ceiling_of(plan.needs, price, cap) for _model, price in plan.models)


def _hold_of(plan: Plan, amount: int) -> Hold:
    """The hold of this amount as the books write it."""
    call = plan.call
    model, price = plan.models[0]
    return Hold(
        id=call.id,
        legs=call.legs,
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
    tariffs = (tariff for _model, price in plan.models for tariff in price.within(plan.needs.input_bound))
    rate = max(tariff.highest_output for tariff in tariffs) * plan.needs.answers
    return plan.needs.cap if rate == 0 else rest * PER_MILLION // rate


def _insufficient(plan: Plan, refused: InsufficientQuota, affordable: int) -> InsufficientQuota:
    caller = plan.call.caller
    currency = caller.currency
    cost = to_json_number(_amount(plan, plan.needs.cap), currency)
    limit = plan.call.spending_limits.get(refused.balance or 0)
    if limit is not None:
        return _exceeded(limit, refused, cost, currency)
    message = (
        f"You exceeded your current quota: this request can cost up to {cost} {currency} and "
        f"{to_json_number(max(0, refused.available), currency)} {currency} are available"
    )
    if plan.needs.cap:
        message += f", which affords {affordable} output tokens. Lower max_tokens or add credit."
    else:
        message += ". Add credit."
    refusal = PaymentRequired if caller.says_payment_required else InsufficientQuota
    return refusal(
        message, available=refused.available, tied_up=refused.tied_up, balance=refused.balance
    )  # fmt: skip


def _exceeded(limit: SpendingLimit, refused: InsufficientQuota, cost: str, currency: str) -> QuotaExceeded:
    """Which quota it is, what of it is used, and when it begins anew."""
    amount = to_json_number(limit.amount, currency)
    used = to_json_number(max(0, limit.amount - refused.available - refused.tied_up), currency)
    message = (
        f"You exceeded a quota: this {limit.subject} may spend {amount} {currency} {_PERIODS[limit.period]}; {used} "
        f"{currency} are spent, {to_json_number(refused.tied_up, currency)} {currency} are held by requests in flight, "
        f"and this request can cost up to {cost} {currency}."
    )
    if limit.ends_at is not None:
        message += f" The next period begins at {timestamp(limit.ends_at)[:19].replace(' ', 'T')}Z."
    return QuotaExceeded(
        message, available=refused.available, tied_up=refused.tied_up, balance=refused.balance
    )  # fmt: skip


_PERIODS: Final = {
    "day": "per day",
    "week": "per week",
    "month": "per month",
    "total": "in total",
    "session": "per session",
}


def _will_fit(plan: Plan, refused: InsufficientQuota) -> bool:
    """Whether the request could be admitted if everything came back that requests in flight hold."""
    cap = min(plan.needs.cap, LEAST_USEFUL_OUTPUT) if plan.needs.is_cap_ours else plan.needs.cap
    return refused.tied_up > 0 and _amount(plan, cap) <= refused.available + refused.tied_up


def _funds_in_flight(plan: Plan, refused: InsufficientQuota) -> FundsInFlight:
    currency = plan.call.caller.currency
    cost, available, held = (
        to_json_number(amount, currency)
        for amount in (_amount(plan, plan.needs.cap), max(0, refused.available), refused.tied_up)
    )
    return FundsInFlight(
        f"This request can cost up to {cost} {currency}; {available} {currency} are available, and your requests in "
        f"flight hold {held} {currency}. Please try again in 1 s, when some of them have ended."
    )
