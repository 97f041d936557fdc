"""The catalogue in memory: channels, routes, models and prices as an immutable snapshot.

Each process rebuilds its snapshot when the catalogue's version number in the database moves, asked about once a
second. A request keeps the snapshot, and so the price version, that it began with. What held before is in the database
alone: a snapshot has the versions in force and those to come, so that making it costs the same after years of prices.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Min, OuterRef, QuerySet, Subquery
from django.utils import timezone

from accounts.models import Tenant
from billing.models import Price, PricePlan, PriceWithdrawal
from billing.prices import DAY, Tariff
from routing.catalogue.models import (
    CatalogueModel,
    CatalogueVersion,
    Channel,
    CostPrice,
    CostPriceWithdrawal,
    Route,
)
from routing.catalogue.vault import SealBroken
from routing.endpoints.base import Endpoint, Form
from routing.providers import ADAPTERS, read_options
from routing.providers.base import NO_OPTIONS, Options
from routing.selection.reasons import LACKS, Reason
from routing.selection.shortlist import MANY, RoutesByPrice
from routing.wire import addresses
from routing.wire.addresses import ForbiddenAddress, Origin
from routing.wire.answer import Timeouts

log = logging.getLogger(__name__)

_KEPT: Final = dt.timedelta(minutes=5)
"""What held so long ago is still known: a request is priced by when it began, and its body may take a minute."""

Prices = dict[tuple[str, int], list[tuple[float, Tariff]]]
"""Of one model: by currency and plan, from when on it is which."""


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel as a request sees it."""

    id: int
    name: str
    provider: str
    origin: Origin | None
    secret: str = field(repr=False)
    priority: int
    weight: int
    timeouts: Timeouts
    drains: bool
    """Whether a stream is read on to its end when the client leaves."""
    concurrency: int | None
    fault: Reason | None
    """Why the channel cannot be used at all."""
    header: bytes
    """The name as a response header can carry it."""
    hidden: tuple[bytes, ...] = field(repr=False)
    """What no tenant may read beside an answer: the upstream's host, our secret there."""
    options: Options = NO_OPTIONS
    """Of its provider's own kind."""
    forms: dict[str, Form | None] = field(default_factory=dict, repr=False, compare=False)
    """By endpoint, the format in which its upstream is asked, as far as somebody has wanted to know."""

    def form(self, endpoint: Endpoint) -> Form | None:
        """The format in which this channel's upstream can be asked for an endpoint; None if in none."""
        try:
            return self.forms[endpoint.name]
        except KeyError:
            adapter, host = ADAPTERS[self.provider], self.origin.host if self.origin else ""
            spoken = (each for each in (endpoint, *endpoint.over) if adapter.speaks(each.name, host, self.options))
            found = self.forms[endpoint.name] = next(spoken, None)
            return found


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route as a request sees it; `fault` says why it can never be used while this snapshot holds."""

    id: int
    channel: ChannelView
    upstream_name: str
    cost: Tariff | None
    fault: Reason | None


@dataclass(frozen=True, slots=True)
class ModelView:
    """A public model with its routes and, by currency and plan (0: the list), its price versions in order.

    Of those, what held five minutes before the snapshot was made and everything since: no request is older.
    """

    name: str
    description: str
    created_at: float
    context_window: int
    output_limit: int
    default_output: int
    prompt_overhead: int
    capabilities: frozenset[str]
    """In the words of routing/selection/reasons.py."""
    endpoints: frozenset[str]
    """The names of those that it is called for; it answers at those that can be said in them, too."""
    routes: tuple[RouteView, ...]
    prices: dict[tuple[str, int], tuple[tuple[float, Tariff], ...]]
    routes_by_id: dict[int, RouteView] = field(init=False)
    is_served: bool = field(init=False)
    """Whether any route could ever answer while this snapshot holds; routes that rest or are broken count."""
    header: bytes = field(init=False)
    """The name as a response header can carry it."""
    routes_by_price: RoutesByPrice[RouteView] | None = field(init=False, repr=False, compare=False)
    """Where there are many."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "header", _header_text(self.name))
        object.__setattr__(self, "routes_by_id", {route.id: route for route in self.routes})
        object.__setattr__(self, "routes_by_price", RoutesByPrice(self.routes) if len(self.routes) > MANY else None)
        object.__setattr__(self, "is_served", any(route.fault is None for route in self.routes))

    def price(self, currency: str, plan: int, now: float) -> Tariff | None:
        """The price in force at `now` (seconds since the epoch); a model without one cannot be called."""
        in_force = None
        for since, tariff in self.prices.get((currency, plan), ()):
            if since <= now:
                in_force = tariff
        if in_force is None and plan:
            return self.price(currency, 0, now)
        return in_force.at(now) if in_force is not None and in_force.hours else in_force


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that requests read of the catalogue; `version` is -1 before the first load."""

    version: int
    models: dict[str, ModelView]
    valid_until: float
    """Seconds since the epoch: when other cost prices hold."""


EMPTY: Final = Snapshot(-1, {}, 0.0)


class Catalogue:
    """This process's current snapshot. `refresh` runs in the scheduler's thread; reading it costs nothing."""

    def __init__(self) -> None:
        self.snapshot = EMPTY

    def refresh(self) -> bool:
        """Rebuilds the snapshot if the catalogue has changed; whether it had."""
        version = read_version()
        if version == self.snapshot.version and time.time() < self.snapshot.valid_until:
            return False
        self.snapshot = build(version)
        log.info("catalogue version %d: %d models", version, len(self.snapshot.models))
        return True


def read_version() -> int:
    return CatalogueVersion.objects.values_list("number", flat=True).first() or 0


def build(version: int) -> Snapshot:
    """The catalogue as the database has it now. What cannot be used is kept, with the reason."""
    now = timezone.now()
    costs = _latest_costs(now)
    holding = {route_id: tariff.at(now.timestamp()) for route_id, tariff in costs.items()}
    routes: dict[int, list[RouteView]] = defaultdict(list)
    channels = {row.pk: _channel(row) for row in Channel.objects.all()}
    for row in Route.objects.order_by("pk"):
        if row.channel_id in channels:  # else made since: the next version has it
            routes[row.model_id].append(_route(row, channels[row.channel_id], holding.get(row.pk)))
    prices = _prices(now - _KEPT)
    models = {
        row.name: _model(row, tuple(routes[row.pk]), prices.get(row.name, {}))
        for row in CatalogueModel.objects.filter(is_enabled=True)
    }
    return Snapshot(version, models, _valid_until(now, costs.values()))


def _valid_until(now: dt.datetime, costs: Iterable[Tariff]) -> float:
    """When the next cost price takes effect, or other hours of the day begin for one."""
    upcoming = CostPrice.objects.filter(effective_from__gt=now, withdrawal=None).aggregate(next=Min("effective_from"))[
        "next"
    ]
    midnight = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    begins = {begin for tariff in costs for begin, _tariff in tariff.hours}
    changes = [midnight + 60 * minute for begin in begins for minute in (begin, begin + DAY)]
    changes.append(upcoming.timestamp() if upcoming else math.inf)
    return min(change for change in changes if change > now.timestamp())


def view_routes(channel: Channel, routes: Sequence[Route]) -> list[RouteView]:
    """A channel's routes as requests would see them, enabled or not; raises SealBroken."""
    channel.secret  # noqa: B018 - a channel whose secret cannot be opened is no channel to test
    now = timezone.now()
    view, costs = _channel(channel), _latest_costs(now)
    holding = {route_id: tariff.at(now.timestamp()) for route_id, tariff in costs.items()}
    return [_route(row, view, holding.get(row.pk)) for row in routes]


