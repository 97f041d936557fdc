"""Comparing our prices with the vendors' and taking over what may be taken over without a person.

Nothing that somebody set by hand is changed, nothing is deleted, and what rises, becomes free or no longer free, or
moves by more than a factor of ten waits until a person names it. A fall may be taken over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billing import plans, terms
from billing.kinds import KINDS
from billing.models import Price, Rates
from billing.terms import FEE
from routing.catalogue import vendors
from routing.catalogue.models import CatalogueModel, CostPrice, Route
from routing.catalogue.vendors import VendorPrice

_NAMES: Final = (*(kind.rate for kind in KINDS), FEE)
_TENFOLD: Final = 10


class Verdict(StrEnum):
    """What becomes of a difference; the words are shown."""

    FALL = "falls"
    NEW = "new: waits for a person"
    RISE = "rises: waits for a person"
    ZERO = "becomes free or no longer free: waits for a person"
    LEAP = "moves more than tenfold: waits for a person"
    TERMS = "other terms: waits for a person"
    BY_HAND = "set by hand: left alone"

    @property
    def may_apply(self) -> bool:
        return self is Verdict.FALL

    @property
    def may_be_accepted(self) -> bool:
        return self is not Verdict.BY_HAND


@dataclass(frozen=True, slots=True)
class Difference:
    """A price of ours that is not the vendor's. `name` says which: a model, or a route as `model @ channel`."""

    name: str
    subject: CatalogueModel | Route
    ours: Rates | None
    theirs: VendorPrice
    verdict: Verdict

    def changes(self) -> list[tuple[str, int | None, int | None]]:
        """Rates that differ: name, ours, theirs, in ledger units."""
        pairs = [(name, getattr(self.ours, name, None), self.theirs.rates.get(name)) for name in _NAMES]
        return [(name, one, other) for name, one, other in pairs if (one or 0) != (other or 0)]


def differences(day: dt.date) -> Iterator[Difference]:
    """Of every model's list price and every route's cost price in USD that the vendors' package knows."""
    for model in CatalogueModel.objects.order_by("name"):
        theirs = vendors.of_model(model.name, day)
        ours = _in_force(Price.objects.in_use().filter(plan=None, model=model.name, currency="USD"))
        if theirs is not None:
            yield from _difference(model.name, model, ours, theirs)
    for route in Route.objects.select_related("channel", "model").order_by("model__name", "channel__name"):
        theirs = vendors.of_route(route.channel.base_url, route.upstream_name, day)
        ours = _in_force(route.cost_prices.filter(withdrawal=None))  # whatever its currency: one holds
        if theirs is not None:
            yield from _difference(str(route), route, ours, theirs)


def _in_force(rows: object) -> Rates | None:
    """The version that holds, or that is to: what somebody has planned is set by hand as well."""
    found: Rates | None = rows.order_by("effective_from", "version").last()  # type: ignore[attr-defined]
    return found


def _difference(
    name: str, subject: CatalogueModel | Route, ours: Rates | None, theirs: VendorPrice
) -> Iterator[Difference]:  # fmt: skip
    verdict = _verdict(ours, theirs)
    if verdict is not None:
        yield Difference(name, subject, ours, theirs, verdict)


def _verdict(ours: Rates | None, theirs: VendorPrice) -> Verdict | None:
    """None where there is no difference. A rate that is not named is that of the kind which contains it."""
    if ours is None:
        return Verdict.NEW
    if ours.currency != "USD":
        return Verdict.BY_HAND
    own = ours.tariff
    offered = terms.tariff_of(own.id, own.currency, _fields(theirs), theirs.terms)
    if own == offered:
        return None
    if ours.source is None:
        return Verdict.BY_HAND
    pairs = [*zip(own.rates, offered.rates, strict=True), (own.request_fee, offered.request_fee)]
    if any(bool(one) != bool(other) for one, other in pairs):
        return Verdict.ZERO
    if any(one and not one <= other * _TENFOLD <= one * _TENFOLD**2 for one, other in pairs):
        return Verdict.LEAP
    if any(other > one for one, other in pairs):
        return Verdict.RISE
    return Verdict.FALL if terms.loaded(ours.terms) == theirs.terms else Verdict.TERMS


def _fields(theirs: VendorPrice) -> dict[str, int | None]:
    return {name: theirs.rates.get(name) for name in _NAMES[:-1]} | {FEE: theirs.rates.get(FEE, 0)}


def apply(difference: Difference) -> Rates:
    """Makes the vendor's price ours from now on, as a new version that says where it comes from."""
    fields = _fields(difference.theirs) | {
        "terms": terms.stored(difference.theirs.terms), "currency": "USD", "source": vendors.SOURCE,
    }  # fmt: skip
    subject = difference.subject
    if isinstance(subject, Route):
        return CostPrice.objects.create(route=subject, **fields)
    return plans.publish(Price(model=subject.name, **fields))
