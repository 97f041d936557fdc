"""Lists of tables that grow by the million: a page of them costs some index reads, however many rows there are.

They go back ten thousand rows, newest first; what is older is found by its day or hour, its tenant or its id. What no
index knows is looked for among the newest alone, of the day and the tenant if they are chosen, and the page says so.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
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

from administration.frame import ReadOnlyAdmin

_LISTED: Final = 10_000


class NewestPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable when it runs
    """Pages of the newest rows; `count` is never more than `most`."""

    most = _LISTED

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: self.most].count())


class DayFilter(TextFilter):  # type: ignore[misc]  # Unfold carries no types
    """The rows of a day or an hour (UTC), by a column that has an index."""

    title = _("day or hour (UTC), such as 2026-12-31 or 2026-12-31 18")
    parameter_name = "day"
    column = "created_at"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        try:
            bounds = self.bounds(request, *stretch(self.value()))
        except (ValueError, OverflowError):
            messages.error(request, gettext("A day is written as 2026-12-31, an hour as 2026-12-31 18."))
            return queryset.none()
        return queryset.filter(**bounds)

    def bounds(self, request: HttpRequest, begins: dt.datetime, ends: dt.datetime) -> dict[str, Any]:
        """As lookups; raises ValueError or OverflowError where the column knows no such time."""
        return {f"{self.column}__gte": begins, f"{self.column}__lt": ends}


class RequestDayFilter(DayFilter):
    """The requests that began then: their ids begin with the time (RFC 9562, UUIDv7), and are what is indexed."""

    column = "started_at"

    def bounds(self, request: HttpRequest, begins: dt.datetime, ends: dt.datetime) -> dict[str, Any]:
        by_time = super().bounds(request, begins, ends)
        # Of a tenant there is an index by the time itself; the same said twice would mislead the database's planner.
        if request.GET.get("tenant__id__exact"):
            return by_time
        # Ids are made a little before requests are said to begin.
        return by_time | {"pk__gte": first_id(begins - _EARLIER), "pk__lt": first_id(ends)}


_EARLIER: Final = dt.timedelta(minutes=5)


def stretch(typed: str) -> tuple[dt.datetime, dt.datetime]:
    """The beginning and the end of the day or hour (UTC) that was typed; ValueError for anything else."""
    day, _space, hour = typed.strip().partition(" ")
    begins = dt.datetime.strptime(f"{day} {hour or 0}", "%Y-%m-%d %H").replace(tzinfo=dt.UTC)
    return begins, begins + (dt.timedelta(hours=1) if hour else dt.timedelta(days=1))


def first_id(moment: dt.datetime) -> uuid.UUID:
    """Below every id that is made from then on; ValueError for a moment that ids do not know."""
    return uuid.UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


class NewestAdmin(ReadOnlyAdmin):
    """A page about the rows of such a table; says which of its filters an index serves."""

    newest: ClassVar[str] = "pk"
    """The column that says which rows are the newest; an index has it."""
    served: ClassVar[dict[str, str]] = {}
    """By the parameters of the filters that an index serves, the column that follows in it: which are the newest."""

    paginator = NewestPaginator
    list_per_page = 50  # a row costs a millisecond to show
    # Nothing here counts all rows.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestChanges]:
        return NewestChanges

    def is_indexed(self, term: str) -> bool:
        """Whether an index finds this search term, so that nothing has to be looked through."""
        return False


class NewestChanges(ChangeList):  # type: ignore[misc]
    """Filters and orders that no index serves see the newest rows alone."""

    looked_through = 10_000
    found = 1_000
    """So many of what is looked for are listed."""

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        if self._is_served(request):
            return rows
        found, is_all = among_newest(rows, self._of_served_filters(request), self._newest, self.looked_through)
        if not is_all:
            text = gettext(
                "Looked for among the newest %(number)s alone; choose a day or an hour to look further back."
            )
            messages.info(request, text % {"number": number_format(self.looked_through, force_grouping=True)})
        return self._first(request, found)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """By what is asked for; else the newest first, by the index that serves the filters."""
        ordering: list[Any] = super().get_ordering(request, queryset)
        is_asked = bool(request.GET.get(ORDER_VAR)) and ordering != ["-pk"]
        return ordering if is_asked or self._newest == self.model_admin.newest else [f"-{self._newest}", "-pk"]

    def get_ordering_field(self, field_name: str) -> Any:
        """None for a column that the page does not offer to sort by."""
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None

    @property
    def _chosen(self) -> set[str]:
        return {name for name, values in self.get_filters_params().items() if any(values)}

    @property
    def _newest(self) -> str:
        """The column that tells which of the rows of the served filters are the newest."""
        columns = {column for name, column in self.model_admin.served.items() if name in self._chosen}
        return str(next(iter(columns - {self.model_admin.newest}), self.model_admin.newest))

    def _is_served(self, request: HttpRequest) -> bool:
        is_searched = bool(self.query) and not self.model_admin.is_indexed(self.query)
        return not (request.GET.get(ORDER_VAR) or is_searched or self._chosen - set(self.model_admin.served))

    def _of_served_filters(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.root_queryset
        for each in self.filter_specs:
            if not self.model_admin.served.keys().isdisjoint(each.expected_parameters()):
                narrowed = each.queryset(request, rows)
                rows = rows if narrowed is None else narrowed
        return rows

    def _first(self, request: HttpRequest, found: QuerySet[Any]) -> QuerySet[Any]:
        """By their ids, so that what was looked through is not looked through again for each count and page."""
        ids = list(found.values_list("pk", flat=True)[: self.found + 1])
        if len(ids) > self.found:
            text = gettext("There are more than %(number)s; the first of them are listed.")
            messages.info(request, text % {"number": number_format(self.found, force_grouping=True)})
        return found.filter(pk__in=ids[: self.found])


def among_newest(rows: QuerySet[Any], everything: QuerySet[Any], newest: str, most: int) -> tuple[QuerySet[Any], bool]:
    """Those of the rows that are among the `most` of everything, newest first by a column; and whether that is all."""
    last = everything.order_by(f"-{newest}").values_list(newest, flat=True)[most : most + 1].first()
    return (rows, True) if last is None else (rows.filter(**{f"{newest}__gt": last}), False)
