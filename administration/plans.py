"""Price plans: a markup over the list, and prices of their own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldBooleanWidget

from administration.frame import Admin, display
from billing import plans
from billing.models import PricePlan

_LEAP: Final = Decimal(10)
"""Points by which a markup moves without being asked for: a sign or a decimal point that slipped moves it further."""


class PricePlanForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A markup that moves far is asked for once more: it changes every price that follows the list, at once."""

    is_confirmed = forms.BooleanField(
        label=_("Yes, its prices move so far"),
        required=False,
        widget=UnfoldBooleanWidget(),
        help_text=_("Only where you are asked to look once more."),
    )

    class Meta:
        model = PricePlan
        fields = ("name", "description", "markup")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        before = Decimal(self.initial.get("markup") or 0)
        if abs(cleaned.get("markup", before) - before) > _LEAP and not cleaned["is_confirmed"]:
            text = _("More than ten points from %(before)s %%, for every price that follows the list: tick the box.")
            self.add_error("is_confirmed", forms.ValidationError(text, params={"before": f"{before.normalize():f}"}))
        return cleaned


@admin.register(PricePlan)
class PricePlanAdmin(Admin):
    form = PricePlanForm
    list_display = ("name", "shown_markup", "tenant_count", "description")
    search_fields = ("name", "description")
    fieldsets = (
        (None, {"fields": ("name", "description", "markup", "is_confirmed")}),
        (_("Now"), {"fields": ("shown_prices",)}),
    )
    readonly_fields = ("shown_prices",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PricePlan]:
        rows: QuerySet[PricePlan] = super().get_queryset(request)
        return rows.annotate(tenants_held=Count("tenants"))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Its prices are history."""
        return False

    def save_model(self, request: HttpRequest, obj: PricePlan, form: forms.ModelForm[PricePlan], change: bool) -> None:
        """Another markup is a new version of each price that follows the list."""
        plans.set_markup(obj, obj.markup)

    @display(description=_("markup"), ordering="markup")
    def shown_markup(self, plan: PricePlan) -> str:
        return number_format(plan.markup.normalize()) + " %"

    @display(description=_("tenants"), ordering="tenants_held")
    def tenant_count(self, plan: Any) -> int:
        return int(plan.tenants_held)

    @display(description=_("prices"))
    def shown_prices(self, plan: PricePlan) -> SafeString:
        link = f"{reverse('admin:billing_price_changelist')}?plan__id__exact={plan.pk}"
        text = gettext("All prices of this plan")
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', link, text)
