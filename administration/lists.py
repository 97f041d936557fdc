"""Lists of tables that grow by the million: a page of them costs some index reads, however many rows there are.

They go back ten thousand rows, newest first; what is older is found by its day, its tenant or its id. What no index
knows is looked for among the newest rows alone, and the page says so.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.views.main import ORDER_VAR
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import TextFilter
from unfold.views import ChangeList

_LISTED: Final = 10_000
_LOOKED_THROUGH: Final = 100_000


class NewestPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Pages of the newest rows; `count` is never more than `most`."""

    most = _LISTED

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: self.most].count())


class DayFilter(TextFilter):  # type: ignore[misc]  # Unfold carries no types
    """The requests that began on a day (UTC): their ids begin with the time (RFC 9562, UUIDv7)."""

    title = _("day (UTC), such as 2026-12-31")
    parameter_name = "day"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        try:
            day = dt.datetime.strptime(self.value().strip(), "%Y-%m-%d").replace(tzinfo=dt.UTC)
            end = day + dt.timedelta(days=1)
            # Ids are made a little before requests are said to begin.
            first, last = (first_id(moment) for moment in (day - _EARLIER, end))
        except (ValueError, OverflowError):
            messages.error(request, gettext("A day is written as 2026-12-31."))
            return queryset.none()
        return queryset.filter(started_at__gte=day, started_at__lt=end, pk__gte=first, pk__lt=last)


_EARLIER: Final = dt.timedelta(minutes=5)


def first_id(moment: dt.datetime) -> uuid.UUID:
    """Below every id that is made from then on; ValueError for a moment that ids do not know."""
    return uuid.UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


class NewestChanges(ChangeList):  # type: ignore[misc]
    """Filters and orders that no index serves see the newest rows alone."""

    indexed: Final = frozenset({"day", "tenant__id__exact"})

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        filters = self.get_filters_params()
        params = {name for name, values in filters.items() if any(values)}
        is_searched = bool(self.query) and not self.model_admin.is_indexed(self.query)
        is_sorted = bool(request.GET.get(ORDER_VAR))
        if "day" in params or not (params - self.indexed or is_searched or is_sorted):
            return rows
        tenant = filters.get("tenant__id__exact", [""])[-1]
        found, is_all = among_newest(rows, self.root_queryset, tenant)
        if not is_all:
            text = gettext("Looked for among the newest %(number)s alone; choose a day to look further back.")
            messages.info(request, text % {"number": number_format(_LOOKED_THROUGH, force_grouping=True)})
        return found


def among_newest(
    rows: QuerySet[Any], everything: QuerySet[Any], tenant: str = "", most: int = _LOOKED_THROUGH
) -> tuple[QuerySet[Any], bool]:
    """Those of the rows that are among the `most` newest, of the tenant if one is named; and whether that is all."""
    name = "started_at" if tenant else "pk"
    newest = everything.filter(tenant=tenant) if tenant else everything
    before = newest.order_by(f"-{name}").values_list(name, flat=True)[most : most + 1].first()
    return (rows, True) if before is None else (rows.filter(**{f"{name}__gt": before}), False)
