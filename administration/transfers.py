"""Bank transfers and exchange rates: what arrived and does not fit, and what a dollar costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from administration.decisions import DecidedAdmin, ReasonForm, operator
from administration.frame import AddOnlyAdmin, action, display, row_or_404
from administration.payments import coins_html
from billing import amounts
from billing.amounts import AmountField
from billing.models import BankTransfer, ExchangeRate, Gateway, PaymentOrder
from billing.payments import memos, rates, transfers


class MatchForm(ReasonForm):
    """Which order a waiting transfer pays, and how much of it is credited."""

    memo = forms.CharField(label=_("Memo code of the order"), max_length=20, widget=UnfoldAdminTextInputWidget())
    credited = forms.ChoiceField(
        label=_("Credit"),
        choices=[("received", _("what arrived, at the order's rate")), ("ordered", _("what the order asks for"))],
        widget=UnfoldAdminRadioSelectWidget(),
        initial="received",
    )
    field_order = ("memo", "credited", "reason")

    def clean_memo(self) -> str:
        code = self.cleaned_data["memo"].strip().upper()
        if not memos.is_sound(code):
            raise forms.ValidationError(gettext("This is no memo code: a character is wrong."))
        if not PaymentOrder.objects.filter(memo=code, gateway=Gateway.BANK).exists():
            raise forms.ValidationError(gettext("No order has this memo code."))
        return str(code)


@admin.register(BankTransfer)
class BankTransferAdmin(DecidedAdmin):
    list_display = ("arrived_at", "reference", "shown_amount", "shown_state", "doubt", "order", "text")
    list_display_links = ("arrived_at", "reference")
    list_select_related = ("order",)
    list_filter = (("state", ChoicesDropdownFilter), ("doubt", ChoicesDropdownFilter))
    list_filter_submit = True
    search_fields = ("=reference", "=order__memo", "text", "order__tenant__name")
    date_hierarchy = "arrived_at"
    actions_detail: ClassVar[list[str]] = ["match", "mark_returned"]
    fields = ("reference", "shown_amount", "text", "arrived_at", "state", "doubt", "order", "handled_by",
              "handled_at", "note")  # fmt: skip

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_banktransfer")

    @display(
        description=_("state"), ordering="state",
        label={"matched": "success", "unmatched": "danger", "returned": "default"},
    )  # fmt: skip
    def shown_state(self, transfer: BankTransfer) -> tuple[str, str]:
        return transfer.state, transfer.get_state_display()

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, transfer: BankTransfer) -> SafeString:
        return coins_html(transfer.amount, transfer.currency)

    @action(description=_("Match with an order"), permissions=("decide",), icon="link")
    def match(self, request: HttpRequest, object_id: str) -> HttpResponse:
        transfer = row_or_404(BankTransfer.objects.select_related("order"), object_id)

        def credit(data: dict[str, Any]) -> None:
            order = PaymentOrder.objects.select_related("tenant").get(memo=data["memo"])
            as_ordered = data["credited"] == "ordered"
            transfers.match(transfer, order=order, as_ordered=as_ordered, by=operator(request), reason=data["reason"])

        initial = {"memo": transfer.order.memo if transfer.order else ""}
        return self.decide(
            request, transfer, title=gettext("Match with an order"),
            form=MatchForm(request.POST or None, initial=initial), deed=credit,
            explanation=gettext(
                "The order's tenant is credited at the order's rate. An order that is paid already lends its rate to "
                "a new one."
            ),
        )  # fmt: skip

    @action(description=_("Mark as returned"), permissions=("decide",), icon="undo")
    def mark_returned(self, request: HttpRequest, object_id: str) -> HttpResponse:
        transfer = row_or_404(BankTransfer.objects.select_related("order"), object_id)
        return self.decide(
            request, transfer, title=gettext("Mark as returned"), form=ReasonForm(request.POST or None),
            deed=lambda data: transfers.mark_returned(transfer, by=operator(request), reason=data["reason"]),
            explanation=gettext("The money went back to its sender; nobody is credited."),
        )  # fmt: skip


class ExchangeRateForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """What one unit costs. A leap from the last rate is asked for once more, also if nobody sells at that any more."""

    price = AmountField(
        label=_("Costs"), widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"})
    )
    is_confirmed = forms.BooleanField(
        label=_("Yes, it moved so much"),
        required=False,
        widget=UnfoldBooleanWidget(),
        help_text=_("Only where you are asked to look once more."),
    )
    LEAP = Decimal("0.05")

    class Meta:
        model = ExchangeRate
        fields = ("currency", "in_currency", "source", "at")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("currency") == cleaned.get("in_currency"):
            self.add_error("in_currency", gettext("This is the same currency."))
        elif cleaned.get("price") is not None:
            self._clean_price(cleaned)
        return cleaned

    def _clean_price(self, cleaned: dict[str, Any]) -> None:
        try:
            cleaned["price"] = price = amounts.ledger_units(cleaned["price"], cleaned["in_currency"])
        except forms.ValidationError as error:
            self.add_error("price", error)
            return
        last = rates.latest(cleaned["currency"], cleaned["in_currency"])
        if price <= 0:
            self.add_error("price", gettext("Enter a positive amount."))
        elif last and not cleaned["is_confirmed"] and abs(price - last.rate) > last.rate * self.LEAP:
            text = gettext("More than five percent from the last rate: tick the box.")
            self.add_error("is_confirmed", text)


@admin.register(ExchangeRate)
class ExchangeRateAdmin(AddOnlyAdmin):
    form = ExchangeRateForm
    list_display = ("at", "currency", "shown_rate", "source", "created_by")
    list_select_related = ("created_by",)
    search_fields = ("source",)

    def get_fields(self, request: HttpRequest, obj: ExchangeRate | None = None) -> tuple[str, ...]:
        if obj is None:
            return ("currency", "in_currency", "price", "source", "at", "is_confirmed")
        return ("currency", "shown_rate", "source", "at", "created_by", "created_at")

    def save_model(self, request: HttpRequest, obj: ExchangeRate, form: ExchangeRateForm, change: bool) -> None:
        obj.rate, obj.created_by = form.cleaned_data["price"], operator(request)
        obj.save()

    @display(description=_("exchange rate"), ordering="rate")
    def shown_rate(self, rate: ExchangeRate) -> SafeString:
        return amounts.amount_html(rate.rate, rate.in_currency)
