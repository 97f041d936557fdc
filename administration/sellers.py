"""Who sells: legal entities, the numbers of their documents, and tax rates."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from administration.frame import Admin, display, table
from billing.models import LegalEntity, NumberSeries, TaxRate


@admin.register(LegalEntity)
class LegalEntityAdmin(Admin):
    list_display = ("name", "country", "prefix", "numbering", "is_default")
    search_fields = ("name",)
    readonly_fields = ("shown_series",)
    fieldsets = (
        (None, {"fields": ("name", "address", "country", "tax_id", "bank", "email", "is_default")}),
        (_("Numbers"), {"fields": ("prefix", "numbering", "time_zone", "shown_series")}),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Its documents are history."""
        return False

    @display(description=_("last numbers"))
    def shown_series(self, entity: LegalEntity) -> SafeString:
        series = NumberSeries.objects.filter(entity=entity.pk, tenant=None)
        rows = [(row.get_kind_display(), str(row.year), row.last) for row in series]
        return table([gettext("kind"), gettext("year"), gettext("last number")], rows, numeric=frozenset({2}))


@admin.register(TaxRate)
class TaxRateAdmin(Admin):
    list_display = ("jurisdiction", "name", "percent", "starts_on", "ends_on", "is_inclusive", "is_reverse_charge")
    list_filter = ("is_inclusive", "is_reverse_charge")
    search_fields = ("jurisdiction", "name")
