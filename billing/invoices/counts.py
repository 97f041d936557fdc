"""What was used in a period, added up by the database: lines by model, price version and kind.

The lines add up to what the records cost, to the ledger unit. A kind's amount is its quantity times its rate, rounded
once. Beside them stand the requests' flat fees; what was written off; and what the rounding of single requests makes,
which is less than half a ledger unit each.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Sum, Value, When
from django.db.models.functions import ExtractHour, ExtractMinute

from accounts.models import ApiKey
from billing.kinds import KINDS, Usage
from billing.models import BillingPeriod, Price, UsageRecord
from billing.money import PER_MILLION, round_half_up
from billing.prices import Tariff, lines

FEE: Final = "request_fee"
ROUNDING: Final = "rounding"
WRITTEN_OFF: Final = "written_off"
_PLACES: Final = {kind.name: place for place, kind in enumerate(KINDS)}
_PAYS_FEE: Final = ~Q(outcome=UsageRecord.Outcome.CLIENT_GONE, output_tokens=0)
"""A client that left before any output pays for its prompt alone (billing/repricing.py has the same rule)."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was used of one kind at one price; `rate` in ledger units per million (of a fee: each)."""

    model: str
    version: int
    price_id: int
    kind: str
    rate: int
    quantity: int
    amount: int
    """Ledger units."""

    @property
    def order(self) -> tuple[Any, ...]:
        return (not self.model, self.model, self.version, _PLACES.get(self.kind, len(KINDS)), self.kind, self.rate)


@dataclass(frozen=True, slots=True)
class Part:
    """A key's or a member's share."""

    id: int | None
    name: str
    requests: int
    amount: int


@dataclass(frozen=True, slots=True)
class Used:
    """A period's usage: its lines, and the same sum by key and by member."""

    lines: list[Line]
    requests: int
    """Those that cost nothing among them."""
    used: int
    keys: list[Part]
    members: list[Part]


