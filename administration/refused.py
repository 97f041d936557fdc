"""Refused calls: what apps were told before any upstream was asked, of all tenants, and of keys that nobody has."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter

from accounts.models import RefusedCall
from administration.frame import display
from administration.lists import DayFilter, NewestAdmin
from routing.api.remedies import REMEDIES, WITH_RECORD


class CodeFilter(DropdownFilter):  # type: ignore[misc]  # Unfold carries no types
    """The closed list of codes, without a look at the rows."""

    title = _("error code")
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(code, code) for code in REMEDIES if code not in WITH_RECORD]

    def queryset(self, request: HttpRequest, queryset: QuerySet[RefusedCall]) -> QuerySet[RefusedCall]:
        return queryset.filter(code=self.value()) if self.value() else queryset


class OwnerFilter(DropdownFilter):  # type: ignore[misc]
    title = _("whose key")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("known", _("a tenant's")), ("nobody", _("unknown"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[RefusedCall]) -> QuerySet[RefusedCall]:
        return queryset.filter(tenant__isnull=self.value() == "nobody") if self.value() else queryset


class MinuteFilter(DayFilter):
    column = "minute"


@admin.register(RefusedCall)
class RefusedCallAdmin(NewestAdmin):
    list_display = ("last_at", "tenant", "key_name", "shown_code", "calls", "message", "model")
    list_filter = (MinuteFilter, ("tenant", AutocompleteSelectFilter), ("api_key", AutocompleteSelectFilter),
                   CodeFilter, OwnerFilter)  # fmt: skip
    list_filter_submit = True
    ordering = ("-minute", "-pk")
    sortable_by = ("last_at", "calls")
    newest = "minute"
    served: ClassVar[dict[str, str]] = {"day": "minute", "tenant__id__exact": "minute"}
    fields = ("minute", "last_at", "tenant", "key_name", "status", "code", "calls", "message", "remedy", "param",
              "model", "path")  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefusedCall]:
        """With tenant and key by outer joins: a row may outlive them."""
        rows: QuerySet[RefusedCall] = super().get_queryset(request)
        return rows.select_related("tenant", "api_key")

    @display(description=_("last at (UTC)"), ordering="minute")
    def last_at(self, row: RefusedCall) -> SafeString:
        return format_html('<span class="amount">{}</span>', row.at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S"))

    @display(description=_("API key"))
    def key_name(self, row: RefusedCall) -> str:
        if row.api_key_id is None:
            return gettext("unknown")
        name = row.api_key.name if row.api_key else "\N{EN DASH}"
        return f"{name} (#{row.api_key_id})"

    @display(description=_("error"), ordering="code")
    def shown_code(self, row: RefusedCall) -> str:
        return str(row)

    @display(description=_("calls"), ordering="count")
    def calls(self, row: RefusedCall) -> str:
        return number_format(row.count, force_grouping=True)

    @display(description=_("what the tenant is told to do"))
    def remedy(self, row: RefusedCall) -> str:
        words = REMEDIES.get(row.code) if row.tenant_id else None  # nobody looks at those of unknown keys
        return gettext(words) if words else ""
