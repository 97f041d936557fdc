"""A second look at a price before it is saved: old and new, what it costs, and what it would have made of last week."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.db.models import Count, QuerySet, Sum
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts.models import Tenant
from administration.frame import table
from billing import amounts
from billing.kinds import KINDS, Kind, Usage
from billing.models import Price, Rates, UsageRecord
from billing.prices import Tariff, cost
from routing.models import CostPrice, Route

FACTOR: Final = 10
"""A rate that grows or shrinks by more than this has to be confirmed: most often a decimal point slipped."""
DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that has to be confirmed by itself; `name` is that of its tick."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Effect:
    """Of the requests of the last days: how many, what they were priced at, and what they would have been."""

    requests: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a person is shown of a price that is about to be saved."""

    seen: str
    """Which version it was compared with; another one since then is another look."""
    rates: SafeString
    effect: Effect
    doubts: list[Doubt] = field(default_factory=list)
    has_older: bool = False

    @property
    def is_due(self) -> bool:
        return self.has_older or bool(self.doubts)

    def is_confirmed(self, posted: Mapping[str, Any]) -> bool:
        return posted.get("seen") == self.seen and all(doubt.name in posted for doubt in self.doubts)


def at_price(new: Price) -> Look:
    """Of a customer price, beside what the model's routes cost."""
    versions = Price.objects.in_use().filter(plan=new.plan, model=new.model, currency=new.currency)
    costs = _costs(new)
    records = UsageRecord.objects.filter(price_id__in=versions.values("pk"))
    doubts = [
        Doubt(f"below_cost_{route}", _("%(route)s costs more than this price brings: every request loses money.")
                % {"route": name})
        for route, name, tariff in costs
        if any(one.input < other.input or one.output < other.output for one, other in _pairs(new.tariff, tariff))
    ]  # fmt: skip
    return _look(new, versions, [tariff for _pk, _name, tariff in costs], records, "claimed_cost", doubts)


def at_cost_price(new: CostPrice) -> Look:
    """Of what a route costs, beside what customers pay for its model."""
    listed = Price.objects.in_use().filter(plan=None, model=new.route.model.name, currency=new.currency)
    price = _holding(listed, timezone.now())
    route = new.route
    records = UsageRecord.objects.filter(
        model=route.model.name, channel=route.channel.name, upstream_model=route.upstream_name
    )
    doubts = []
    pairs = _pairs(new.tariff, price.tariff) if price is not None else []
    if any(one.input > other.input or one.output > other.output for one, other in pairs):
        text = _("Customers pay less for this model than this route would cost: every request loses money.")
        doubts.append(Doubt("below_cost", text))
    return _look(new, new.versions().filter(withdrawal=None), [], records, "provider_cost", doubts)


def _look(
    new: Rates, versions: QuerySet[Any], costs: list[Tariff], records: QuerySet[UsageRecord], column: str,
    doubts: list[Doubt],
) -> Look:  # fmt: skip
    old = _holding(versions, new.effective_from)
    return Look(
        seen=str(old.pk if old else 0),
        rates=_rates(old, new, costs),
        effect=_effect(records, column, new),
        doubts=[*doubts, *_leaps(old, new)],
        has_older=old is not None,
    )


def _holding(versions: QuerySet[Any], moment: dt.datetime) -> Any:
    return versions.filter(effective_from__lte=moment).order_by("effective_from", "version").last()


def _costs(price: Price) -> list[tuple[int, str, Tariff]]:
    """What each enabled route of the model costs now, in the same currency."""
    found = []
    for route in Route.objects.filter(model__name=price.model, is_enabled=True).select_related("channel", "model"):
        row = _holding(route.cost_prices.filter(withdrawal=None), timezone.now())
        if row is not None and row.currency == price.currency:
            found.append((route.pk, str(route), row.tariff))
    return found


def _pairs(one: Tariff, other: Tariff) -> list[tuple[Tariff, Tariff]]:
    """What both ask at each hour and length of input at which either of them changes."""
    begins = {0, *(minute for tariff in (one, other) for minute, _holding in tariff.hours)}
    whole = [(one.at(minute * 60), other.at(minute * 60)) for minute in sorted(begins)]
    found = []
    for pair in whole:
        lengths = {0, *(above + 1 for tariff in pair for above, _tier in tariff.tiers)}
        found += [(pair[0].for_input(tokens), pair[1].for_input(tokens)) for tokens in sorted(lengths)]
    return found


