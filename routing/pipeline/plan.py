"""What a request may do: its models and prices, its bounds, and its ranked routes. No money is touched here."""

from __future__ import annotations

import time
from typing import Any, Final, NoReturn

import msgspec
from msgspec import UNSET

from accounts.authentication import Caller
from billing.money import EXPONENT, PER_MILLION
from billing.prices import Tariff, ceiling
from routing.catalogue.snapshot import ModelView, RouteView, Snapshot
from routing.endpoints.chat.schema import ChatRequest, IntegerAboveMaxValue, ProviderPreferences
from routing.errors import ContextLengthExceeded, ModelNotFound, NoAvailableChannel, NoMatchingRoute
from routing.selection.health import Health
from routing.selection.rank import Candidate, Decision, Demand, rank

BYTES_OF_A_TOKEN_AT_MOST: Final = 8
"""Used only to refuse prompts that cannot fit: no tokenizer averages more bytes a token over a whole prompt."""
IMAGE_TOKENS: Final = 1024
IMAGE_TOKENS_AT_MOST: Final = 4096
LEAST_USEFUL_OUTPUT: Final = 16
"""A cap that is ours is not lowered below this many tokens."""

Option = tuple[RouteView, ModelView, Tariff]


class Call(msgspec.Struct, frozen=True):
    """One request as the API plane hands it over: the frozen context of everything below."""

    id: str
    """32 hex digits: the reservation's and the usage record's key."""
    caller: Caller
    request: ChatRequest
    body: dict[str, Any]
    body_bytes: int
    snapshot: Snapshot
    wants_explanation: bool
    started: float
    """Of the monotonic clock."""
    started_at: float
    """Seconds since the epoch."""

    @property
    def public_id(self) -> str:
        return f"chatcmpl-{self.id}"


class Plan(msgspec.Struct, frozen=True):
    """What the request may do: its models in order with their prices, its bounds, and the ranked routes."""

    call: Call
    models: tuple[tuple[ModelView, Tariff], ...]
    text_bytes: int
    """The request's size without its images."""
    input_bound: int
    """No tokenizer makes more tokens of this request: a token is a byte at least."""
    expected_input: int
    cap: int
    """Output tokens of one choice."""
    is_cap_ours: bool
    limited_tokens: int
    """What the request counts against tokens per minute until its usage is known."""
    prefix: int
    decision: Decision
    routes: tuple[Option, ...]
    """What to try, in this order."""

    def amount(self, cap: int) -> int:
        """The most that the request can cost with this cap, in ledger units."""
        output = cap * self.call.request.choices
        return max([ceiling(self.input_bound, output, price) for _model, price in self.models])


def resolve(call: Call, health: Health) -> Plan:
    """Everything that can be said before money is touched.

    Raises ModelNotFound, NoMatchingRoute, ContextLengthExceeded, IntegerAboveMaxValue or NoAvailableChannel.
    """
    models = _models(call)
    main, _price = models[0]
    request = call.request
    choices, asked_cap, images = request.choices, request.cap, request.images()
    text_bytes = call.body_bytes - sum([len(image.url) for image in images])
    expected_input = int(text_bytes / health.bytes_per_token(main.name)) + len(images) * IMAGE_TOKENS
    least_input = text_bytes // BYTES_OF_A_TOKEN_AT_MOST
    cap = _output_cap(request, asked_cap, main, least_input, expected_input)
    prefix = _prefix(call)
    demand = _demand(
        request,
        needs_context=least_input + (asked_cap or 1),
        expected_input=expected_input,
        expected_output=health.expected_output(call.caller.tenant_id, main.name, cap) * choices,
        needs_images=bool(images),
    )
    decision, routes = _rank(call, models, demand, prefix, health)
    return Plan(
        call=call,
        models=models,
        text_bytes=text_bytes,
        input_bound=text_bytes + len(images) * IMAGE_TOKENS_AT_MOST + main.prompt_overhead,
        expected_input=expected_input,
        cap=cap,
        is_cap_ours=asked_cap is None,
        limited_tokens=expected_input + cap * choices,
        prefix=prefix,
        decision=decision,
        routes=routes,
    )


