"""Prices made known, taken back before their time, and copied into the plans that follow the list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import InvalidRequest
from accounts.models import Tenant, User
from billing import terms
from billing.kinds import KINDS
from billing.models import Price, PricePlan, Rates, TenantPlan
from billing.money import round_half_up

NOTICE: Final = dt.timedelta(seconds=10)
"""Every process knows of a withdrawal some seconds later, and until then nobody may have paid the price."""


class TooLateToWithdraw(InvalidRequest):
    def __init__(self) -> None:
        super().__init__(_("This price is in force, or about to be: it can only be followed by another one."))


def plan_of(tenant_id: int) -> int:
    """The id of the plan that a tenant is on, 0 for the list."""
    return TenantPlan.objects.filter(tenant=tenant_id).values_list("plan", flat=True).first() or 0


def put_on(tenant: Tenant, plan: PricePlan | None) -> None:
    """Holds for requests that are admitted from now on, everywhere within two seconds."""
    if plan is None:
        TenantPlan.objects.filter(tenant=tenant).delete()
        return
    defaults = {"plan": plan, "since": timezone.now()}
    TenantPlan.objects.update_or_create(tenant=tenant, defaults=defaults)


@transaction.atomic
def publish(price: Price) -> Price:
    """Saves a new version; one of the list also in every plan that follows the list for its model."""
    price.save()
    if price.plan_id is None:
        for plan in PricePlan.objects.order_by("pk"):
            if _follows(plan, price.model, price.currency, price.effective_from):
                _copy(price, plan, price.effective_from)
    return price


@transaction.atomic
def withdraw(price: Rates, by: User | None = None) -> None:
    """Takes back a version that has not taken effect, with its copies; raises TooLateToWithdraw."""
    if price.effective_from < timezone.now() + NOTICE:
        raise TooLateToWithdraw
    copies = Price.objects.filter(copy_of=price) if isinstance(price, Price) else ()
    for row in (price, *copies):
        row.take_back(by)


@transaction.atomic
def set_markup(plan: PricePlan, markup: Decimal) -> None:
    """Saves the plan with this markup, and new versions for the models of which it follows the list."""
    plan.markup = markup
    plan.save()
    now = timezone.now()
    for listed in _holding_or_coming(now):
        since = max(now, listed.effective_from)
        if _follows(plan, listed.model, listed.currency, since):
            _copy(listed, plan, since)


@transaction.atomic
def follow_list(plan: PricePlan, model: str, currency: str) -> None:
    """From now on the plan has the list's price for this model, with its markup, instead of its own."""
    now = timezone.now()
    for listed in _holding_or_coming(now):
        if (listed.model, listed.currency) == (model, currency):
            _copy(listed, plan, max(now, listed.effective_from))


def _holding_or_coming(now: dt.datetime) -> Iterable[Price]:
    """Of each model's list price, the version in force and those to come."""
    holding: dict[tuple[str, str], Price] = {}
    coming: list[Price] = []
    for row in Price.objects.in_use().filter(plan=None).order_by("effective_from", "version"):
        if row.effective_from <= now:
            holding[row.model, row.currency] = row
        else:
            coming.append(row)
    return [*holding.values(), *coming]


def _follows(plan: PricePlan, model: str, currency: str, moment: dt.datetime) -> bool:
    """Whether the plan has no price of its own for the model at this moment."""
    row = _in_force(plan, model, currency, moment)
    return row is None or row.copy_of_id is not None


def _in_force(plan: PricePlan, model: str, currency: str, moment: dt.datetime) -> Price | None:
    rows = Price.objects.in_use().filter(plan=plan, model=model, currency=currency, effective_from__lte=moment)
    return rows.order_by("effective_from", "version").last()


def _copy(listed: Price, plan: PricePlan, since: dt.datetime) -> None:
    factor = 1 + Fraction(plan.markup) / 100

    def scaled(rate: int) -> int:
        exact = rate * factor
        return round_half_up(exact.numerator, exact.denominator)

    own = {name: getattr(listed, name) for name in (*(kind.rate for kind in KINDS), terms.FEE)}
    values: dict[str, Any] = {name: None if rate is None else scaled(rate) for name, rate in own.items()}
    values["terms"] = terms.stored(terms.scaled(terms.loaded(listed.terms), scaled))
    before = _in_force(plan, listed.model, listed.currency, since)
    if before is not None and all(getattr(before, name) == value for name, value in values.items()):
        return
    Price.objects.create(
        model=listed.model, currency=listed.currency, plan=plan, copy_of=listed, effective_from=since,
        created_by=listed.created_by, **values,
    )  # fmt: skip
