"""Billing profiles: whom a tenant's documents go to, and when they are made."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminDecimalFieldWidget

from administration.frame import Admin
from billing import amounts, money
from billing.amounts import AmountField
from billing.models import BillingProfile


class BillingProfileForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The threshold is typed in the tenant's currency."""

    invoice_at = AmountField(
        label=_("Invoice at"),
        required=False,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=_("Unbilled usage in the tenant's currency; an invoice is drafted as soon as it is passed."),
    )

    class Meta:
        model = BillingProfile
        fields = (
            "tenant", "name", "address", "country", "tax_id", "email", "language", "billed", "tax_exemption", "entity",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.threshold is not None:
            currency = self.instance.tenant.currency
            self.fields["invoice_at"].initial = money.to_json_number(self.instance.threshold, currency)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        tenant, typed = cleaned.get("tenant"), cleaned.get("invoice_at")
        if tenant is not None and typed is not None:
            try:
                cleaned["invoice_at"] = amounts.payable_units(typed, tenant.currency)
                if cleaned["invoice_at"] < 1:
                    raise forms.ValidationError(_("An amount above zero."))
            except forms.ValidationError as error:
                self.add_error("invoice_at", error)
        return cleaned

    def save(self, commit: bool = True) -> Any:
        self.instance.threshold = self.cleaned_data["invoice_at"]
        return super().save(commit)


@admin.register(BillingProfile)
class BillingProfileAdmin(Admin):
    form = BillingProfileForm
    list_display = ("name", "tenant", "billed", "country", "tax_id", "language")
    list_select_related = ("tenant",)
    list_filter = (("billed", ChoicesDropdownFilter),)
    list_filter_submit = True
    search_fields = ("name", "tenant__name", "tax_id")
    autocomplete_fields = ("tenant", "entity")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Without it the tenant's documents would go to nobody that is known."""
        return False