def count(period: BillingPeriod) -> Used:
    """Everything that settled in the period; amounts are ledger units, and each of the sums is `used`."""
    records = UsageRecord.objects.filter(
        tenant=period.tenant_id, settled_at__gte=period.starts_at, settled_at__lt=period.ends_at
    ).order_by()
    groups = _groups(records)
    keys, members = _shares(groups)
    return Used(
        lines=_lines(groups),
        requests=sum(group.requests for group in groups),
        used=sum(group.cost for group in groups),
        keys=keys,
        members=members,
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """Records of one model, key and tariff, added up."""

    price: Price
    tariff: Tariff
    model: str
    api_key_id: int
    requests: int
    fees: int
    cost: int
    claimed: int
    usage: Usage


def _groups(records: QuerySet[UsageRecord]) -> list[_Group]:
    prices = {row.pk: row for row in Price.objects.filter(pk__in=records.values("price_id").distinct())}
    variants, chosen = _variants(prices.values())
    sums = {f"sum_{kind.name}": Sum(kind.column) for kind in KINDS}
    rows: Any = (
        records.alias(minute=ExtractHour("started_at", tzinfo=dt.UTC) * 60 + ExtractMinute("started_at", tzinfo=dt.UTC))
        .annotate(variant=chosen, is_free=Case(When(claimed_cost=0, then=1), default=0))
        .values("model", "price_id", "api_key_id", "variant", "is_free")
        .annotate(
            requests=Count("pk"),
            fees=Count("pk", filter=_PAYS_FEE),
            cost_sum=Sum("cost"),
            claimed_sum=Sum("claimed_cost"),
            **sums,
        )
    )
    return [
        _Group(
            price=prices[row["price_id"]],
            tariff=variants[row["variant"]] if row["variant"] else prices[row["price_id"]].tariff,
            model=row["model"],
            api_key_id=row["api_key_id"],
            requests=row["requests"],
            fees=row["fees"],
            cost=int(row["cost_sum"]),
            claimed=int(row["claimed_sum"]),
            usage=Usage(**{kind.name: int(row[f"sum_{kind.name}"]) for kind in KINDS}),
        )
        for row in rows
    ]


def _variants(prices: Iterable[Price]) -> tuple[dict[int, Tariff], Case]:
    """The tariffs inside those prices that have terms, by a number from 1 on, and how a record chooses its own."""
    variants: dict[int, Tariff] = {}
    cases = []
    for price in prices:
        if not price.terms:
            continue
        # The last hour and the longest input first: the first condition that holds decides.
        for begins, by_hour in [*reversed(price.tariff.hours), (0, price.tariff)]:
            for above, tariff in [*reversed(by_hour.tiers), (-1, by_hour)]:
                variants[len(variants) + 1] = tariff
                holds = Q(price_id=price.pk, minute__gte=begins, input_tokens__gt=above)
                cases.append(When(holds, then=Value(len(variants))))
    return variants, Case(*cases, default=Value(0), output_field=IntegerField())


def _lines(groups: Iterable[_Group]) -> list[Line]:
    quantities: dict[tuple[Price, str, str, int], int] = defaultdict(int)
    charged = [group for group in groups if group.claimed or _is_free(group)]
    for group in charged:
        for term in lines(group.usage, flat(group.tariff)):
            quantities[group.price, group.model, term.kind.name, term.rate] += term.quantity
        if group.tariff.request_fee:
            quantities[group.price, group.model, FEE, group.tariff.request_fee] += group.fees
    found = [
        Line(model, price.version, price.pk, kind, rate, quantity, _amount(kind, quantity, rate))
        for (price, model, kind, rate), quantity in quantities.items()
        if quantity
    ]
    claimed, cost = (sum(getattr(group, name) for group in charged) for name in ("claimed", "cost"))
    requests = sum(group.requests for group in charged)
    beside = ((ROUNDING, requests, claimed - sum(line.amount for line in found)), (WRITTEN_OFF, 1, cost - claimed))
    found += [Line("", 0, 0, kind, 0, quantity, amount) for kind, quantity, amount in beside if amount]
    return sorted(found, key=lambda line: line.order)


def _is_free(group: _Group) -> bool:
    """Whether its price asks nothing, so that its lines are of zero; else its requests brought nothing."""
    return not group.tariff.request_fee and not any(term.rate for term in lines(group.usage, flat(group.tariff)))


def _amount(kind: str, quantity: int, rate: int) -> int:
    return quantity * rate if kind == FEE else round_half_up(quantity * rate, PER_MILLION)


def flat(tariff: Tariff) -> Tariff:
    """The tariff's own rates without what deviates from them: the sum of many requests is no long one."""
    if not tariff.tiers and not tariff.hours:
        return tariff
    own: dict[str, int | None] = {kind.rate: tariff.rate(kind.name) for kind in KINDS}
    return Tariff(tariff.id, tariff.currency, request_fee=tariff.request_fee, tiers=(), hours=(), **own)


def _shares(groups: Iterable[_Group]) -> tuple[list[Part], list[Part]]:
    keys: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for group in groups:
        keys[group.api_key_id][0] += group.requests
        keys[group.api_key_id][1] += group.cost
    rows = {row.pk: row for row in ApiKey.objects.filter(pk__in=keys).select_related("created_by")}
    members: dict[int | None, list[int]] = defaultdict(lambda: [0, 0])
    names: dict[int | None, str] = {}
    for pk, (requests, amount) in keys.items():
        user = rows[pk].created_by if pk in rows else None
        maker = user.pk if user else None
        names[maker] = str(user) if user else ""
        members[maker][0] += requests
        members[maker][1] += amount
    by_key = [Part(pk, str(rows[pk]) if pk in rows else "", *sums) for pk, sums in keys.items()]
    by_member = [Part(pk, names[pk], *sums) for pk, sums in members.items()]
    return sorted(by_key, key=_largest_first), sorted(by_member, key=_largest_first)


def _largest_first(part: Part) -> tuple[int, int]:
    return -part.amount, part.id or 0
