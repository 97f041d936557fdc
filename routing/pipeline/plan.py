"""What a request may do: its models and prices, its needs, and its ranked routes. No money is touched here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NoReturn

import msgspec

from accounts.callers import Caller
from billing.kinds import NOTHING, Kind
from billing.money import EXPONENT, PER_MILLION
from billing.prices import Tariff, lines
from routing.catalogue.snapshot import ModelView, RouteView, Snapshot
from routing.endpoints import paths
from routing.endpoints.base import EndpointRequest, Needs, is_served
from routing.endpoints.invalid import UnsupportedParameter
from routing.endpoints.preferences import ProviderPreferences
from routing.errors import ModelNotFound, NoAvailableChannel, NoMatchingRoute
from routing.pipeline.call import Call, Option, Plan
from routing.pipeline.forms import Forms
from routing.selection.health import UNMET, UNMET_CHANNEL, Health
from routing.selection.rank import Candidate, Decision, Demand, kept, misfit, rank
from routing.selection.reasons import WORDS, Reason
from routing.selection.shortlist import Faults, is_about_costs


def resolve(call: Call, health: Health, forms: Forms | None = None) -> Plan:
    """Everything that can be said before money is touched; `forms` are those that the request was said in already.

    Raises ModelNotFound, NoMatchingRoute, NoAvailableChannel, UnsupportedParameter for what has no price, or what the
    endpoint refuses (too long, too much).
    """
    models = find_models(call)
    main, _price = models[0]
    needs = call.endpoint.needs(
        call.request, call.body, call.body_bytes, main, health.learned, call.caller.tenant_id
    )  # fmt: skip
    if needs.beside is not NOTHING:
        models = _covering(models, needs)
    decision, options = _rank(call, models, needs, health, forms or Forms(call))
    return Plan(call, models, needs, decision, options, needs.expected_input + needs.cap * needs.answers)


def find_models(call: Call) -> tuple[tuple[ModelView, Tariff], ...]:
    """The model asked for and its fallbacks, as far as this key can call them; raises ModelNotFound."""
    name = call.request.model
    main = find_model(call.snapshot, call.caller, _base_name(call.snapshot, name), call.started_at)
    if main is None:
        raise ModelNotFound(name)
    if not is_served(call.endpoint, main[0].endpoints):
        raise ModelNotFound(name, paths(main[0].endpoints))
    if not call.request.models:
        return (main,)
    found = [main]
    for wanted in call.request.models:
        model = find_model(call.snapshot, call.caller, _base_name(call.snapshot, wanted), call.started_at)
        if model is not None and model not in found and is_served(call.endpoint, model[0].endpoints):
            found.append(model)
    return tuple(found)


def find_model(snapshot: Snapshot, caller: Caller, name: str, now: float) -> tuple[ModelView, Tariff] | None:
    """The model and its price, if this caller can call it."""
    model = snapshot.models.get(name)
    if model is None or not model.is_served or not caller.may_call(name):
        return None
    price = model.price(caller.currency, caller.price_plan, now)
    return None if price is None else (model, price)


def _covering(
    models: tuple[tuple[ModelView, Tariff], ...], needs: Needs
) -> tuple[tuple[ModelView, Tariff], ...]:  # fmt: skip
    """The models whose prices cover what is used beside tokens: nothing is given away that has no price.

    Raises UnsupportedParameter if none does.
    """
    lacking = [_unpriced(needs, price) for _model, price in models]
    if all(lacking):
        name, kinds = models[0][0].name, ", ".join(kind.unit for kind in lacking[0])
        raise UnsupportedParameter(f"The model '{name}' has no price for {kinds}.", param="model")
    return tuple(model for model, lacks in zip(models, lacking, strict=True) if not lacks)


def _unpriced(needs: Needs, price: Tariff) -> list[Kind]:
    """What this request uses and the price does not know, whatever its length turns out to be."""
    tariffs = price.within(needs.input_bound)
    if needs.is_paid_in_tokens:
        tariffs = [tariff for tariff in tariffs if not (tariff.highest_input or tariff.highest_output)]
    return [
        kind for tariff in tariffs for kind in tariff.unpriced if getattr(needs.beside, kind.name)
    ]  # fmt: skip


def _base_name(snapshot: Snapshot, name: str) -> str:
    """The public name without OpenRouter's `:floor` and `:nitro`."""
    if name not in snapshot.models:
        for suffix in (":floor", ":nitro"):
            if name.endswith(suffix):
                return name.removesuffix(suffix)
    return name