def _leaps(old: Rates | None, new: Rates) -> Iterable[Doubt]:
    """What grows or shrinks by more than a factor of ten, or becomes free or no longer free, at any hour or length."""
    if old is None:
        return
    pairs = _pairs(old.tariff, new.tariff)
    rates = [(kind.name, kind.label, [(one.rate(kind.name), other.rate(kind.name)) for one, other in pairs])
             for kind in _priced(old, new)]  # fmt: skip
    rates.append(("fee", _("fee per request"), [(one.request_fee, other.request_fee) for one, other in pairs]))
    for name, label, values in rates:
        words = {"kind": _(label), "factor": FACTOR}
        if zeros := [(one, other) for one, other in values if bool(one) != bool(other)]:
            text = _("%(kind)s becomes free.") if zeros[0][0] else _("%(kind)s was free and is to be paid.")
            yield Doubt(f"zero_{name}", capfirst(text % words))
        if any(one and other and not one <= other * FACTOR <= one * FACTOR**2 for one, other in values):
            yield Doubt(f"leap_{name}", capfirst(_("%(kind)s changes by more than a factor of %(factor)d.") % words))


def _priced(old: Rates | None, new: Rates) -> list[Kind]:
    """The kinds with a rate of their own, before or after; the others cost what these cost."""
    return [kind for kind in KINDS if any(getattr(row, kind.rate, None) is not None for row in (old, new))]


def _rates(old: Rates | None, new: Rates, costs: list[Tariff]) -> SafeString:
    before, after = old.tariff if old else None, new.tariff
    rows: list[tuple[Any, ...]] = []
    for kind in _priced(old, new):
        rate = after.rate(kind.name)
        earlier = before.rate(kind.name) if before else None
        dearest = max((tariff.rate(kind.name) for tariff in costs), default=None)
        rows.append((
            _(kind.label), _shown(earlier, new.currency), _shown(rate, new.currency), _factor(earlier, rate),
            _shown(dearest, new.currency), _margin(rate, dearest),
        ))  # fmt: skip
    if new.request_fee or (old and old.request_fee):
        fees = [old.request_fee if old else None, new.request_fee]
        rows.append((_("fee per request"), *(_shown(fee, new.currency) for fee in fees), _factor(*fees), "", ""))
    headers = [_("kind"), _("old"), _("new"), _("factor"), _("highest cost"), _("margin")]
    return table(headers, rows, numeric=frozenset(range(1, 6)))


def _shown(rate: int | None, currency: str) -> SafeString:
    return amounts.amount_html(rate, currency)


def _factor(old: int | None, new: int | None) -> str:
    """With three decimals; one that is too small for them with three digits, instead of posing as zero."""
    if not old or new is None:
        return amounts.ABSENT
    factor = Decimal(new) / old
    places = max(3, 2 - factor.adjusted()) if factor else 3
    return "\N{MULTIPLICATION SIGN} " + number_format(round(factor, places), places, force_grouping=True)


def _margin(rate: int, dearest: int | None) -> str:
    """What is left of the price after the cost, in percent of the price."""
    return amounts.ABSENT if dearest is None else amounts.percent(rate - dearest, rate)


def _effect(records: QuerySet[UsageRecord], column: str, new: Rates) -> Effect:
    """Over the last days, without the terms of either price. Rounded once for all of them, not per request."""
    since = timezone.now() - dt.timedelta(days=DAYS)
    # By tenant, because that is what the index of times begins with.
    paid = records.filter(tenant__in=Tenant.objects.values("pk"), started_at__gte=since, **{f"{column}__gt": 0})
    sums = paid.aggregate(
        count=Count("pk"), before=Sum(column), **{f"sum_{kind.name}": Sum(kind.column) for kind in KINDS}
    )
    usage = Usage(**{kind.name: sums[f"sum_{kind.name}"] or 0 for kind in KINDS})
    own = {kind.rate: getattr(new, kind.rate) for kind in KINDS}
    after = cost(usage, Tariff(0, new.currency, **own)) + new.request_fee * sums["count"]
    before = amounts.format_amount(sums["before"] or 0, new.currency)
    return Effect(sums["count"], before, amounts.format_amount(after, new.currency))
