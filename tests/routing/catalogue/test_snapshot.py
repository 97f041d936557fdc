"""The catalogue in memory: when it is rebuilt, and what it says of channels, routes and prices."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import Price, PricePlan, PriceWithdrawal
from routing.catalogue.models import CostPriceWithdrawal
from routing.catalogue.snapshot import Catalogue, ChannelView, ModelView, RouteView, build, read_version
from routing.models import CatalogueModel, Channel, CostPrice, Route
from routing.wire.answer import Timeouts

_numbers = itertools.count(1)


pytestmark = pytest.mark.usefixtures("database")


def channel(**members: Any) -> Channel:
    defaults = {"name": f"channel {next(_numbers)}", "provider": "openai", "base_url": "https://llm.example/v1"}
    return Channel.objects.create(**{**defaults, **members})


def model(**members: Any) -> CatalogueModel:
    return CatalogueModel.objects.create(**{"name": f"lab/m{next(_numbers)}", **members})


def route(*, cost: int | None = 5, **members: Any) -> Route:
    own: dict[str, Any] = {"channel": members.get("channel") or channel(), "model": members.get("model") or model()}
    row = Route.objects.create(**{"upstream_name": "up", **members, **own})
    if cost is not None:
        CostPrice.objects.create(route=row, input=cost, output=cost)
    return row


def view_of(row: Route) -> RouteView:
    (view,) = (each for each in seen(row.model).routes if each.id == row.pk)
    return view


def seen(row: CatalogueModel) -> ModelView:
    return build(1).models[row.name]


# --- when it is rebuilt ----------------------------------------------------------------------------------------------


def test_every_insert_moves_the_version() -> None:
    versions = [read_version()]
    for make in (
        channel,
        model,
        lambda: route(cost=None),
        lambda: CostPrice.objects.create(route=route(cost=None), input=1, output=1),
        lambda: Price.objects.create(model="x", input=1, output=1),
    ):
        make()
        versions.append(read_version())
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("table", [Channel, CatalogueModel, Route])
def test_every_update_and_delete_moves_the_version_whoever_makes_it(
    table: type[Channel | CatalogueModel | Route],
) -> None:
    row = route(cost=None)
    pk = {Channel: row.channel_id, CatalogueModel: row.model_id, Route: row.pk}[table]
    name = connection.ops.quote_name(table._meta.db_table)
    column = {Channel: "weight", CatalogueModel: "output_limit", Route: "upstream_name"}[table]
    versions = [read_version()]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {name} SET {column} = '7' WHERE id = %s", [pk])
        versions.append(read_version())
    table.objects.filter(pk=pk).delete()
    versions.append(read_version())
    assert versions == sorted(set(versions))


def test_unchanged_catalogue_is_not_rebuilt() -> None:
    catalogue = Catalogue()
    assert (catalogue.refresh(), catalogue.refresh()) == (True, False)
    before = catalogue.snapshot
    row = route()
    assert (catalogue.refresh(), row.model.name in before.models, row.model.name in catalogue.snapshot.models) == (
        True,
        False,
        True,
    )


def test_cost_price_of_the_future_takes_effect_when_its_time_comes() -> None:
    row = route(cost=5)
    soon = timezone.now() + dt.timedelta(seconds=0.3)
    CostPrice.objects.create(route=row, input=9, output=9, effective_from=soon)
    catalogue = Catalogue()
    catalogue.refresh()
    first = catalogue.snapshot.models[row.model.name].routes[0].cost
    time.sleep(0.4)
    assert catalogue.refresh()
    second = catalogue.snapshot.models[row.model.name].routes[0].cost
    assert first is not None
    assert second is not None
    assert (first.input, second.input) == (5, 9)


# --- what it says ----------------------------------------------------------------------------------------------------


def test_channel_is_shown_with_its_secret_opened_and_never_in_its_text() -> None:
    row = channel(weight=3, priority=2, concurrency=4, disconnect_policy="drain", name="Kênh một")
    row.set_secret("sk-canary-secret")
    row.save()
    view = view_of(route(channel=row)).channel
    assert (view.secret, view.weight, view.priority, view.concurrency, view.drains) == (
        "sk-canary-secret",
        3,
        2,
        4,
        True,
    )
    assert (view.timeouts, view.fault, view.header) == (Timeouts(5, 60, 60, 900), None, b"K?nh m?t")
    assert "canary" not in repr(view)


def test_secret_moved_from_another_row_cannot_be_used() -> None:
    one, other = channel(), channel()
    one.set_secret("sk-canary-secret")
    one.save()
    Channel.objects.filter(pk=other.pk).update(sealed_secret=one.sealed_secret)
    view = view_of(route(channel=other)).channel
    assert (view.fault, view.secret) == ("no_secret", "")


@pytest.mark.parametrize(
    "members",
    [
        {"status": "disabled"},
        {"provider": "no-longer-there"},
        {"base_url": "ftp://x"},
        {"base_url": "https://user:password@x"},
        {"base_url": ""},
    ],
    ids=str,
)
def test_channel_that_cannot_be_used_is_kept_with_the_reason(members: dict[str, Any]) -> None:
    view = view_of(route(channel=channel(**members)))
    assert (view.fault, view.channel.fault) == ("channel_disabled", "channel_disabled")


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({}, None),
        ({"is_enabled": False}, "route_disabled"),
        ({"cost": None}, "no_cost_price"),
        ({"cost": None, "is_enabled": False}, "route_disabled"),
        ({"cost": 0}, None),
    ],
    ids=str,
)
def test_route_is_shown_with_its_own_reason(members: dict[str, Any], fault: str | None) -> None:
    assert view_of(route(**members)).fault == fault


def test_reason_of_the_channel_comes_before_that_of_the_route() -> None:
    row = route(channel=channel(status="disabled"), is_enabled=False, cost=None)
    assert view_of(row).fault == "channel_disabled"


def test_disabled_model_is_not_shown() -> None:
    assert model(is_enabled=False).name not in build(1).models


def test_latest_cost_price_whose_time_has_come_holds() -> None:
    row, now = route(cost=None), timezone.now()
    for days, rate in ((-2, 1), (-1, 2), (-3, 3), (1, 4)):
        CostPrice.objects.create(route=row, input=rate, output=rate, effective_from=now + dt.timedelta(days=days))
    cost = view_of(row).cost
    assert cost is not None
    assert cost.input == 2


def test_price_is_by_currency_and_by_time() -> None:
    row, now = model(), timezone.now()
    for currency, days, amount in (("USD", -2, 1), ("USD", -1, 2), ("USD", 1, 3), ("VND", -1, 9)):
        since = now + dt.timedelta(days=days)
        Price.objects.create(model=row.name, currency=currency, input=amount, output=amount, effective_from=since)
    view, day = seen(row), 86_400.0
    at = now.timestamp()

    def rate(currency: str, seconds: float) -> int | None:
        price = view.price(currency, 0, seconds)
        return None if price is None else price.input

    assert [rate("USD", at + days * day) for days in (-1, 0, 0.9, 1, 9)] == [2, 2, 2, 3, 3]
    assert (rate("VND", at), rate("VND", at - 2 * day), rate("EUR", at)) == (9, None, None)


def test_price_that_no_request_can_have_begun_with_is_not_kept() -> None:
    row, now = route(cost=None), timezone.now()
    plan = PricePlan.objects.create(name=f"plan {row.pk}")
    for days, which in itertools.product(range(1, 40), (None, plan)):
        since, rate = now - dt.timedelta(days=days), 100 + days
        Price.objects.create(model=row.model.name, plan=which, input=rate, output=rate, effective_from=since)
    for minutes in (-10, -1, 1):
        since, rate = now + dt.timedelta(minutes=minutes), 10 + minutes
        Price.objects.create(model=row.model.name, input=rate, output=rate, effective_from=since)
    kept = {key: [each.input for _since, each in versions] for key, versions in seen(row.model).prices.items()}
    assert kept == {("USD", 0): [0, 9, 11], ("USD", plan.pk): [101]}


def test_later_version_of_the_same_moment_holds() -> None:
    row, since = route(cost=None), timezone.now() - dt.timedelta(days=1)
    for rate in (1, 2, 3):
        Price.objects.create(model=row.model.name, input=rate, output=rate, effective_from=since)
        CostPrice.objects.create(route=row, input=rate, output=rate, effective_from=since)
    PriceWithdrawal.objects.create(price=Price.objects.get(model=row.model.name, version=3))
    CostPriceWithdrawal.objects.create(price=CostPrice.objects.get(route=row, version=3))
    price, cost = seen(row.model).price("USD", 0, time.time()), view_of(row).cost
    assert price is not None
    assert cost is not None
    assert (price.input, cost.input) == (2, 2)


def test_model_without_a_price_is_shown_without_one() -> None:
    assert seen(model()).prices == {}


def test_snapshot_is_frozen() -> None:
    view: ChannelView = view_of(route()).channel
    with pytest.raises(AttributeError):
        view.weight = 5  # type: ignore[misc]
