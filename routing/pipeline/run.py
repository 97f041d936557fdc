"""A request that holds money: what has been tried, and the one settling that it owes."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
import orjson
from django.conf import settings

from accounts.limits import Standing, limiter
from billing import reservations
from billing.books import Settlement
from billing.kinds import NOTHING, Usage
from billing.money import EXPONENT, decimal_text, to_json_number
from billing.prices import Tariff, cost, lines
from costrouter.errors import GatewayError
from routing.catalogue.snapshot import ModelView, RouteView
from routing.errors import ContentRefused, UpstreamTimeout
from routing.pipeline.plan import Plan
from routing.selection.health import Health

_SHOWS_CHANNELS: Final = settings.SHOW_CHANNELS


def produced_nothing(usage: Usage) -> bool:
    """Then nothing is to be paid, not even the flat fee."""
    return not (usage.output or usage.images)


def cost_to_pay(usage: Usage, tariff: Tariff) -> int:
    """What a usage costs, if anything was produced."""
    return 0 if produced_nothing(usage) else cost(usage, tariff)


class Run(msgspec.Struct):
    """A request that holds money: what has been tried, and the one settling that it owes."""

    plan: Plan
    cap: int
    held: int
    standing: Standing
    model: ModelView
    """That is tried, at first the one asked for; `price` is the tenant's for it."""
    price: Tariff
    route: RouteView | None = None
    attempts: list[dict[str, Any]] = []
    first_byte: float | None = None
    """When the first byte of the answer came, by the monotonic clock."""
    is_settled: bool = False
    priced: Usage = NOTHING
    claimed: int = 0
    """What `priced` costs the tenant."""

    def choose(self, route: RouteView, model: ModelView, price: Tariff) -> None:
        self.route, self.model, self.price = route, model, price
        self.priced, self.claimed = NOTHING, 0

    def claim(self, usage: Usage) -> int:
        """Ledger units that a usage costs the tenant, which may be more than was held."""
        if usage is not self.priced:
            self.priced, self.claimed = usage, cost_to_pay(usage, self.price)
        return self.claimed

    def note_attempt(self, outcome: str, *, started: float, status: int | None = None, detail: str = "") -> None:
        route, call, now = self.route, self.plan.call, time.monotonic()
        assert route is not None  # noqa: S101 - an attempt has a route
        self.attempts.append(
            {
                "channel": route.channel.name,
                "upstream_model": route.upstream_name,
                "outcome": outcome,
                "status": status,
                "detail": detail[:500],
                "started_ms": int((started - call.started) * 1000),
                "duration_ms": int((now - started) * 1000),
            }
        )

    def settle_refused(self, error: GatewayError) -> None:
        """No answer went to the client: nothing to pay."""
        timed_out = isinstance(error, UpstreamTimeout)
        outcome = "refused" if isinstance(error, ContentRefused) else "timeout" if timed_out else "upstream_error"
        status = error.upstream_status if isinstance(error, ContentRefused) else error.status
        code = error.refusal.code if isinstance(error, ContentRefused) else error.code
        self.settle(outcome=outcome, status=status, error_code=code or "")

    def settle(
        self,
        *,
        outcome: str,
        status: int,
        error_code: str = "",
        usage: Usage = NOTHING,
        source: str = "none",
    ) -> None:
        """Closes the reservation with what was used; once, whoever calls first."""
        if self.is_settled:
            return
        self.is_settled = True
        plan, route, now = self.plan, self.route, time.monotonic()
        call = plan.call
        limiter.finish(call.id, call.caller.limits, asked=plan.limited_tokens, used=usage.input + usage.output)
        price = self.price
        route_cost = None if route is None else route.cost
        reservations.settle(
            Settlement(
                id=call.id,
                legs=call.caller.legs,
                held=self.held,
                tenant_id=call.caller.tenant_id,
                requested_model=call.request.model,
                model=self.model.name,
                price_id=price.id,
                currency=price.currency,
                outcome=outcome,
                status=status,
                error_code=error_code,
                usage_source=source,
                usage=usage,
                claimed_cost=self.claim(usage),
                provider_cost=None if route_cost is None else cost_to_pay(usage, route_cost),
                provider_currency="" if route_cost is None else route_cost.currency,
                channel="" if route is None else route.channel.name,
                upstream_model="" if route is None else route.upstream_name,
                attempts=self.attempts,
                decision=plan.decision,
                first_byte_ms=None if self.first_byte is None else int((self.first_byte - call.started) * 1000),
                duration_ms=int((now - call.started) * 1000),
            )
        )

    def teach(self, health: Health, usage: Usage) -> None:
        """What a reported usage says about the conversation, the model and the tenant."""
        plan, route = self.plan, self.route
        assert route is not None  # noqa: S101 - there is an answer
        call = plan.call
        has_images = plan.text_bytes != call.body_bytes  # whose tokens say nothing about text
        share = usage.cached_input / usage.input if usage.input else 0.0
        health.note_served(plan.prefix, route.id, time.monotonic(), share)
        health.note_usage(
            call.caller.tenant_id,
            plan.models[0][0].name,
            prompt_bytes=plan.text_bytes,
            input_tokens=0 if has_images else usage.input,
            output_tokens=usage.output,
        )

    # --- what the client sees of it ---

    def shown_cost(self, usage: Usage) -> tuple[str, dict[str, Any]]:
        """What a usage costs the tenant, as an exact decimal number of currency units.

        And the terms of its sum, exact before rounding.
        """
        price = self.price
        currency = price.currency
        details: dict[str, Any] = {"currency": currency}
        if produced_nothing(usage):
            return "0", details
        places = EXPONENT[currency] + 6
        for line in lines(usage, price):
            details[line.kind.rate] = orjson.Fragment(decimal_text(line.exact_millionths, places))
        if price.request_fee:
            details["request_fee"] = orjson.Fragment(to_json_number(price.request_fee, currency))
        return to_json_number(self.claim(usage), currency), details

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The response headers that tell how the request was served."""
        pairs = [(b"x-costrouter-model", self.model.header), (b"x-costrouter-attempts", b"%d" % len(self.attempts))]
        if _SHOWS_CHANNELS and self.route is not None:
            pairs.append((b"x-costrouter-channel", self.route.channel.header))
        pairs += self.standing.headers
        return pairs

    def explanation(self) -> dict[str, Any]:
        """The routing decision and the attempts as far as the operator shows them to tenants."""
        decision = self.plan.decision
        names = {verdict.channel: f"channel {place}" for place, verdict in enumerate(decision.candidates, 1)}

        def shown(channel: str) -> str:
            return channel if _SHOWS_CHANNELS else names.get(channel, "channel")

        candidates = [
            {
                "channel": shown(verdict.channel),
                "state": verdict.state,
                "reason": verdict.reason,
                "expected_cost": None
                if verdict.expected_cost is None or not _SHOWS_CHANNELS
                else orjson.Fragment(to_json_number(verdict.expected_cost, verdict.currency)),
                "success_rate": verdict.success_rate,
            }
            for verdict in decision.candidates
        ]
        attempts = [
            {
                "channel": shown(attempt["channel"]),
                **{name: attempt[name] for name in ("outcome", "status", "started_ms", "duration_ms")},
            }
            for attempt in self.attempts
        ]
        return {"strategy": decision.strategy, "candidates": candidates, "attempts": attempts}
