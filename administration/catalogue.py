"""The catalogue: public models, the routes that serve them, and what each route costs."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Exists, F, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts.models import ApiKey
from administration.frame import Admin, action, display, row_or_404
from administration.rates import RATES, RatesAdmin, RatesForm, earlier_rates, format_pair
from administration.second_look import Look, at_cost_price
from billing.models import Price, UsageRecord
from routing.endpoints import ENDPOINTS
from routing.models import CatalogueModel, Channel, CostPrice, Route


def _in_force(rows: QuerySet[Any], column: str) -> Subquery:
    """The column of the version that holds now: of those whose time has come the latest, as the snapshot has it."""
    return Subquery(_holding(rows).order_by("-effective_from", "-version").values(column)[:1])


def _holding(rows: QuerySet[Any]) -> QuerySet[Any]:
    """The versions whose time has come; the latest of them holds."""
    return rows.filter(effective_from__lte=Now(), withdrawal=None)


def _usable_routes() -> QuerySet[Route]:
    """Those that could serve a request: enabled, of an enabled channel, with a cost price."""
    costs = _holding(CostPrice.objects.filter(route=OuterRef("pk")))
    return Route.objects.filter(Exists(costs), is_enabled=True, channel__status=Channel.Status.ENABLED)


def _hanging_on(name: str) -> list[str]:
    """What goes by a model's name, in words with numbers."""
    prices = Price.objects.filter(model=name).count()
    lists = ApiKey.objects.exclude(allowed_models=[]).values_list("allowed_models", flat=True)
    keys = sum(name in models for models in lists)
    hanging = []
    if prices:
        hanging.append(ngettext("%d price", "%d prices", prices) % prices)
    if keys:
        hanging.append(ngettext("%d key’s list of models", "%d keys’ lists of models", keys) % keys)
    if UsageRecord.objects.filter(model=name).exists():
        hanging.append(gettext("usage records"))
    return hanging


class CatalogueModelForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    class Meta:
        model = CatalogueModel
        fields = ("name", "description", "is_enabled", "context_window", "output_limit", "default_output",
                  "prompt_overhead", "supports_tools", "supports_images", "supports_json_schema",
                  "endpoints")  # fmt: skip

    endpoints = forms.MultipleChoiceField(
        label=_("endpoints"),
        required=False,
        choices=[(each.name, f"/v1{each.path}") for each in ENDPOINTS.values()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=_("What it is called for; nothing chosen means chat."),
    )

    def clean_endpoints(self) -> list[str] | None:
        return self.cleaned_data["endpoints"] or None

    def clean_name(self) -> str:
        """A name is what prices, keys and history go by: it cannot change once something hangs on it."""
        name: str = self.cleaned_data["name"]
        before = self.initial.get("name", name)
        if self.instance.pk and name != before and (hanging := _hanging_on(before)):
            raise ValidationError(
                _("The name cannot change any more, because it is used by: %(users)s. Make a new model instead."),
                params={"users": ", ".join(hanging)},
            )
        return name

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        limits = [cleaned.get(field) or 0 for field in ("default_output", "output_limit", "context_window")]
        if not self.errors and limits != sorted(limits):
            raise ValidationError(
                _("The default output cap must not exceed the output limit, nor that the context window.")
            )
        return cleaned


@admin.register(CatalogueModel)
class CatalogueModelAdmin(Admin):
    form = CatalogueModelForm
    list_display = (
        "name", "is_enabled", "shown_state", "context_window", "output_limit", "route_count", "shown_price"
    )  # fmt: skip
    list_filter = ("is_enabled", "supports_tools", "supports_images", "supports_json_schema")
    search_fields = ("name", "description")
    readonly_fields = ("shown_state",)
    fieldsets = (
        (None, {"fields": ("name", "description", "is_enabled", "shown_state", "endpoints")}),
        (_("Tokens"), {"fields": ("context_window", "output_limit", "default_output", "prompt_overhead")}),
        (_("Capabilities"), {"fields": ("supports_tools", "supports_images", "supports_json_schema")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CatalogueModel]:
        prices = Price.objects.filter(model=OuterRef("name"), currency="USD", plan=None)
        rows: QuerySet[CatalogueModel] = super().get_queryset(request)
        return rows.annotate(
            routes_held=Count("routes"),
            price_input=_in_force(prices, "input"),
            price_output=_in_force(prices, "output"),
            has_price=Exists(_holding(Price.objects.filter(model=OuterRef("name"), plan=None))),
            has_route=Exists(_usable_routes().filter(model=OuterRef("pk"))),
        )

    @display(
        description=_("state"),
        label={"offered": "success", "off": "default", "no_price": "danger", "no_route": "danger"},
    )
    def shown_state(self, model: CatalogueModel) -> tuple[str, str]:
        """What keeps it from being called, if anything does."""
        if not model.is_enabled:
            return "off", gettext("switched off")
        if not getattr(model, "has_price", False):
            return "no_price", gettext("cannot be called: it has no price")
        if not getattr(model, "has_route", False):
            return "no_route", gettext("cannot be called: no enabled route with a cost price")
        return "offered", gettext("offered")

    @display(description=_("routes"), ordering="routes_held")
    def route_count(self, model: CatalogueModel) -> int:
        return getattr(model, "routes_held", 0)

    @display(description=_("input / output per million"))
    def shown_price(self, model: CatalogueModel) -> SafeString | str:
        return format_pair(getattr(model, "price_input", None), getattr(model, "price_output", None), "USD")


@admin.register(Route)
class RouteAdmin(Admin):
    list_display = ("model", "channel", "upstream_name", "is_enabled", "shown_cost_price")
    list_select_related = ("model", "channel")
    list_filter = (("model", AutocompleteSelectFilter), ("channel", AutocompleteSelectFilter), "is_enabled")
    list_filter_submit = True
    search_fields = ("model__name", "channel__name", "upstream_name")
    autocomplete_fields = ("model", "channel")
    readonly_fields = ("shown_cost_price", "cost_prices")
    fieldsets = (
        (None, {"fields": ("model", "channel", "upstream_name", "is_enabled")}),
        (_("Cost price"), {"fields": ("shown_cost_price", "cost_prices")}),
    )
    guarded: ClassVar[dict[str, str]] = dict.fromkeys(
        ("shown_cost_price", "cost_prices", "cost_input", "cost_output", "cost_currency"), "routing.costprice"
    )
    actions_detail = ("add_cost_price",)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[tuple[Any, Any]]:
        shown = super().get_fieldsets(request, obj)
        return shown[:1] if obj is None else shown

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        versions = CostPrice.objects.filter(route=OuterRef("pk"))
        rows: QuerySet[Route] = super().get_queryset(request)
        if not self.is_open(request, "cost_input"):
            return rows
        return rows.annotate(
            cost_input=_in_force(versions, "input"),
            cost_output=_in_force(versions, "output"),
            cost_currency=_in_force(versions, "currency"),
        )

    @display(description=_("input / output per million"))
    def shown_cost_price(self, route: Route) -> SafeString | str:
        rates = (getattr(route, name, None) for name in ("cost_input", "cost_output", "cost_currency"))
        return format_pair(*rates)

    def has_price_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A method, because Unfold looks up permissions given by name in the database when it checks the project."""
        return request.user.has_perm("routing.add_costprice")

    @display(description=_("versions"))
    def cost_prices(self, route: Route) -> SafeString:
        link = f"{reverse('admin:routing_costprice_changelist')}?route__id__exact={route.pk}"
        text = gettext("All cost prices of this route")
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', link, text)

    @action(description=_("New cost price"), permissions=("price",), icon="add")
    def add_cost_price(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        """The form to add a cost price, filled with the newest version's rates."""
        route = row_or_404(Route, object_id)
        newest = route.cost_prices.order_by("-version").first()
        return HttpResponseRedirect(_cost_price_form(route.pk, newest))


class CostPriceForm(RatesForm):
    class Meta:
        model = CostPrice
        fields = ("route", "currency", "effective_from", *RATES, "terms")


@admin.register(CostPrice)
class CostPriceAdmin(RatesAdmin):
    form = CostPriceForm
    list_display = ("route_name", "version", "currency", "effective_from", "shown_state", "shown_input",
                    "shown_cached_input", "shown_output", "shown_request_fee")  # fmt: skip
    list_select_related = ("route__model", "route__channel", "withdrawal")
    list_filter = (("route", AutocompleteSelectFilter), "currency")
    list_filter_submit = True
    search_fields = ("route__model__name", "route__channel__name")
    autocomplete_fields = ("route",)
    date_hierarchy = "effective_from"
    actions_detail = ("new_version", "withdraw")

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> list[tuple[Any, Any]]:
        subject = ("route", "currency", "effective_from")
        return self.fieldsets_of(
            obj is None, subject if obj is None else (*subject, "version", "shown_state"), ("created_at",)
        )

    def same_price(self, rows: QuerySet[CostPrice]) -> QuerySet[CostPrice]:
        return rows.filter(route=OuterRef("route"))

    def look(self, rates: CostPrice) -> Look:
        return at_cost_price(rates)

    def subject(self, rates: CostPrice) -> str:
        moment = date_format(timezone.localtime(rates.effective_from), "DATETIME_FORMAT")
        return gettext("What %(route)s costs, from %(moment)s on.") % {"route": rates.route, "moment": moment}

    def get_queryset(self, request: HttpRequest) -> QuerySet[CostPrice]:
        rows: QuerySet[CostPrice] = super().get_queryset(request)
        return rows.annotate(model_name=F("route__model__name"))

    @display(description=_("route"), ordering="model_name")
    def route_name(self, cost_price: CostPrice) -> str:
        return str(cost_price.route)

    @action(description=_("New version"), permissions=("price",), icon="add")
    def new_version(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        """The form to add a cost price, filled with this one's rates."""
        cost_price = row_or_404(CostPrice, object_id)
        return HttpResponseRedirect(_cost_price_form(cost_price.route_id, cost_price))


def _cost_price_form(route_id: int, earlier: CostPrice | None) -> str:
    query: dict[str, Any] = {"route": route_id}
    if earlier is not None:
        query |= earlier_rates(earlier)
    return f"{reverse('admin:routing_costprice_add')}?{urlencode(query)}"
