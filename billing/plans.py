"""Prices made known, taken back before their time, and copied into the plans that follow the list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django.db import connection, transaction
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


_LOCK: Final = 7_016
"""The advisory lock of whoever changes prices; any number that nobody else takes."""


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
    """Saves a new version; one of the list also in every plan that follows the list for its model.

    A plan's own price goes before the list, also before copies of list prices that are still to come.
    """
    _one_at_a_time()
    price.save()
    if price.plan is None:
        for plan in PricePlan.objects.order_by("pk"):
            if _follows(plan, price.model, price.currency, price.effective_from):
                _copy(price, plan, price.effective_from)
    elif price.copy_of_id is None:
        coming = Price.objects.in_use().filter(plan=price.plan, model=price.model, currency=price.currency)
        for copy in coming.exclude(copy_of=None).filter(effective_from__gt=price.effective_from):
            if copy.effective_from >= timezone.now() + NOTICE:
                copy.take_back(price.created_by)
            else:  # too late to withdraw: the plan's own follows it at once
                Price.objects.create(effective_from=copy.effective_from, **_values(price))
    return price


@transaction.atomic
def withdraw(price: Rates, by: User | None = None) -> None:
    """Takes back a version that has not taken effect, with its copies; raises TooLateToWithdraw."""
    _one_at_a_time()
    if price.effective_from < timezone.now() + NOTICE:
        raise TooLateToWithdraw
    copies = Price.objects.filter(copy_of=price) if isinstance(price, Price) else ()
    for row in (price, *copies):
        row.take_back(by)
    if isinstance(price, Price) and price.plan is not None:
        _follow(price.plan, price.model, price.currency)  # what it stood before


@transaction.atomic
def set_markup(plan: PricePlan, markup: Decimal) -> None:
    """Saves the plan with this markup, and new versions for the models of which it follows the list."""
    _one_at_a_time()
    plan.markup = markup
    plan.save()
    _follow(plan)


def _one_at_a_time() -> None:
    """Until the transaction ends: who makes copies sees the prices, plans and markups of those before. (On SQLite,
    transactions that write are one at a time anyway.)
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _follow(plan: PricePlan, model: str = "", currency: str = "") -> None:
    """Copies what the plan should have of the list and has not: of this model, or of all."""
    now = timezone.now()
    for listed in _holding_or_coming(now):
        since = max(now, listed.effective_from)
        is_meant = not model or (listed.model, listed.currency) == (model, currency)
        if is_meant and _follows(plan, listed.model, listed.currency, since):
            _copy(listed, plan, since)


def as_listed(plan: PricePlan, model: str, currency: str) -> Price | None:
    """What `follow_list` would make the plan's price now, not saved; None without a list price in force."""
    now = timezone.now()
    for listed in _holding_or_coming(now):
        if (listed.model, listed.currency) == (model, currency) and listed.effective_from <= now:
            return _copied(listed, plan, now)
    return None


@transaction.atomic
def follow_list(plan: PricePlan, model: str, currency: str) -> None:
    """From now on the plan has the list's price for this model, with its markup, instead of its own."""
    _one_at_a_time()
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
    copy, before = _copied(listed, plan, since), _in_force(plan, listed.model, listed.currency, since)
    if before is None or before.copy_of_id != listed.pk or _values(before) != _values(copy):
        copy.save()


def _copied(listed: Price, plan: PricePlan, since: dt.datetime) -> Price:
    """The plan's version of a list price, with its markup, each rate rounded once; not saved."""
    factor = 1 + Fraction(plan.markup) / 100

    def scaled(rate: int) -> int:
        exact = rate * factor
        return round_half_up(exact.numerator, exact.denominator)

    own = {name: getattr(listed, name) for name in (*(kind.rate for kind in KINDS), terms.FEE)}
    values: dict[str, Any] = {name: None if rate is None else scaled(rate) for name, rate in own.items()}
    values["terms"] = terms.stored(terms.scaled(terms.loaded(listed.terms), scaled))
    return Price(
        model=listed.model, currency=listed.currency, plan=plan, copy_of=listed, effective_from=since,
        created_by=listed.created_by, **values,
    )  # fmt: skip


def _values(price: Price) -> dict[str, Any]:
    """What a version says, to be said again."""
    names = (*(kind.rate for kind in KINDS), terms.FEE, "terms", "model", "currency", "plan", "created_by")
    return {name: getattr(price, name) for name in names}
