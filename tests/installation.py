"""What an operator and the tenants have set up in one gateway's database, made through the models.

Models come in stock: a change of the catalogue needs up to two seconds to reach a gateway, so that a shape of model
that a test asks for is made a dozen at a time, and every test gets one that nobody has used.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import environ
import httpx
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend
from pytest_django.plugin import DjangoDbBlocker

from accounts import keys
from accounts.models import ApiKey, Tenant
from billing import balances, ledger, money
from billing.models import Balance, LedgerEntry, Price, Reservation, UsageRecord
from routing.models import CatalogueModel, Channel, CostPrice, Route

DOLLAR: Final = 1_000_000_000
"""Ledger units of one USD."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Tariff:
    """A price: ledger units per million tokens, and per request."""

    input: int = 2 * DOLLAR
    output: int = 8 * DOLLAR
    cached_input: int | None = DOLLAR // 2
    cache_write: int | None = None
    cache_write_1h: int | None = None
    request_fee: int = 0
    currency: str = "USD"
    image: int | None = None
    second: int | None = None
    character: int | None = None


@dataclass(frozen=True, slots=True)
class Via:
    """One route of a model, on a channel of its own. Without a URL it leads to the scripted upstream."""

    cost: Tariff | None = field(default_factory=lambda: Tariff(input=DOLLAR, output=4 * DOLLAR, cached_input=None))
    url: str = ""
    priority: int = 0
    connect_timeout: float = 2
    first_byte_timeout: float = 20
    idle_timeout: float = 20
    total_timeout: float = 60
    disconnect_policy: str = "cancel"
    concurrency: int | None = None
    is_enabled: bool = True
    provider: str = "openai"
    options: tuple[tuple[str, Any], ...] = ()


CHEAP: Final = Via()
DEAR: Final = Via(cost=Tariff(input=2 * DOLLAR, output=8 * DOLLAR, cached_input=None))
DEAREST: Final = Via(cost=Tariff(input=3 * DOLLAR, output=9 * DOLLAR, cached_input=None))
HASTY: Final = Via(first_byte_timeout=0.5, idle_timeout=0.5, total_timeout=2)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a test asks of a model: its routes, its price, what it can do."""

    vias: tuple[Via, ...] = (CHEAP,)
    price: Tariff | None = field(default_factory=Tariff)
    is_enabled: bool = True
    context_window: int = 128_000
    output_limit: int = 16_384
    default_output: int = 4_096
    prompt_overhead: int = 256
    supports_tools: bool = True
    supports_images: bool = True
    supports_json_schema: bool = True
    endpoints: tuple[str, ...] | None = None


SINGLE: Final = Shape()
DOUBLE: Final = Shape(vias=(CHEAP, DEAR))
COST: Final = 12 * 2_000 + 5 * 8_000
"""Of an answer with the upstream's own counts (tests/upstream.py), at an offer's price."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that one test has for itself; `upstreams` are its upstream names, the cheapest route first."""

    name: str
    upstreams: tuple[str, ...]
    channels: tuple[str, ...]
    secrets: tuple[str, ...]
    price_id: int | None

    @property
    def upstream(self) -> str:
        return self.upstreams[0]


@dataclass(frozen=True, slots=True)
class Holder:
    """A tenant with a wallet and a key."""

    tenant: Tenant
    wallet: Balance
    api_key: ApiKey
    secret: str


