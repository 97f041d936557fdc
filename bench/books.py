"""The gateway's database: opened with one funded tenant before the load, proved after it.

Run in a process of its own, with the gateway's environment: `python -m bench.books open JSON_PORT STREAM_PORT` prints
the key, `python -m bench.books count` prints how the usage records ended, both as JSON. `keys NUMBER FILE` makes more
keys and writes them down, `made-up NUMBER FILE` writes down keys of nobody, `idle NUMBER` makes keys that nobody uses.
"""

from __future__ import annotations

import json
import os
import sys
from decimal import Decimal
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")
django.setup()

from django.db import connection  # noqa: E402  (models exist only after setup)
from django.db.models import Count  # noqa: E402  (models exist only after setup)

from accounts import keys  # noqa: E402
from accounts.models import ApiKey, Tenant, User  # noqa: E402
from accounts.tenants import open_tenant  # noqa: E402
from bench import payloads  # noqa: E402
from billing import balances, ledger, money  # noqa: E402
from billing.models import LedgerEntry, Price, Quota, Reservation, UsageRecord  # noqa: E402
from routing.models import CatalogueModel, Channel, CostPrice, Route  # noqa: E402

_FUNDS = Decimal(1_000_000)
_UNREACHED = 2_000_000_000
"""A limit per minute that is checked at every request and never met (the column ends at 2^31)."""


def open_books(json_port: int, stream_port: int, *, has_quotas: bool = False) -> str:
    """One tenant with money and a limited key; one channel and route to each upstream, with prices. Returns the key.

    With quotas the tenant has one a month and the key one a day, checked at every request and never met.
    """
    owner = User.objects.create_user("bench@example.com")
    tenant = open_tenant(owner=owner, name="Benchmark")
    wallet = balances.open_wallet(tenant)
    amount = money.from_decimal(_FUNDS, tenant.currency)
    ledger.post(balance=wallet, kind=LedgerEntry.Kind.TOP_UP, amount=amount, reference="bench")
    _open_catalogue(_channel("bench-json", json_port), _channel("bench-streams", stream_port))
    issued = keys.issue(
        tenant=tenant,
        name="bench",
        created_by=owner,
        requests_per_minute=_UNREACHED,
        tokens_per_minute=_UNREACHED,
        concurrency=_UNREACHED,
    )
    if has_quotas:
        Quota.objects.create(tenant=tenant, amount=amount)
        Quota.objects.create(tenant=tenant, api_key=issued.api_key, period=Quota.Period.DAY, amount=amount)
    return issued.secret


def more_keys(number: int) -> list[str]:
    """So many keys of the tenant, without limits."""
    tenant = Tenant.objects.get()
    secrets = [keys.generate() for _key in range(number)]
    ApiKey.objects.bulk_create(
        [ApiKey(tenant=tenant, name="active", digest=keys.digest(secret)) for secret in secrets], batch_size=1_000
    )
    return secrets


def idle_keys(number: int) -> None:
    """So many keys that nobody uses, made by the database itself."""
    columns = ", ".join(name for name in ApiKey.objects.values()[0] if name not in {"id", "digest"})
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO accounts_apikey ({columns}, digest) SELECT {columns}, md5('a' || n) || md5('b' || n) "
            "FROM (SELECT * FROM accounts_apikey LIMIT 1) one, generate_series(1, %s) n",
            [number],
        )
        cursor.execute("ANALYZE accounts_apikey")


def count() -> dict[str, int]:
    """Usage records by outcome, and the reservations still open."""
    rows = UsageRecord.objects.order_by().values_list("outcome").annotate(number=Count("pk"))
    return dict(rows) | {"open_reservations": Reservation.objects.count()}


def _channel(name: str, port: int) -> Channel:
    channel = Channel(name=name, provider="openai", base_url=f"http://127.0.0.1:{port}/v1")
    channel.set_secret("bench-upstream-secret")
    channel.save()
    return channel


def _open_catalogue(json_channel: Channel, stream_channel: Channel) -> None:
    for name in payloads.MODELS:
        endpoints = ["embeddings"] if name == payloads.EMBEDDINGS_MODEL else None
        model = CatalogueModel.objects.create(name=name, endpoints=endpoints)
        channel = json_channel if payloads.shape_of(name.encode()) is None else stream_channel
        route = Route.objects.create(channel=channel, model=model, upstream_name=name)
        CostPrice.objects.create(
            route=route, currency=Tenant.Currency.USD, input=100_000_000, cached_input=50_000_000, output=400_000_000
        )
        Price.objects.create(
            model=name, currency=Tenant.Currency.USD, input=150_000_000, cached_input=75_000_000, output=600_000_000
        )


def main(arguments: list[str]) -> None:
    if arguments[0] == "open":
        secret = open_books(int(arguments[1]), int(arguments[2]), has_quotas="quotas" in arguments)
        print(json.dumps({"key": secret}))
    elif arguments[0] == "keys":
        Path(arguments[2]).write_text("\n".join(more_keys(int(arguments[1]))))
    elif arguments[0] == "made-up":
        Path(arguments[2]).write_text("\n".join(keys.generate() for _key in range(int(arguments[1]))))
    elif arguments[0] == "idle":
        idle_keys(int(arguments[1]))
    else:
        print(json.dumps(count()))


if __name__ == "__main__":
    main(sys.argv[1:])
