"""What a tenant can call and what it pays for it: its plan's price where the plan has one, else the list's."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from accounts.models import Tenant
from billing.models import Price, TenantPlan
from billing.prices import Tariff
from routing.catalogue.models import CatalogueModel, Channel, CostPrice, Route


@dataclass(frozen=True, slots=True)
class Listing:
    """A model with the version of the price that a request begun at this moment is charged by."""

    model: CatalogueModel
    price: Price
    tariff: Tariff
    """As it holds at this hour."""
    listed: Tariff | None
    """What the list asks, where the tenant's plan asks something else."""


def listings(tenant: Tenant, now: dt.datetime) -> list[Listing]:
    """Every model that the tenant can call, by name."""
    listed: dict[str, Price] = {}
    own: dict[str, Price] = {}
    for row in _prices(tenant).filter(effective_from__lte=now).order_by("effective_from", "version"):
        (listed if row.plan_id is None else own)[row.model] = row
    found = []
    for model in _served():
        usual = listed.get(model.name)
        price = own.get(model.name, usual)
        if price is not None:
            found.append(_listing(model, price, usual, now))
    return found


def _listing(model: CatalogueModel, price: Price, listed: Price | None, now: dt.datetime) -> Listing:
    tariff = price.tariff_at(now)
    usual = listed.tariff_at(now) if listed is not None else None
    is_other = usual is not None and (usual.rates, usual.request_fee) != (tariff.rates, tariff.request_fee)
    return Listing(model, price, tariff, usual if is_other else None)


def names(tenant: Tenant) -> list[str]:
    """The public names that the tenant can call as far as prices go, in order."""
    in_force = _prices(tenant).filter(model=OuterRef("name"), effective_from__lte=Now())
    return list(CatalogueModel.objects.filter(Exists(in_force), is_enabled=True).values_list("name", flat=True))


def _prices(tenant: Tenant) -> QuerySet[Price]:
    """The list's and those of the tenant's plan."""
    plan = TenantPlan.objects.filter(tenant=tenant).values("plan")
    return Price.objects.in_use().filter(Q(plan=None) | Q(plan__in=plan), currency=tenant.currency)


def _served() -> QuerySet[CatalogueModel]:
    """Models with a route that could answer, as far as the tables tell."""
    costs = CostPrice.objects.filter(route=OuterRef("pk"), withdrawal=None, effective_from__lte=Now())
    routes = Route.objects.filter(
        Exists(costs), model=OuterRef("pk"), is_enabled=True, channel__status=Channel.Status.ENABLED
    )
    return CatalogueModel.objects.filter(Exists(routes), is_enabled=True).order_by("name")
