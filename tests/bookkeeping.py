"""Wallets, prices, holds and settlements for the tests of the money core, on whichever database is the default one."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import environ
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from accounts.database import KNOWN_KEYS, READERS, REPORTERS, UNKNOWN_KEYS
from accounts.models import Tenant
from billing import balances, ledger
from billing.books import Books, Hold, Settlement, open_books
from billing.kinds import Usage
from billing.models import Balance, LedgerEntry, Price, Reservation, UsageRecord
from billing.reservations import new_id, timestamp

_numbers = itertools.count(1)


@contextlib.contextmanager
def default_database(url: str, blocker: DjangoDbBlocker) -> Iterator[None]:
    """Makes the database at `url` the default one of every thread inside the block."""
    before, connection = connections.settings["default"], connections["default"]
    configured = connections.configure_settings({"default": environ.Env.db_url_config(url)})["default"]
    if configured["ENGINE"].endswith("sqlite3"):
        configured["OPTIONS"] = {"timeout": 20, "transaction_mode": "IMMEDIATE"}
    else:
        configured["DISABLE_SERVER_SIDE_CURSORS"] = True  # as the settings have it
    connections.settings["default"] = configured
    del connections["default"]
    _forget_in(READERS, REPORTERS, KNOWN_KEYS, UNKNOWN_KEYS)
    ContentType.objects.clear_cache()  # its ids are of one database
    try:
        with blocker.unblock():
            yield
            connections["default"].close()
    finally:
        connections.settings["default"] = before
        connections["default"] = connection
        _forget_in(READERS, REPORTERS, KNOWN_KEYS, UNKNOWN_KEYS)
        ContentType.objects.clear_cache()


def _forget_in(*pools: ThreadPoolExecutor) -> None:
    """Every thread of these pools opens its next connection anew: to the database that is the default one by then."""
    for pool in pools:
        threads = pool._max_workers
        together = threading.Barrier(threads, timeout=10)
        for done in [pool.submit(_forget, together) for _ in range(threads)]:
            done.result()


def _forget(together: threading.Barrier) -> None:
    together.wait()  # so that each thread of the pool does it once
    with contextlib.suppress(AttributeError):
        connections["default"].close()
        del connections["default"]


def race(story: Callable[[Books], object], racers: int) -> None:
    """Tells the story in so many threads at once, each with books of its own; raises what one of them raises."""

    def run() -> None:
        books = open_books()
        try:
            story(books)
        finally:
            books.close()
            connections["default"].close()  # of this thread, where the story opened one

    with ThreadPoolExecutor(racers) as pool:
        for done in [pool.submit(run) for _racer in range(racers)]:
            done.result()


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant with a wallet, and a price to settle at."""

    tenant: Tenant
    wallet: Balance
    price: Price

    @property
    def available(self) -> int:
        return Balance.objects.get(pk=self.wallet.pk).available

    @property
    def reservations(self) -> set[str]:
        return {row.id.hex for row in Reservation.objects.filter(tenant=self.tenant)}

    @property
    def records(self) -> list[UsageRecord]:
        return list(UsageRecord.objects.filter(tenant=self.tenant).order_by("id"))

    def hold(self, amount: int, **fields: Any) -> Hold:
        given: dict[str, Any] = {
            "id": new_id(),
            "legs": (self.wallet.pk,),
            "tenant_id": self.tenant.pk,
            "amount": amount,
            "api_key_id": 1,
            "endpoint": "chat.completions",
            "model": self.price.model,
            "price_id": self.price.pk,
            "is_stream": False,
            "created_at": timestamp(time.time()),
        }
        return Hold(**(given | fields))

    def settlement(self, id_: str, cost: int, **fields: Any) -> Settlement:
        """Of a hold of at least so much, unless `held` says otherwise."""
        given: dict[str, Any] = {
            "id": id_,
            "legs": (self.wallet.pk,),
            "held": cost,
            "tenant_id": self.tenant.pk,
            "requested_model": self.price.model,
            "model": self.price.model,
            "price_id": self.price.pk,
            "currency": "USD",
            "usage": Usage(input=10, output=5),
            "claimed_cost": cost,
            "channel": "first",
            "upstream_model": "upstream",
            "attempts": [{"channel": "first", "outcome": "answered"}],
            "decision": {"strategy": "cheapest"},
            "first_byte_ms": 3,
            "duration_ms": 7,
        }
        return Settlement(**(given | fields))


def account(funds: int, *, input_rate: int = 1_000_000, output_rate: int = 2_000_000) -> Account:
    """A new tenant with so many ledger units, and a price of its own (by default 1 and 2 ledger units a token)."""
    tenant = Tenant.objects.create(name=f"tenant {next(_numbers)}")
    wallet = balances.open_wallet(tenant)
    if funds:
        ledger.post(
            balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=funds, reference=f"grant-{secrets.token_hex(8)}"
        )
    price = Price.objects.create(model=f"model-{next(_numbers)}", input=input_rate, output=output_rate)
    return Account(tenant, wallet, price)


def assert_books_add_up() -> None:
    """The identity holds on every balance."""
    assert [row for row in ledger.accounts() if row.difference] == []


def is_postgres() -> bool:
    return connections["default"].vendor == "postgresql"


def dead_seconds() -> float:
    """How old a heartbeat may be before its process counts as dead."""
    return float(settings.OWNER_DEAD_SECONDS)
