"""A request that holds money: what has been tried, and the one settling that it owes."""

from __future__ import annotations

import asyncio
import time
from math import floor
from types import TracebackType
from typing import Any, Self

import msgspec
from orjson import Fragment

from accounts.errors import GatewayError
from accounts.limits import Standing
from billing.books import Progress, Settlement
from billing.kinds import NOTHING, Usage
from billing.money import EXPONENT, decimal_text, to_json_number
from billing.prices import Tariff, cost, fee, lines
from routing.catalogue.snapshot import ModelView, RouteView
from routing.endpoints.base import Bill
from routing.pipeline.attempt import Attempt, AttemptRecord
from routing.pipeline.call import Option, Plan, UntilGone
from routing.pipeline.explanation import explain
from routing.pipeline.gateway import Gateway
from routing.pipeline.outcomes import FAULT_OF_OURS, LEFT_EARLY, STOPPED, Close, close_refused


class ClientGone(Exception):
    """The client has left; there is nobody to answer."""


class Run(msgspec.Struct):
    """Made with `with`: whatever leaves the block by an exception settles the request. A stream settles itself."""

    plan: Plan
    gateway: Gateway
    standing: Standing
    cap: int
    held: int
    model: ModelView
    """The model that is tried: at first the one asked for, then perhaps a fallback."""
    price: Tariff
    """The tenant's for `model`."""
    route: RouteView | None = None
    attempts: list[AttemptRecord] = []  # msgspec copies an empty list for each instance
    first_byte: float | None = None
    """When the answer began to come, by the monotonic clock: a whole one's head, a stream's first event."""
    is_sent: bool = False
    """The attempt under way has sent its request."""
    until_gone: UntilGone | None = None
    """Of a whole answer's client."""
    is_settled: bool = False
    priced: Usage = NOTHING
    """The usage that `claim` priced last, so that showing it and settling it is one calculation."""
    claimed: int = 0
    """What `priced` costs the tenant."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, GatewayError):
            error.is_recorded = True
            self.settle(close_refused(error))
        elif isinstance(error, ClientGone):
            self.settle(LEFT_EARLY)
        elif isinstance(error, asyncio.CancelledError):  # at the drain's end, which its client is told
            self.settle(STOPPED.close)
        else:
            self.settle(FAULT_OF_OURS)

    def attempt(self, option: Option) -> Attempt:
        """Begins to try this option."""
        self.route, self.model, self.price = option.route, option.model, option.price
        self.priced, self.claimed, self.is_sent = NOTHING, 0, False
        attempt = Attempt(self.gateway.health, option.route, request_started=self.plan.call.started)
        self.attempts.append(attempt.record)
        return attempt

    def claim(self, usage: Usage) -> int:
        """Ledger units that a usage costs the tenant, which may be more than was held; what produced nothing is free.

        No fee either: the flat fee belongs to answers.
        """
        if usage is not self.priced:
            has_produced = self.plan.call.endpoint.has_produced(usage)
            self.priced, self.claimed = usage, cost(usage, self.price) if has_produced else 0
        return self.claimed

    def note_sent(self) -> None:
        self.is_sent = True

    def _claim_prompt(self, usage: Usage) -> Usage:
        """Claims the prompt alone, without the fee, and returns it: as the upstream counted it, else as estimated."""
        prompt = usage if usage.input else self.plan.call.endpoint.prompt(self.plan.needs)
        self.priced, self.claimed = prompt, cost(prompt, self.price) - fee(prompt, self.price)
        return prompt

    def settle(
        self, close: Close, usage: Usage = NOTHING, source: str = "none", *, reported_cost: int | None = None
    ) -> None:
        """Closes the reservation with what was used, and tells the rate limits; once, whoever calls first.

        `reported_cost`: what the upstream said that it cost, in nano-dollars.
        """
        if self.is_settled:
            return
        self.is_settled = True
        if close.pays_prompt and self.is_sent and not self.plan.call.endpoint.has_produced(usage):
            usage, source = self._claim_prompt(usage), "estimated"
        self._keep(usage, is_exact=source == "upstream")
        plan, route, price = self.plan, self.route, self.price
        call, route_cost, now = plan.call, None if route is None else route.cost, time.monotonic()
        self.gateway.limiter.finish(
            call.id, call.caller.limits, asked=plan.limited_tokens, used=usage.input + usage.output
        )
        self.gateway.reservations.settle(
            Settlement(
                id=call.id,
                legs=call.legs,
                held=self.held,
                tenant_id=call.caller.tenant_id,
                requested_model=call.request.model,
                model=self.model.name,
                price_id=price.id,
                currency=price.currency,
                outcome=close.outcome,
                status=close.status,
                error_code=close.code,
                usage_source=source,
                usage=usage,
                claimed_cost=self.claim(usage),
                provider_cost=None if route_cost is None else cost(usage, route_cost),
                provider_currency="" if route_cost is None else route_cost.currency,
                reported_cost=reported_cost,
                channel="" if route is None else route.channel.name,
                upstream_model="" if route is None else route.upstream_name,
                attempts=self.attempts,
                decision=plan.decision,
                first_byte_ms=None if self.first_byte is None else floor((self.first_byte - call.started) * 1000),
                duration_ms=floor((now - call.started) * 1000),
            )
        )

    def keep_progress(self, usage: Usage) -> None:
        """Keeps how far the answer has come, before it is handed on: what recovery bills should this process die."""
        if not self.is_settled:
            self._keep(usage)

    def note_progress(self, usage: Usage) -> None:
        """The same in the database, for the case that the whole machine dies."""
        if self.route is not None and self.plan.call.endpoint.has_produced(usage):
            self.gateway.reservations.note(Progress(self.plan.call.id, self.route.channel.name, self.price.id, usage))

    def _keep(self, usage: Usage, *, is_exact: bool = False) -> None:
        if self.route is not None and self.plan.call.endpoint.has_produced(usage):
            name, price_id = self.route.channel.name, self.price.id
            self.gateway.reservations.keep(Progress(self.plan.call.id, name, price_id, usage, is_exact))

    def teach(self, usage: Usage) -> None:
        """What a reported usage says about the conversation, the model and the tenant.

        It goes to the model that was asked for, also where a fallback answered: estimates are made for that one.
        """
        if self.route is None:
            return
        health, needs, call = self.gateway.health, self.plan.needs, self.plan.call
        name = self.plan.models[0][0].name
        share = usage.cached_input / usage.input if usage.input else 0.0
        health.note_served(needs.prefix, self.route.id, time.monotonic(), share)
        health.learned.note_output(call.caller.tenant_id, name, usage.output)
        if needs.is_all_text:
            health.learned.note_input(name, needs.text_bytes, usage.input)

    # --- what the client sees of it ---

    def bill(self, usage: Usage, reported: Any) -> Bill:
        """What a usage costs the tenant, and the terms of its sum, before rounding."""
        price, currency = self.price, self.price.currency
        details: dict[str, Any] = {"currency": currency}
        claimed = self.claim(usage)
        if not claimed and not self.plan.call.endpoint.has_produced(usage):
            return Bill(usage, reported, "0", details)
        places = EXPONENT[currency] + 6
        for line in lines(usage, price):
            details[line.kind.rate] = Fragment(decimal_text(line.quantity * line.rate, places))
        flat = fee(usage, price)
        if flat:
            details["request_fee"] = Fragment(to_json_number(flat, currency))
        return Bill(usage, reported, to_json_number(claimed, currency), details)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The response headers that tell how the request was served."""
        pairs = [
            (b"x-costrouter-model", self.model.header),
            (b"x-costrouter-attempts", f"{len(self.attempts)}".encode()),
        ]
        if self.gateway.options.shown.channels and self.route is not None:
            pairs.append((b"x-costrouter-channel", self.route.channel.header))
        pairs += self.standing.headers
        return pairs

    def explanation(self) -> dict[str, Any] | None:
        """The routing decision and the attempts as far as the operator shows them; None if nobody asked for them."""
        if not self.plan.call.wants_explanation:
            return None
        return explain(self.plan.decision, self.attempts, self.gateway.options.shown)
