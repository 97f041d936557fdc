"""Customer prices: every change is a new version, the old ones stay to be read."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.models import User
from administration.frame import action, display
from administration.rates import RATES, RatesAdmin, RatesForm
from billing.models import Price
from routing.models import CatalogueModel


def _names() -> list[tuple[str, Any]]:
    names = CatalogueModel.objects.values_list("name", flat=True)
    return [("", _("Select value")), *((name, name) for name in names)]


class PriceForm(RatesForm):
    """A new version of a model's price; the model is one of the catalogue."""

    model = forms.ChoiceField(label=_("Model"), choices=_names, widget=UnfoldAdminSelectWidget())

    class Meta:
        model = Price
        fields = ("model", "currency", "effective_from", *RATES)


@admin.register(Price)
class PriceAdmin(RatesAdmin):
    form = PriceForm
    list_display = ("model", "version", "currency", "effective_from", "shown_input", "shown_cached_input",
                    "shown_output", "shown_request_fee")  # fmt: skip
    list_filter = (("currency", ChoicesDropdownFilter), ("model", FieldTextFilter))
    list_filter_submit = True
    search_fields = ("model",)
    date_hierarchy = "effective_from"
    actions_detail = ("new_version",)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[tuple[Any, Any]]:
        subject = ("model", "currency", "effective_from")
        return self.fieldsets_of(
            obj is None, subject if obj is None else (*subject, "version"), ("author", "created_at")
        )

    def save_model(self, request: HttpRequest, obj: Price, form: forms.ModelForm[Price], change: bool) -> None:
        obj.created_by = request.user  # type: ignore[assignment]  # admin pages have no anonymous users
        super().save_model(request, obj, form, change)

    @display(description=_("created by"), ordering="created_by__email")
    def author(self, price: Price) -> User | None:
        return price.created_by

    @action(description=_("New version"), permissions=("price",), icon="add")
    def new_version(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        """The form to add a price, filled with this one's rates."""
        price = get_object_or_404(Price, pk=object_id)
        rates = {name: getattr(price, name) for name in RATES if getattr(price, name) is not None}
        query = urlencode({"model": price.model, "currency": price.currency, **rates})
        return HttpResponseRedirect(f"{reverse('admin:billing_price_add')}?{query}")