class Installation:
    """The database of one running gateway."""

    def __init__(self, *, gateway_url: str, database_url: str, upstream_url: str, blocker: DjangoDbBlocker) -> None:
        self.gateway_url = gateway_url
        self.upstream_url = upstream_url
        self.processes = 1
        self._blocker = blocker
        self._database_url = database_url
        self._connection = _connect(database_url)
        self._stock: dict[Shape, list[Offer]] = defaultdict(list)
        self._probe = self.holder()

    @contextlib.contextmanager
    def database(self) -> Iterator[None]:
        """Makes the gateway's database the default one, in this thread, inside the block."""
        before = connections["default"]
        connections["default"] = self._connection
        try:
            with self._blocker.unblock():
                yield
        finally:
            connections["default"] = before

    @contextlib.contextmanager
    def database_of_this_thread(self) -> Iterator[None]:
        """The same in a thread of a test's own, on a connection that is closed at the end."""
        own = connections["default"] = _connect(self._database_url)
        try:
            with self._blocker.unblock():
                yield
        finally:
            own.close()

    def close(self) -> None:
        with self.database():
            self._connection.close()

    # --- the operator's side -----------------------------------------------------------------------------------------

    def offer(self, shape: Shape = SINGLE) -> Offer:
        """A model of this shape that no test has used, known to the gateway."""
        if not self._stock[shape]:
            self.stock({shape: 12})
        return self._stock[shape].pop()

    def stock(self, wanted: dict[Shape, int]) -> None:
        """Makes so many models of each shape at once and waits until the gateway knows them."""
        with self.changes():
            for shape, count in wanted.items():
                self._stock[shape] += [self._make(shape) for _ in range(count)]

    @contextlib.contextmanager
    def changes(self) -> Iterator[None]:
        """Changes of the catalogue in one transaction; at the end the gateway has seen them."""
        with self.database(), transaction.atomic():
            yield
            marker = self._make(SINGLE).name
        self._wait_for(marker)

    def _make(self, shape: Shape) -> Offer:
        name = f"lab/model-{next(_numbers)}"
        model = CatalogueModel.objects.create(
            name=name,
            is_enabled=shape.is_enabled,
            context_window=shape.context_window,
            output_limit=shape.output_limit,
            default_output=shape.default_output,
            prompt_overhead=shape.prompt_overhead,
            supports_tools=shape.supports_tools,
            supports_images=shape.supports_images,
            supports_json_schema=shape.supports_json_schema,
            endpoints=shape.endpoints,
        )
        price = Price.objects.create(model=name, **_rates(shape.price)) if shape.price else None
        routes = [self._route(model, via) for via in shape.vias]
        return Offer(
            name=name,
            upstreams=tuple(route.upstream_name for route, _secret in routes),
            channels=tuple(route.channel.name for route, _secret in routes),
            secrets=tuple(secret for _route, secret in routes),
            price_id=price.pk if price else None,
        )

    def _route(self, model: CatalogueModel, via: Via) -> tuple[Route, str]:
        number, secret = next(_numbers), f"sk-upstream-{secrets.token_hex(12)}"
        channel = Channel(
            name=f"channel-{number}",
            provider=via.provider,
            options=dict(via.options),
            base_url=via.url or self.upstream_url,
            priority=via.priority,
            connect_timeout=via.connect_timeout,
            first_byte_timeout=via.first_byte_timeout,
            idle_timeout=via.idle_timeout,
            total_timeout=via.total_timeout,
            disconnect_policy=via.disconnect_policy,
            concurrency=via.concurrency,
            status=Channel.Status.ENABLED if via.is_enabled else Channel.Status.DISABLED,
        )
        channel.set_secret(secret)
        channel.save()
        route = Route.objects.create(channel=channel, model=model, upstream_name=f"upstream-{number}")
        if via.cost:
            CostPrice.objects.create(route=route, **_rates(via.cost))
        return route, secret

    def _wait_for(self, name: str) -> None:
        deadline = time.monotonic() + 5
        headers = {"authorization": f"Bearer {self._probe.secret}"}
        with httpx.Client(base_url=self.gateway_url, headers=headers) as client:
            while client.get(f"/v1/models/{name}").status_code != 200:
                if time.monotonic() > deadline:
                    raise AssertionError(f"the gateway does not know {name} after 5 s")
                time.sleep(0.05)
        if self.processes > 1:
            time.sleep(2)

    # --- the tenants' side -------------------------------------------------------------------------------------------

    def holder(
        self, *, funds: str = "10", currency: str = "USD", tenant: dict[str, Any] | None = None, **key: Any
    ) -> Holder:
        """A new tenant with so much money, and a key of it with these limits."""
        with self.database():
            row = Tenant.objects.create(name=f"tenant {next(_numbers)}", currency=currency, **(tenant or {}))
            wallet = balances.open_wallet(row)
            if amount := money.from_decimal(Decimal(funds), currency):
                ledger.post(
                    balance=wallet,
                    kind=LedgerEntry.Kind.GRANT,
                    amount=amount,
                    reference=f"grant-{secrets.token_hex(8)}",
                )
            issued = keys.issue(tenant=row, name="test", **key)
        return Holder(row, wallet, issued.api_key, issued.secret)

    def available(self, holder: Holder) -> int:
        """Ledger units left in the wallet."""
        with self.database():
            return Balance.objects.get(pk=holder.wallet.pk).available

    def reservations(self, holder: Holder) -> int:
        """How many of the wallet's reservations are open."""
        with self.database():
            return Reservation.objects.filter(tenant=holder.tenant).count()

    def records(self, holder: Holder) -> list[UsageRecord]:
        """The wallet's usage records, oldest first."""
        with self.database():
            return list(UsageRecord.objects.filter(tenant=holder.tenant).order_by("started_at"))

    # --- the books ---------------------------------------------------------------------------------------------------

    def newest_wallet(self) -> int:
        """The id of the wallet made last; what comes later is a test's own."""
        with self.database():
            return Balance.objects.order_by("pk").values_list("pk", flat=True).last() or 0

    def assert_books(self, *, seconds: float = 3, after: int = 0) -> None:
        """Every balance adds up, and within so many seconds no wallet made `after` that one holds money any more."""
        with self.database():
            held = Reservation.objects.filter(tenant__balances__gt=after)
            deadline = time.monotonic() + seconds
            while held.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert [account for account in ledger.accounts() if account.difference] == []
            assert list(held.values("id", "model", "amount")) == []


def _connect(url: str) -> BaseDatabaseWrapper:
    """A connection of our own that calls itself the default one."""
    databases = connections.configure_settings({"default": environ.Env.db_url_config(url)})
    options = databases["default"]
    if options["ENGINE"].endswith("sqlite3"):
        options["OPTIONS"] = {"timeout": 20, "transaction_mode": "IMMEDIATE"}
    wrapper: BaseDatabaseWrapper = load_backend(options["ENGINE"]).DatabaseWrapper(options, "default")
    return wrapper


def _rates(tariff: Tariff) -> dict[str, Any]:
    return {
        "currency": tariff.currency,
        "input": tariff.input,
        "output": tariff.output,
        "cached_input": tariff.cached_input,
        "cache_write": tariff.cache_write,
        "cache_write_1h": tariff.cache_write_1h,
        "request_fee": tariff.request_fee,
        "image": tariff.image,
        "second": tariff.second,
        "character": tariff.character,
    }
