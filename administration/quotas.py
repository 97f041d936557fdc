"""Quotas: what tenants, members and keys may spend in a period."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminDecimalFieldWidget

from administration.frame import Admin, action, display, moved
from billing import amounts, money, quotas
from billing.amounts import AmountField
from billing.models import Quota, QuotaDefault


class QuotaForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The amount is typed in the tenant's currency. Whose quota it is, and its period, stay as they were made."""

    limit = AmountField(
        label=_("Amount"),
        min_value=0,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=_("In the tenant's currency."),
    )

    class Meta:
        model = Quota
        fields = ("tenant", "user", "api_key", "period", "is_hard")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["limit"].initial = money.to_json_number(self.instance.amount, self.instance.tenant.currency)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        tenant = self.instance.tenant if self.instance.pk else cleaned.get("tenant")
        if tenant is not None and cleaned.get("limit") is not None:
            try:
                cleaned["limit"] = amounts.ledger_units(cleaned["limit"], tenant.currency)
            except forms.ValidationError as error:
                self.add_error("limit", error)
        if not self.instance.pk and tenant is not None and self._is_there(cleaned):
            self.add_error(None, _("There is a quota of this kind already."))
        return cleaned

    @staticmethod
    def _is_there(cleaned: dict[str, Any]) -> bool:
        same = {name: cleaned.get(name) for name in ("tenant", "user", "api_key", "period")}
        return Quota.objects.filter(**same, ended_at=None).exists()


@admin.register(Quota)
class QuotaAdmin(Admin):
    form = QuotaForm
    list_display = ("shown_subject", "tenant", "period", "shown_amount", "shown_used", "is_hard", "shown_state")
    list_select_related = ("tenant", "user", "api_key")
    list_filter = (("tenant", AutocompleteSelectFilter), ("period", ChoicesDropdownFilter), "is_hard")
    list_filter_submit = True
    search_fields = ("tenant__name", "user__email", "api_key__name")
    search_help_text = _("The name of a tenant or a key, or a member's e-mail address.")
    autocomplete_fields = ("tenant", "user", "api_key")
    actions = ("end",)
    fieldsets = (
        (None, {"fields": ("tenant", "user", "api_key", "period", "limit", "is_hard")}),
        (_("Now"), {"fields": ("shown_used", "shown_state")}),
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Quota | None = None) -> tuple[str, ...]:
        fixed = ("tenant", "user", "api_key", "period") if obj else ()
        return (*fixed, "shown_used", "shown_state")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Its periods are history; it is ended, not deleted."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Quota | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.ended_at is None)

    def save_model(self, request: HttpRequest, obj: Quota, form: QuotaForm, change: bool) -> None:
        amount = form.cleaned_data["limit"]
        if change:
            quotas.change(Quota.objects.get(pk=obj.pk), amount=amount, is_hard=obj.is_hard)
        else:
            obj.amount = amount
            obj.save()

    @display(description=_("whose"))
    def shown_subject(self, quota: Quota) -> str:
        return quota.subject

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, quota: Quota) -> SafeString:
        return amounts.amount_html(quota.amount, quota.tenant.currency)

    @display(description=_("used in this period"))
    def shown_used(self, quota: Quota) -> SafeString:
        if not quota.pk:
            return amounts.amount_html(None, "")
        (standing,) = quotas.standings([quota], timezone.now())
        return amounts.amount_html(standing.used, quota.tenant.currency)

    @display(description=_("state"), label={"open": "success", "ended": "warning"})
    def shown_state(self, quota: Quota) -> tuple[str, str]:
        return ("open", gettext("in force")) if quota.ended_at is None else ("ended", gettext("ended"))

    @action(description=_("End the selected quotas"), permissions=("change",))
    def end(self, request: HttpRequest, queryset: QuerySet[Quota]) -> None:
        count = 0
        for quota in queryset:
            if quotas.end(quota):
                self.log_change(request, quota, [{"changed": {"fields": [moved("state", "in force", "ended")]}}])
                count += 1
        text = ngettext("%(count)d quota has ended.", "%(count)d quotas have ended.", count)
        messages.success(request, text % {"count": count})


class QuotaDefaultForm(QuotaForm):
    """Of each new member or key."""

    class Meta:
        model = QuotaDefault
        fields = ("tenant", "about", "period", "is_hard")

    @staticmethod
    def _is_there(cleaned: dict[str, Any]) -> bool:
        same = {name: cleaned.get(name) for name in ("tenant", "about", "period")}
        return QuotaDefault.objects.filter(**same).exists()


@admin.register(QuotaDefault)
class QuotaDefaultAdmin(Admin):
    form = QuotaDefaultForm
    list_display = ("about", "tenant", "period", "shown_amount", "is_hard")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter), ("period", ChoicesDropdownFilter))
    list_filter_submit = True
    autocomplete_fields = ("tenant",)
    fieldsets = ((None, {"fields": ("tenant", "about", "period", "limit", "is_hard")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: QuotaDefault | None = None) -> tuple[str, ...]:
        return ("tenant", "about", "period") if obj else ()

    def save_model(
        self, request: HttpRequest, obj: QuotaDefault, form: QuotaDefaultForm, change: bool
    ) -> None:  # fmt: skip
        obj.amount = form.cleaned_data["limit"]
        obj.save()

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, default: QuotaDefault) -> SafeString:
        return amounts.amount_html(default.amount, default.tenant.currency)