def _models(call: Call) -> tuple[tuple[ModelView, Tariff], ...]:
    """The model asked for and its fallbacks, as far as this key can call them; raises ModelNotFound."""
    name = call.request.model
    main = find_model(call.snapshot, call.caller, _base_name(call.snapshot, name), call.started_at)
    if main is None:
        raise ModelNotFound(name)
    if not call.request.models:
        return (main,)
    found = [main]
    for wanted in call.request.models:
        model = find_model(call.snapshot, call.caller, _base_name(call.snapshot, wanted), call.started_at)
        if model is not None and model not in found:
            found.append(model)
    return tuple(found)


def find_model(snapshot: Snapshot, caller: Caller, name: str, now: float) -> tuple[ModelView, Tariff] | None:
    """The model and its price, if this caller can call it."""
    model = snapshot.models.get(name)
    if model is None or not model.is_served or not caller.may_call(name):
        return None
    price = model.price(caller.currency, now)
    return None if price is None else (model, price)


def _base_name(snapshot: Snapshot, name: str) -> str:
    """The public name without OpenRouter's `:floor` and `:nitro`."""
    if name not in snapshot.models:
        for suffix in (":floor", ":nitro"):
            if name.endswith(suffix):
                return name.removesuffix(suffix)
    return name


def _output_cap(request: ChatRequest, cap: int | None, model: ModelView, least_input: int, expected_input: int) -> int:
    """The bound on one choice's output tokens: the client's, or the model's default as far as the window allows."""
    if least_input + (cap or 1) > model.context_window:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {model.context_window} tokens, but at least "
            f"{least_input + (cap or 1)} were requested (prompt and output cap together).",
            param="messages",
        )
    if cap is None:
        room = max(model.context_window - expected_input, LEAST_USEFUL_OUTPUT)
        return min(model.default_output, model.output_limit, room)
    if cap > model.output_limit:
        name = "max_tokens" if request.max_tokens == cap else "max_completion_tokens"
        raise IntegerAboveMaxValue(
            f"'{name}' is too large: {cap}. This model supports at most {model.output_limit} output tokens.", param=name
        )
    return cap


def _prefix(call: Call) -> int:
    """Names a conversation by its beginning; equal for the requests of one conversation in this process."""
    messages = call.body["messages"]
    return hash((call.caller.tenant_id, _beginning(messages[0]), _beginning(messages[:2][-1])))


def _beginning(message: dict[str, Any]) -> str:
    content = message.get("content")
    if type(content) is list:  # the first part names it well enough; the others may be megabytes
        content = content[0].get("text") if content else None
    return content[:512] if type(content) is str else ""


def _demand(
    request: ChatRequest, *, needs_context: int, expected_input: int, expected_output: int, needs_images: bool
) -> Demand:
    format_, model = request.response_format, request.model
    demand = Demand(
        expected_input=expected_input,
        expected_output=expected_output,
        needs_tools=bool(request.tools or request.functions),
        needs_images=needs_images,
        needs_context=needs_context,
        needs_json_schema=format_ is not UNSET and format_.type == "json_schema",
        strategy="fastest" if model.endswith(":nitro") else "cheapest",
    )
    return demand if request.provider is None else _preferring(demand, request.provider)


def _preferring(demand: Demand, provider: ProviderPreferences) -> Demand:
    is_fast = demand.strategy == "fastest" or provider.sort in {"latency", "throughput"}
    return msgspec.structs.replace(
        demand,
        only=_names(provider.only),
        ignore=_names(provider.ignore),
        order=tuple(name.lower() for name in provider.order or ()),
        strategy="fastest" if is_fast else "cheapest",
    )


def _names(names: list[str] | None) -> frozenset[str]:
    return frozenset(name.lower() for name in names or ())


