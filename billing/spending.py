"""What was used and spent in a stretch of time, added up: from the roll-ups as far as they go, else from the records.

A request counts at the moment at which it was settled, as it does on invoices, so that every figure equals the ledger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncMinute

from accounts.models import ApiKey, Tenant
from billing import rollups
from billing.models import UsageRecord, UsageRollup

By = Literal["model", "key", "member", "day", "hour"]
_COLUMNS: Final[dict[str, str]] = {
    "model": "model",
    "key": "api_key",
    "member": "api_key",
    "day": "starts_at",
    "hour": "starts_at",
}
_FIGURES: Final = ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost")
EARLIEST: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST: Final = dt.datetime(3000, 1, 1, tzinfo=dt.UTC)
_OF_TIME: Final = frozenset(("day", "hour"))


@dataclass(frozen=True, slots=True)
class Spent:
    """One line: of a model, a key (by id), a member (by id, None if unknown), a day or an hour of the tenant's zone.

    `cost` is in ledger units.
    """

    subject: Any
    requests: int
    input: int
    cached_input: int
    output: int
    cost: int


def spent(
    tenant: Tenant,
    start: dt.datetime,
    end: dt.datetime,
    by: By,
    *,
    model: str = "",
    api_keys: Sequence[int] | None = None,
) -> list[Spent]:
    """What the tenant spent in [start, end), one line a subject; days and hours in order, else the dearest first.

    `start` and `end` are full hours, or begin a day of the tenant's.
    """
    found: dict[Any, list[int]] = {}
    subject_of = _subjects(tenant, by)
    for row in added_up(_chosen(tenant, model, api_keys), start, end, (_COLUMNS[by],)):
        figures = found.setdefault(subject_of(row[_COLUMNS[by]]), [0] * len(_FIGURES))
        for place, name in enumerate(_FIGURES):
            figures[place] += row[name]
    lines = [Spent(subject, *figures) for subject, figures in found.items()]
    if by in _OF_TIME:
        return sorted(lines, key=lambda line: str(line.subject))
    return sorted(lines, key=lambda line: (-line.cost, str(line.subject)))


@dataclass(frozen=True, slots=True)
class Consumed:
    """What one key used of one model; `cost` is in ledger units."""

    api_key: int
    model: str
    requests: int
    input: int
    cached_input: int
    output: int
    cost: int


def consumed(
    tenant: Tenant, start: dt.datetime, end: dt.datetime, *, model: str = "", api_keys: Sequence[int] | None = None
) -> list[Consumed]:
    """What the tenant used in [start, end), by key and model, in the order of both."""
    found: dict[tuple[int, str], list[int]] = {}
    for row in added_up(_chosen(tenant, model, api_keys), start, end, ("api_key", "model")):
        figures = found.setdefault((row["api_key"], row["model"]), [0] * len(_FIGURES))
        for place, name in enumerate(_FIGURES):
            figures[place] += row[name]
    return [Consumed(*of, *figures) for of, figures in sorted(found.items())]


def _chosen(tenant: Tenant, model: str, api_keys: Sequence[int] | None) -> dict[str, Any]:
    chosen: dict[str, Any] = {"tenant": tenant}
    if model:
        chosen["model"] = model
    if api_keys is not None:
        chosen["api_key__in"] = api_keys
    return chosen


def _subjects(tenant: Tenant, by: By) -> Any:
    if by in _OF_TIME:
        zone = ZoneInfo(tenant.time_zone)
        return lambda moment: _local(moment, zone, by)
    if by == "member":
        makers = dict(ApiKey.objects.filter(tenant=tenant).values_list("pk", "created_by"))
        return makers.get
    return lambda value: value


def _local(moment: dt.datetime, zone: ZoneInfo, by: By) -> dt.date | dt.datetime:
    local = moment.astimezone(zone)
    return local.date() if by == "day" else local.replace(minute=0, second=0, microsecond=0)


def added_up(
    chosen: Mapping[str, Any], start: dt.datetime, end: dt.datetime, columns: tuple[str, ...]
) -> Iterable[dict[str, Any]]:
    """Sums of everything in [start, end) that matches, by these columns; a group may come twice.

    `starts_at` among the columns is the hour or, of what is not rolled up yet, the minute.
    """
    until = rollups.complete_until() or start
    middle = min(max(start, until), end)
    rolled = UsageRollup.objects.filter(starts_at__gte=start, starts_at__lt=middle, **chosen)
    yield from _sums(rolled, columns, Sum("requests"))
    fresh: QuerySet[Any] = UsageRecord.objects.filter(settled_at__gte=middle, settled_at__lt=end, **chosen)
    if "starts_at" in columns:
        fresh = fresh.annotate(starts_at=TruncMinute("settled_at", tzinfo=dt.UTC))
    yield from _sums(fresh, columns, Count("pk"))


def _sums(rows: QuerySet[Any], columns: tuple[str, ...], count: Any) -> Iterable[dict[str, Any]]:
    sums = {f"sum_{name}": Coalesce(Sum(name), 0) for name in rollups.SUMMED}
    # As a whole: a cursor would make PostgreSQL plan for the first rows, along an index of all tenants' times.
    for row in list(rows.order_by().values(*columns).annotate(count=count, **sums)):
        yield {name: row[name] for name in columns} | {"requests": row["count"]} | {
            name: row[f"sum_{name}"] for name in rollups.SUMMED
        }  # fmt: skip
