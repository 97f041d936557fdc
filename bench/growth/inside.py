"""What the curves need of the gateway's own code and database, in a process of its own with the gateway's environment.

`routes N` makes a model of N routes, `versions ROUTES N` gives each of so many routes N versions of its prices and
prints the milliseconds of a rebuild of the catalogue, `hostile NAME` makes a model that no text is too long for,
`messages` prints the microseconds of reading conversations.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")
django.setup()

import orjson  # noqa: E402
from django.db import connection  # noqa: E402  (models exist only after setup)
from django.db.models import Model  # noqa: E402
from django.utils import timezone  # noqa: E402

from billing.models import Price  # noqa: E402
from routing.api.body import parse  # noqa: E402
from routing.catalogue import snapshot  # noqa: E402
from routing.endpoints.chat import CHAT  # noqa: E402
from routing.models import CatalogueModel, Channel, CostPrice, Route  # noqa: E402

_RATES = {"version": 1, "input": 150_000_000, "output": 600_000_000}


def routes(number: int) -> None:
    """A model called `candidates-N`, over as many channels, each of them at a price of its own."""
    upstream = Channel.objects.get(name="bench-json")
    model = CatalogueModel.objects.create(name=f"candidates-{number}")
    names = [f"candidate {number}-{place}" for place in range(number)]
    channels = Channel.objects.bulk_create(
        Channel(name=name, provider="openai", base_url=upstream.base_url) for name in names
    )
    made = Route.objects.bulk_create(
        Route(channel=each, model=model, upstream_name=model.name) for each in channels
    )  # fmt: skip
    CostPrice.objects.bulk_create(
        CostPrice(route=route, **{**_RATES, "input": 100_000_000 + place}) for place, route in enumerate(made)
    )
    Price.objects.create(model=model.name, **_RATES)


def versions(number_of_routes: int, number: int) -> float:
    """Milliseconds: the fastest of five rebuilds, once so many routes have so many versions each."""
    channel = Channel.objects.get(name="bench-json")
    if not CatalogueModel.objects.filter(name="old-0").exists():
        models = CatalogueModel.objects.bulk_create(
            CatalogueModel(name=f"old-{place}") for place in range(number_of_routes)
        )
        made = Route.objects.bulk_create(Route(channel=channel, model=each, upstream_name="up") for each in models)
        # Of what has held for less than five minutes a snapshot has the former version as well; of one there is none.
        old = {**_RATES, "effective_from": timezone.now() - dt.timedelta(days=1)}
        CostPrice.objects.bulk_create(CostPrice(route=route, **old) for route in made)
        Price.objects.bulk_create(Price(model=model.name, **old) for model in models)
    _age(Price, "model LIKE 'old-%%'", number)
    _age(CostPrice, "route_id IN (SELECT id FROM routing_route WHERE upstream_name = 'up')", number)
    return 1_000 * _fastest(lambda: snapshot.build(0), 5)


def hostile(name: str) -> None:
    """A model that no text is too long for."""
    model = CatalogueModel.objects.create(name=name, context_window=100_000_000, supports_images=True)
    route = Route.objects.create(channel=Channel.objects.get(name="bench-json"), model=model, upstream_name=name)
    CostPrice.objects.create(route=route, **_RATES)
    Price.objects.create(model=name, **_RATES)


def _age(table: type[Model], which: str, number: int) -> None:
    """More versions of the first, each a minute before the one that follows it, in the past."""
    name, own = table._meta.db_table, {"id", "version", "effective_from"}  # noqa: SLF001 - Django documents it
    columns = [field.column for field in table._meta.concrete_fields]  # noqa: SLF001
    listed = ", ".join(column for column in columns if column is not None and column not in own)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name} ({listed}, version, effective_from) SELECT {listed}, n, effective_from - interval "
            f"'10 days' + n * interval '1 minute' FROM {name}, generate_series(2, %s) n WHERE version = 1 AND {which} "
            "ON CONFLICT DO NOTHING",
            [number],
        )
        cursor.execute(f"VACUUM ANALYZE {name}")


def messages() -> dict[str, dict[int, float]]:
    """Microseconds, by shape and number of messages: from the body's bytes to the checked request."""
    shapes: dict[str, Callable[[str], Any]] = {"plain": str, "parts": lambda text: [{"type": "text", "text": text}]}
    found: dict[str, dict[int, float]] = {}
    for name, shape in shapes.items():
        for number in (10, 100, 1_000):
            spoken = [
                {
                    "role": ("user", "assistant")[place % 2],
                    "content": shape(f"hello there, a text of some length {place}"),
                }
                for place in range(number)
            ]
            raw = orjson.dumps({"model": "m", "messages": spoken})
            found.setdefault(name, {})[number] = 1e6 * _fastest(partial(_read, raw), 50)
    return found


def _read(raw: bytes) -> object:
    return CHAT.read(parse(raw))


def _fastest(work: Callable[[], object], times: int) -> float:
    """Seconds of the fastest run."""
    taken = []
    for _time in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def main(arguments: list[str]) -> None:
    if arguments[0] == "routes":
        routes(int(arguments[1]))
    elif arguments[0] == "versions":
        print(json.dumps(versions(int(arguments[1]), int(arguments[2]))))
    elif arguments[0] == "hostile":
        hostile(arguments[1])
    else:
        print(json.dumps(messages()))


if __name__ == "__main__":
    main(sys.argv[1:])