def _rank(
    call: Call, models: tuple[tuple[ModelView, Tariff], ...], demand: Demand, prefix: int, health: Health
) -> tuple[Decision, tuple[Option, ...]]:
    """The decision, over the fallback models too, and the routes to try; raises if there is none."""
    now = time.monotonic()
    provider = call.request.provider
    decisions: list[Decision] = []
    routes: list[Option] = []
    for model, price in models:
        asked = demand if provider is None else _over_max_price(demand, provider, price)
        ranked = rank(asked, [_candidate(route, model, prefix, now, health) for route in model.routes])
        decisions.append(ranked)
        routes += [(model.routes_by_id[route_id], model, price) for route_id in ranked.order]
    if not routes:
        _refuse_unroutable(models, decisions, now, health)
    if provider is not None and provider.allow_fallbacks is False:
        routes = routes[:1]
    return decisions[0] if len(decisions) == 1 else _merged(decisions), tuple(routes)


def _merged(decisions: list[Decision]) -> Decision:
    """One decision over several models: the first usable route of all is the chosen one."""
    verdicts = [verdict for decision in decisions for verdict in decision.candidates]
    chosen, *others = (verdict for verdict in verdicts if verdict.state != "out")
    ready = [msgspec.structs.replace(verdict, state="ready") for verdict in others]
    out = [verdict for verdict in verdicts if verdict.state == "out"]
    expected = next(decision.expected for decision in decisions if decision.order)
    return Decision(decisions[0].strategy, expected, (chosen, *ready, *out))


def _over_max_price(demand: Demand, provider: ProviderPreferences, price: Tariff) -> Demand:
    """The demand, out of reach where the tenant pays more than the request's `max_price` or `max_cost` allows."""
    if provider.max_price is None and provider.max_cost is None:
        return demand
    bound = provider.max_price
    tokens = demand.expected_input * price.input + demand.expected_output * price.output
    pairs = [(provider.max_cost, tokens // PER_MILLION + price.request_fee)]
    if bound is not None:
        pairs += [(bound.prompt, price.input), (bound.completion, price.output), (bound.request, price.request_fee)]
    unit = 10 ** EXPONENT[price.currency]
    is_over = any(limit is not None and amount > limit * unit for limit, amount in pairs)
    return msgspec.structs.replace(demand, is_over_max_price=is_over)


def _candidate(route: RouteView, model: ModelView, prefix: int, now: float, health: Health) -> Candidate:
    state = health.routes[route.id]
    channel = route.channel
    return Candidate(
        route_id=route.id,
        channel=channel.name,
        upstream_model=route.upstream_name,
        cost=route.cost,
        priority=channel.priority,
        weight=channel.weight,
        fault=route.fault or health.reason_out(route.id, channel.id, channel.concurrency, now),
        success_rate=state.success_rate,
        cached_share=health.cached_share(prefix, route.id, now),
        latency=state.latency,
        tools=model.tools,
        images=model.images,
        json_schema=model.json_schema,
        context_window=model.context_window,
    )


_CONSTRAINT_TEXTS: Final = {
    "no_tools": "No route of this model supports tools.",
    "no_images": "No route of this model supports image input.",
    "no_json_schema": "No route of this model supports response_format json_schema.",
    "context_too_short": "No route of this model has a context window long enough.",
    "over_max_price": "No route of this model is within provider.max_price.",
    "excluded_by_request": "No route of this model is left by provider.only and provider.ignore.",
}


def _refuse_unroutable(
    models: tuple[tuple[ModelView, Tariff], ...], decisions: list[Decision], now: float, health: Health
) -> NoReturn:
    for decision in decisions:
        constraint = decision.constraint()
        if constraint is not None:
            raise NoMatchingRoute(f"{_CONSTRAINT_TEXTS[constraint]} (constraint: {constraint})")
    waits = [
        max(health.routes[route.id].available_at(), health.channels[route.channel.id].resting_until) - now
        for model, _price in models
        for route in model.routes
        if route.fault is None
    ]
    raise NoAvailableChannel(min(waits, default=5.0))