def _rank(
    call: Call, models: tuple[tuple[ModelView, Tariff], ...], needs: Needs, health: Health, forms: Forms
) -> tuple[Decision, tuple[Option, ...]]:
    """The decision, over the fallback models too, and what to try; raises if there is nothing."""
    now = time.monotonic()
    demand, provider = _demand(call.request, needs), call.request.provider
    decisions: list[Decision] = []
    left_out = _NONE
    options: list[Option] = []
    for model, price in models:
        asked = demand if provider is None else _over_max_price(demand, provider, price)
        considered, others = _considered(model, asked, forms, needs.prefix, now, health)
        ranked = rank(asked, [_candidate(route, model, forms, needs.prefix, now, health) for route in considered])
        decisions.append(ranked)
        if others:
            left_out = Counter(left_out) + Counter(others) if left_out else others
        for each in ranked.candidates:
            if each.state == "out":
                break  # so are all that come behind
            route = model.routes_by_id[each.route]
            options.append(Option(route, model, price, *forms.of(route.channel)))
    if not options:
        _refuse_unroutable(models, decisions, forms, now, health)
    if provider is not None and provider.allow_fallbacks is False:
        options = options[:1]
    return kept(decisions[0] if len(decisions) == 1 else _merged(decisions), left_out), tuple(options)


def _considered(
    model: ModelView, demand: Demand, forms: Forms, prefix: int, now: float, health: Health
) -> tuple[Sequence[RouteView], Mapping[str, int]]:
    """The routes that are ranked: all, or of very many those that can come first; and how many others there are."""
    if model.routes_by_price is None or not is_about_costs(demand) or misfit(demand, model) is not None:
        return model.routes, _NONE
    faults = Faults(forms.endpoint.name, forms.kind, lambda route: forms.fault(route.channel))
    short = model.routes_by_price.shortlist(demand, prefix, now, health, faults)
    return short.routes, short.left_out


_NONE: Final[Mapping[str, int]] = {}


def _demand(request: EndpointRequest, needs: Needs) -> Demand:
    demand = Demand(
        expected_input=needs.expected_input,
        expected_output=needs.expected_output,
        capabilities=needs.capabilities,
        needs_context=needs.least_input + (1 if needs.is_cap_ours else needs.cap),
        strategy="fastest" if request.model.endswith(":nitro") else "cheapest",
        beside=needs.beside if needs.expected_beside is NOTHING else needs.expected_beside,
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


def _over_max_price(demand: Demand, provider: ProviderPreferences, price: Tariff) -> Demand:
    """The demand, out of reach where the tenant pays more than the request's `max_price` or `max_cost` allows."""
    if provider.max_price is None and provider.max_cost is None:
        return demand
    bound, price = provider.max_price, price.for_input(demand.expected_input)
    exact = demand.expected_input * price.input + demand.expected_output * price.output
    exact += sum(line.exact_millionths for line in lines(demand.beside, price))
    pairs = [(provider.max_cost, exact // PER_MILLION + price.request_fee)]
    if bound is not None:
        pairs += [(bound.prompt, price.input), (bound.completion, price.output), (bound.request, price.request_fee)]
    unit = 10 ** EXPONENT[price.currency]
    # By the number as it was written: 2.01 times 10**9 is less than 2,010,000,000 where it is binary.
    is_over = any(limit is not None and amount > Decimal(repr(limit)) * unit for limit, amount in pairs)
    return msgspec.structs.replace(demand, is_over_max_price=is_over)


def _candidate(
    route: RouteView, model: ModelView, forms: Forms, prefix: int, now: float, health: Health
) -> Candidate:  # fmt: skip
    state = health.routes.get(route.id, UNMET)
    channel = route.channel
    return Candidate(
        route_id=route.id,
        channel=channel.name,
        upstream_model=route.upstream_name,
        cost=route.cost,
        priority=channel.priority,
        weight=channel.weight,
        fault=route.fault or forms.fault(channel) or health.reason_out(route.id, channel.id, channel.concurrency, now),
        success_rate=state.success_rate,
        cached_share=health.cached_share(prefix, route.id, now),
        latency=state.latency,
        capabilities=model.capabilities,
        context_window=model.context_window,
    )


def _merged(decisions: list[Decision]) -> Decision:
    """One decision over several models: the first usable route of all is the chosen one."""
    verdicts = [verdict for decision in decisions for verdict in decision.candidates]
    chosen, *others = (verdict for verdict in verdicts if verdict.state != "out")
    ready = [msgspec.structs.replace(verdict, state="ready") for verdict in others]
    out = [verdict for verdict in verdicts if verdict.state == "out"]
    expected = next(decision.expected for decision in decisions if decision.order)
    return Decision(decisions[0].strategy, expected, (chosen, *ready, *out))


def _refuse_unroutable(
    models: tuple[tuple[ModelView, Tariff], ...], decisions: list[Decision], forms: Forms, now: float, health: Health
) -> NoReturn:
    for decision in decisions:
        constraint = decision.constraint()
        if constraint is Reason.NOT_EXPRESSIBLE and forms.lacking:
            raise UnsupportedParameter(
                f"'{forms.lacking}' asks for what no route of this model can be asked for.", param=forms.lacking
            )
        if constraint is not None:
            raise NoMatchingRoute(f"{WORDS[constraint].client} (constraint: {constraint})")
    waits = [
        max(
            health.routes.get(route.id, UNMET).available_at(),
            health.channels.get(route.channel.id, UNMET_CHANNEL).resting_until,
        )
        - now
        for model, _price in models
        for route in model.routes
        if route.fault is None
    ]
    raise NoAvailableChannel(min(waits, default=5.0))