def _channel(row: Channel) -> ChannelView:
    is_usable = row.status == Channel.Status.ENABLED and row.provider in ADAPTERS
    fault: Reason | None = None if is_usable else Reason.CHANNEL_DISABLED
    secret, origin = "", None
    try:
        secret = row.secret
    except SealBroken:
        log.error("the secret of channel %s cannot be opened; the channel is out", row.pk)
        fault = fault or Reason.NO_SECRET
    try:
        origin = addresses.parse(row.base_url)
    except ForbiddenAddress:
        fault = fault or Reason.CHANNEL_DISABLED
    options = NO_OPTIONS
    if row.provider in ADAPTERS:
        try:
            options = read_options(row.provider, row.options or {}).at(origin.host if origin else "")
        except ValueError as error:
            log.error("the options of channel %s cannot be read (%s); the channel is out", row.pk, error)
            fault = fault or Reason.CHANNEL_DISABLED
    return ChannelView(
        id=row.pk,
        name=row.name,
        provider=row.provider,
        origin=origin,
        secret=secret,
        priority=row.priority,
        weight=row.weight,
        timeouts=Timeouts(row.connect_timeout, row.first_byte_timeout, row.idle_timeout, row.total_timeout),
        drains=row.disconnect_policy == Channel.DisconnectPolicy.DRAIN,
        concurrency=row.concurrency,
        fault=fault,
        header=_header_text(row.name),
        options=options,
        hidden=tuple(word.encode() for word in (origin.host if origin else "", secret) if word),
    )


