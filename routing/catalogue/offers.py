"""Putting things on offer: models, the routes that serve them, and the two prices of each.

Every function is safe to repeat: what is there already stays, and a price becomes a new version only if it differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from billing import plans
from billing.models import Price
from billing.money import from_decimal
from routing.catalogue.models import CatalogueModel, Channel, CostPrice, Route


@dataclass(frozen=True, slots=True)
class Rate:
    """Currency units per million, as people write prices. Raises ValueError if finer than a ledger unit."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    currency: str = "USD"
    others: Mapping[str, Decimal] = field(default_factory=dict)
    """Further kinds, by their rates' names (billing/kinds.py)."""

    def ledger_units(self) -> dict[str, Any]:
        """The fields of a price row."""
        cached = self.cached_input
        return {
            "currency": self.currency,
            "input": from_decimal(self.input, self.currency),
            "output": from_decimal(self.output, self.currency),
            "cached_input": None if cached is None else from_decimal(cached, self.currency),
            **{name: from_decimal(rate, self.currency) for name, rate in self.others.items()},
        }


def offer_model(name: str, *, price: Rate | None = None, **fields: Any) -> CatalogueModel:
    """The model of this public name, made with `fields` if it is new, at this customer price if one is given."""
    with transaction.atomic():
        model, is_new = CatalogueModel.objects.get_or_create(name=name, defaults=fields)
        if is_new:
            model.full_clean()
        if price is not None:
            set_price(name, price)
    return model


def add_route(channel: Channel, model: CatalogueModel, *, upstream_name: str, cost: Rate) -> Route:
    """The route of `model` over `channel` under its upstream name, at this cost price."""
    with transaction.atomic():
        route, _created = Route.objects.get_or_create(channel=channel, model=model, upstream_name=upstream_name)
        set_cost_price(route, cost)
    return route


def set_price(model_name: str, rate: Rate) -> Price:
    """What tenants pay for a model from now on."""
    terms = rate.ledger_units()
    listed = Price.objects.in_use().filter(model=model_name, currency=rate.currency, plan=None)
    current = listed.filter(effective_from__lte=Now()).order_by("effective_from", "version").last()
    if current is not None and _has(current, terms):
        return current
    return plans.publish(Price(model=model_name, **terms))


def set_cost_price(route: Route, rate: Rate) -> CostPrice:
    """What a route costs the operator from now on."""
    terms = rate.ledger_units()
    valid = CostPrice.objects.filter(route=route, withdrawal=None, effective_from__lte=Now())
    current = valid.order_by("effective_from", "version").last()
    if current is not None and _has(current, terms):
        return current
    return CostPrice.objects.create(route=route, **terms)


def _has(row: Price | CostPrice, terms: dict[str, Any]) -> bool:
    return row.terms is None and not row.request_fee and all(getattr(row, name) == terms[name] for name in terms)
