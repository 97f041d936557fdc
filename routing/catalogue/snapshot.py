"""The catalogue in memory: channels, routes, models and prices as an immutable snapshot.

Each process rebuilds its snapshot when the catalogue's version number in the database moves, asked about once a
second. A request keeps the snapshot, and so the price version, that it began with.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Min
from django.utils import timezone

from billing.models import Price, Rates
from billing.prices import Tariff
from routing.catalogue.models import CatalogueModel, CatalogueVersion, Channel, CostPrice, Route
from routing.catalogue.vault import SealBroken
from routing.providers import ADAPTERS
from routing.selection.reasons import LACKS, Reason
from routing.wire import addresses
from routing.wire.addresses import ForbiddenAddress, Origin
from routing.wire.client import Timeouts

log = logging.getLogger(__name__)


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
    """A public model with its routes and, by currency, its price versions in the order they take effect."""

    name: str
    description: str
    created_at: float
    context_window: int
    output_limit: int
    default_output: int
    prompt_overhead: int
    capabilities: frozenset[str]
    """In the words of routing/selection/reasons.py."""
    routes: tuple[RouteView, ...]
    prices: dict[str, tuple[tuple[float, Tariff], ...]]
    routes_by_id: dict[int, RouteView] = field(init=False)
    is_served: bool = field(init=False)
    """Whether any route could ever answer while this snapshot holds; routes that rest or are broken count."""
    header: bytes = field(init=False)
    """The name as a response header can carry it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "header", _header_text(self.name))
        object.__setattr__(self, "routes_by_id", {route.id: route for route in self.routes})
        object.__setattr__(self, "is_served", any(route.fault is None for route in self.routes))

    def price(self, currency: str, now: float) -> Tariff | None:
        """The price in force at `now` (seconds since the epoch); a model without one cannot be called."""
        in_force = None
        for since, tariff in self.prices.get(currency, ()):
            if since <= now:
                in_force = tariff
        return in_force


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that requests read of the catalogue; `version` is -1 before the first load."""

    version: int
    models: dict[str, ModelView]
    valid_until: float
    """Seconds since the epoch: when the next cost price takes effect."""


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
    routes: dict[int, list[RouteView]] = defaultdict(list)
    channels = {row.pk: _channel(row) for row in Channel.objects.all()}
    for row in Route.objects.order_by("pk"):
        if row.channel_id in channels:  # else made since: the next version has it
            routes[row.model_id].append(_route(row, channels[row.channel_id], costs.get(row.pk)))
    prices = _prices()
    models = {
        row.name: _model(row, tuple(routes[row.pk]), prices.get(row.name, {}))
        for row in CatalogueModel.objects.filter(is_enabled=True)
    }
    upcoming = CostPrice.objects.filter(effective_from__gt=now).aggregate(next=Min("effective_from"))["next"]
    return Snapshot(version, models, upcoming.timestamp() if upcoming else math.inf)


def view_routes(channel: Channel, routes: Sequence[Route]) -> list[RouteView]:
    """A channel's routes as requests would see them, enabled or not; raises SealBroken."""
    channel.secret  # noqa: B018 - a channel whose secret cannot be opened is no channel to test
    view, costs = _channel(channel), _latest_costs(timezone.now())
    return [_route(row, view, costs.get(row.pk)) for row in routes]


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
    rows = CostPrice.objects.filter(effective_from__lte=now).order_by("route_id", "effective_from", "version")
    return {row.route_id: row.tariff for row in rows}


def _prices() -> dict[str, dict[str, tuple[tuple[float, Tariff], ...]]]:
    rows: dict[tuple[str, str], list[Rates]] = defaultdict(list)
    for row in Price.objects.order_by("model", "currency", "effective_from", "version"):
        rows[row.model, row.currency].append(row)
    prices: dict[str, dict[str, tuple[tuple[float, Tariff], ...]]] = defaultdict(dict)
    for (model, currency), versions in rows.items():
        prices[model][currency] = tuple((row.effective_from.timestamp(), row.tariff) for row in versions)
    return prices


def _model(row: CatalogueModel, routes: tuple[RouteView, ...], prices: dict[str, Any]) -> ModelView:
    return ModelView(
        name=row.name,
        description=row.description,
        created_at=row.created_at.timestamp(),
        context_window=row.context_window,
        output_limit=row.output_limit,
        default_output=row.default_output,
        prompt_overhead=row.prompt_overhead,
        capabilities=frozenset(name for name in LACKS if getattr(row, f"supports_{name}")),
        routes=routes,
        prices=prices,
    )
