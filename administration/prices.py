"""Customer prices: every change is a new version, the old ones stay to be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, OuterRef, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter, RelatedDropdownFilter
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.models import User
from administration.decisions import operator
from administration.frame import action, back_to, display, row_or_404
from administration.rates import RATES, RatesAdmin, RatesForm, earlier_rates
from administration.second_look import Look, at_price
from billing import amounts, plans
from billing.models import Price, PricePlan
from routing.models import CatalogueModel


def _names() -> list[tuple[str, Any]]:
    names = CatalogueModel.objects.values_list("name", flat=True)
    return [("", _("Select value")), *((name, name) for name in names)]


class PriceForm(RatesForm):
    """A new version of a model's price; the model is one of the catalogue."""

    model = forms.ChoiceField(label=_("Model"), choices=_names, widget=UnfoldAdminSelectWidget())

    class Meta:
        model = Price
        fields = ("model", "currency", "plan", "effective_from", *RATES, "terms")


@admin.register(Price)
class PriceAdmin(RatesAdmin):
    form = PriceForm
    list_display = ("model", "version", "currency", "shown_plan", "effective_from", "shown_state", "shown_input",
                    "shown_cached_input", "shown_output", "shown_request_fee")  # fmt: skip
    list_select_related = ("plan", "withdrawal")
    list_filter = (("currency", ChoicesDropdownFilter), ("plan", RelatedDropdownFilter), ("model", FieldTextFilter))
    list_filter_submit = True
    search_fields = ("model",)
    date_hierarchy = "effective_from"
    actions_detail = ("new_version", "follow_list", "withdraw")

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[tuple[Any, Any]]:
        subject = ("model", "currency", "plan", "effective_from")
        return self.fieldsets_of(
            obj is None, subject if obj is None else (*subject, "version", "shown_state"), ("author", "created_at")
        )

    def save_model(self, request: HttpRequest, obj: Price, form: forms.ModelForm[Price], change: bool) -> None:
        obj.created_by = operator(request)
        plans.publish(obj)

    def same_price(self, rows: QuerySet[Price]) -> QuerySet[Price]:
        outer = {"model": OuterRef("model"), "currency": OuterRef("currency")}
        return rows.annotate(plan_or_list=Coalesce("plan", 0)).filter(
            plan_or_list=Coalesce(OuterRef("plan"), 0), **outer
        )

    def look(self, rates: Price) -> Look:
        return at_price(rates)

    def subject(self, rates: Price) -> str:
        words = {"model": rates.model, "currency": rates.currency, "plan": rates.plan or gettext("the list"),
                 "moment": date_format(timezone.localtime(rates.effective_from), "DATETIME_FORMAT")}  # fmt: skip
        return gettext("What %(plan)s asks for %(model)s in %(currency)s, from %(moment)s on.") % words

    @display(description=_("price plan"), ordering="plan__name")
    def shown_plan(self, price: Price) -> str:
        return str(price.plan) if price.plan else gettext("list")

    @display(description=_("created by"), ordering="created_by__email")
    def author(self, price: Price) -> User | None:
        return price.created_by

    @action(description=_("New version"), permissions=("price",), icon="add")
    def new_version(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        """The form to add a price, filled with this one's rates."""
        price = row_or_404(Price, object_id)
        query = {"model": price.model, **earlier_rates(price)} | ({"plan": price.plan_id} if price.plan_id else {})
        return HttpResponseRedirect(f"{reverse('admin:billing_price_add')}?{urlencode(query)}")

    def has_follow_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Of what somebody entered for a plan: the list's and its copies follow it as they are."""
        pk = amounts.whole(str(object_id))
        if not self.has_price_permission(request) or pk is None:
            return False
        return Price.objects.filter(pk=pk, copy_of=None).exclude(plan=None).exists()

    @action(description=_("Follow the list"), permissions=("follow",), icon="link")
    def follow_list(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """From now on the plan has the list's price with its markup instead of this one; shown before it is saved."""
        price = row_or_404(Price.objects.exclude(plan=None).select_related("plan"), object_id)
        plan = cast("PricePlan", price.plan)
        listed = plans.as_listed(plan, price.model, price.currency)
        if listed is None:
            self.message_user(request, gettext("The list has no price for this model."), messages.ERROR)
            return back_to(self, price)
        look = at_price(listed)
        look = replace(look, seen=f"{look.seen} {listed.copy_of_id} {plan.markup.normalize()}")
        if request.method != "POST" or not look.is_confirmed(request.POST):
            return self.second_look(request, listed, look, back=reverse("admin:billing_price_change", args=(price.pk,)))
        plans.follow_list(plan, price.model, price.currency)
        self.log_change(request, price, [{"changed": {"fields": ["follows the list"]}}])
        self.message_user(request, gettext("The plan follows the list for this model."), messages.SUCCESS)
        newest = price.versions().filter(plan=plan).order_by("version").last()
        return back_to(self, newest or price)