def _header_text(name: str) -> bytes:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in name).encode()


def _route(row: Route, channel: ChannelView, cost: Tariff | None) -> RouteView:
    fault = channel.fault
    if fault is None and not row.is_enabled:
        fault = Reason.ROUTE_DISABLED
    if fault is None and cost is None:
        fault = Reason.NO_COST_PRICE
    return RouteView(row.pk, channel, row.upstream_name, cost, fault)


def _latest_costs(now: dt.datetime) -> dict[int, Tariff]:
    """By route, the cost price in force."""
    versions = CostPrice.objects.filter(route=OuterRef("pk"))
    held = Route.objects.values_list(_in_force(versions, CostPriceWithdrawal.objects.all(), now), flat=True)
    return {row.route_id: row.tariff for row in CostPrice.objects.in_bulk(list(filter(None, held))).values()}


def _prices(since: dt.datetime) -> dict[str, Prices]:
    """By model, what was in force at this moment and has taken or will take effect afterwards."""
    found: dict[str, Prices] = defaultdict(lambda: defaultdict(list))
    coming = Price.objects.in_use().filter(effective_from__gt=since)
    for row in (*_prices_in_force(since), *coming.order_by("effective_from", "version")):
        found[row.model][row.currency, row.plan_id or 0].append((row.effective_from.timestamp(), row.tariff))
    return found


def _prices_in_force(moment: dt.datetime) -> Iterator[Price]:
    """One of each enabled model, currency and plan."""
    plans = [None, *PricePlan.objects.values_list("pk", flat=True)]
    for currency, plan in itertools.product(Tenant.Currency.values, plans):
        versions = Price.objects.filter(model=OuterRef("name"), currency=currency, plan=plan)
        models = CatalogueModel.objects.filter(is_enabled=True)
        held = models.values_list(_in_force(versions, PriceWithdrawal.objects.all(), moment), flat=True)
        yield from Price.objects.in_bulk(list(filter(None, held))).values()


def _in_force(versions: QuerySet[Any], withdrawals: QuerySet[Any], moment: dt.datetime) -> Subquery:
    """The id of the version that held at a moment: the last entry of an index, however many versions there are.

    Not by `withdrawal=None`: that is a join, for which PostgreSQL reads and sorts all of them (1,000 routes with 200
    versions: 0.6 s instead of 0.01).
    """
    held = versions.filter(effective_from__lte=moment).exclude(pk__in=withdrawals.values("price"))
    return Subquery(held.order_by("-effective_from", "-version").values("pk")[:1])


def _model(row: CatalogueModel, routes: tuple[RouteView, ...], prices: Prices) -> ModelView:
    return ModelView(
        name=row.name,
        description=row.description,
        created_at=row.created_at.timestamp(),
        context_window=row.context_window,
        output_limit=row.output_limit,
        default_output=row.default_output,
        prompt_overhead=row.prompt_overhead,
        capabilities=frozenset(name for name in LACKS if getattr(row, f"supports_{name}")),
        endpoints=row.served,
        routes=routes,
        prices={key: tuple(versions) for key, versions in prices.items()},
    )
