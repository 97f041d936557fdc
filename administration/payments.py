"""Payments: orders and what an operator does about them, refunds, disputes, events, saved automatic top-ups, alarms."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from accounts.errors import GatewayError
from administration.decisions import DecidedAdmin, ReasonForm, operator
from administration.frame import ReadOnlyAdmin, action, back_to, display, form_page, row_or_404
from billing import amounts
from billing.amounts import AmountField
from billing.models import (
    AutomaticTopUp,
    PaymentAlarm,
    PaymentDispute,
    PaymentEvent,
    PaymentOrder,
    PaymentRefund,
)
from billing.payments import alarms, refunds, units
from billing.payments.errors import PaymentsAway


class RefundForm(ReasonForm):
    """How much of an order goes back, in the currency it was paid in."""

    amount = AmountField(
        label=_("Amount"), widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"})
    )
    may_overdraw = forms.BooleanField(
        label=_("Also if the wallet has spent the money already"), required=False, widget=UnfoldBooleanWidget()
    )
    field_order = ("amount", "reason", "may_overdraw")

    def __init__(self, *args: Any, order: PaymentOrder, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = order.pay_currency
        left = amounts.format_amount(units.to_ledger(order.refundable, self.currency), self.currency)
        self.fields["amount"].label = f"{gettext('Amount')} ({self.currency})"
        self.fields["amount"].help_text = gettext("%(left)s are left.") % {"left": left}

    def clean_amount(self) -> int:
        """In coins."""
        amount = amounts.ledger_units(self.cleaned_data["amount"], self.currency)
        if amount <= 0:
            raise forms.ValidationError(gettext("Enter a positive amount."))
        try:
            return units.to_coins(amount, self.currency)
        except ValueError as error:
            raise forms.ValidationError(gettext("This amount is finer than the smallest coin.")) from error


class TransferredForm(ReasonForm):
    """That a refund of a bank transfer was transferred back."""

    reference = forms.CharField(label=_("Reference"), max_length=100, widget=UnfoldAdminTextInputWidget())


def coins_html(amount: int, currency: str) -> SafeString:
    return amounts.amount_html(units.to_ledger(amount, currency), currency)


@admin.register(PaymentOrder)
class PaymentOrderAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "tenant", "gateway", "shown_state", "shown_pay", "shown_credit", "memo")
    list_display_links = ("created_at",)
    list_select_related = ("tenant",)
    list_filter = (("state", ChoicesDropdownFilter), ("gateway", ChoicesDropdownFilter), "is_automatic",
                   ("tenant", AutocompleteSelectFilter))  # fmt: skip
    list_filter_submit = True
    search_fields = ("=id", "=memo", "=payment_id", "=session_id", "tenant__name")
    search_help_text = _("An order's id or memo code, the gateway's name of a payment, or a tenant.")
    date_hierarchy = "created_at"
    actions_detail: ClassVar[list[str]] = ["refund"]
    fieldsets = (
        (None, {"fields": ("id", "tenant", "gateway", "state", "is_automatic", "created_by", "created_at",
                           "expires_at")}),
        (_("Asked for"), {"fields": ("shown_pay", "shown_credit", "shown_bonus", "shown_rate", "rate_source",
                                     "rate_at", "memo")}),
        (_("What became of it"), {"fields": ("paid_at", "shown_received", "shown_credited", "shown_refunded",
                                             "shown_disputed", "session_id", "payment_id")}),
    )  # fmt: skip

    def has_refund_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.add_paymentrefund")

    @display(
        description=_("state"), ordering="state",
        label={"open": "info", "paid": "success", "expired": "default", "failed": "danger",
               "partly_refunded": "warning", "refunded": "warning"},
    )  # fmt: skip
    def shown_state(self, order: PaymentOrder) -> tuple[str, str]:
        return order.state, order.get_state_display()

    @display(description=_("to be paid"), ordering="pay_amount")
    def shown_pay(self, order: PaymentOrder) -> SafeString:
        return coins_html(order.pay_amount, order.pay_currency)

    @display(description=_("to be credited"), ordering="credit_amount")
    def shown_credit(self, order: PaymentOrder) -> SafeString:
        return amounts.amount_html(order.credit_amount, order.credit_currency)

    @display(description=_("bonus"))
    def shown_bonus(self, order: PaymentOrder) -> SafeString:
        return amounts.amount_html(order.bonus, order.credit_currency)

    @display(description=_("exchange rate"))
    def shown_rate(self, order: PaymentOrder) -> SafeString:
        return amounts.amount_html(order.rate, order.pay_currency)

    @display(description=_("received"))
    def shown_received(self, order: PaymentOrder) -> SafeString:
        return coins_html(order.received, order.pay_currency)

    @display(description=_("credited"))
    def shown_credited(self, order: PaymentOrder) -> SafeString:
        return amounts.amount_html(order.credited, order.credit_currency)

    @display(description=_("refunded"))
    def shown_refunded(self, order: PaymentOrder) -> SafeString:
        return coins_html(order.refunded, order.pay_currency)

    @display(description=_("disputed"))
    def shown_disputed(self, order: PaymentOrder) -> SafeString:
        return coins_html(order.disputed, order.pay_currency)

    @action(description=_("Refund"), permissions=("refund",), icon="undo")
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks for a refund; its own page approves it."""
        order = row_or_404(PaymentOrder, object_id)
        form = RefundForm(request.POST or None, order=order)
        if form.is_valid():
            try:
                made = refunds.request(order, by=operator(request), **form.cleaned_data)
            except GatewayError as refusal:
                form.add_error("amount", refusal.message)
            else:
                shown = amounts.format_amount(units.to_ledger(made.amount, order.pay_currency), order.pay_currency)
                added = {"name": "refund", "object": f"{shown}: {made.reason}"}
                self.log_change(request, order, [{"added": added}])
                self.message_user(request, gettext("The refund waits for approval."), messages.SUCCESS)
                return back_to(PaymentRefundAdmin(PaymentRefund, self.admin_site), made)
        return form_page(
            self, request, title=gettext("Refund"), form=form, original=order, submit=gettext("Ask for approval"),
            explanation=gettext("The wallet pays first, when the refund is approved; then the gateway is asked."),
        )  # fmt: skip


@admin.register(PaymentRefund)
class PaymentRefundAdmin(DecidedAdmin):
    list_display = ("created_at", "tenant", "shown_state", "shown_amount", "shown_taken", "requested_by", "approved_by")
    list_select_related = ("order__tenant", "requested_by", "approved_by")
    list_filter = (("state", ChoicesDropdownFilter), "is_from_gateway")
    list_filter_submit = True
    search_fields = ("=id", "=external_id", "=order__id", "order__tenant__name")
    date_hierarchy = "created_at"
    actions_detail: ClassVar[list[str]] = ["approve", "reject", "transferred"]
    fields = ("id", "order", "tenant", "state", "shown_amount", "shown_taken", "shown_bonus", "reason",
              "may_overdraw", "is_from_gateway", "requested_by", "approved_by", "external_id", "failure", "created_at",
              "closed_at")  # fmt: skip

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_paymentrefund")

    @display(description=_("tenant"), ordering="order__tenant__name")
    def tenant(self, refund: PaymentRefund) -> str:
        return refund.order.tenant.name

    @display(
        description=_("state"), ordering="state",
        label={"requested": "info", "approved": "info", "sent": "info", "done": "success", "failed": "danger",
               "rejected": "default"},
    )  # fmt: skip
    def shown_state(self, refund: PaymentRefund) -> tuple[str, str]:
        return refund.state, refund.get_state_display()

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, refund: PaymentRefund) -> SafeString:
        return coins_html(refund.amount, refund.order.pay_currency)

    @display(description=_("taken from the wallet"))
    def shown_taken(self, refund: PaymentRefund) -> SafeString:
        return amounts.amount_html(refund.taken, refund.order.credit_currency)

    @display(description=_("bonus taken back"))
    def shown_bonus(self, refund: PaymentRefund) -> SafeString:
        return amounts.amount_html(refund.taken_bonus, refund.order.credit_currency)

    @action(description=_("Approve"), permissions=("decide",), icon="check")
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        refund = row_or_404(PaymentRefund.objects.select_related("order__tenant"), object_id)

        def approve_and_send(_data: dict[str, Any]) -> None:
            refunds.approve(refund, by=operator(request))
            try:
                refunds.send(refund)
            except PaymentsAway:
                self.message_user(request, gettext("The gateway is away; the refund is sent once it is back."))

        return self.decide(
            request, refund, title=gettext("Approve"), form=ReasonForm(request.POST or None), deed=approve_and_send,
            explanation=gettext("The money leaves the wallet at once. A large refund is approved by another operator."),
        )  # fmt: skip

    @action(description=_("Reject"), permissions=("decide",), icon="close")
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        refund = row_or_404(PaymentRefund.objects.select_related("order__tenant"), object_id)
        return self.decide(
            request, refund, title=gettext("Reject"), form=ReasonForm(request.POST or None),
            deed=lambda data: refunds.reject(refund, by=operator(request), reason=data["reason"]),
        )  # fmt: skip

    @action(description=_("Transferred by hand"), permissions=("decide",), icon="account_balance")
    def transferred(self, request: HttpRequest, object_id: str) -> HttpResponse:
        refund = row_or_404(PaymentRefund.objects.select_related("order__tenant"), object_id)
        return self.decide(
            request, refund, title=gettext("Transferred by hand"), form=TransferredForm(request.POST or None),
            deed=lambda data: refunds.sent_by_hand(refund, by=operator(request), reference=data["reference"]),
            explanation=gettext("For what was paid by bank transfer: the bank's reference of the transfer back."),
        )  # fmt: skip


@admin.register(PaymentDispute)
class PaymentDisputeAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "tenant", "state", "shown_amount", "shown_taken", "reason")
    list_select_related = ("order__tenant",)
    list_filter = (("state", ChoicesDropdownFilter),)
    list_filter_submit = True
    search_fields = ("=external_id", "=order__id", "order__tenant__name")
    fields = ("external_id", "order", "tenant", "state", "shown_amount", "shown_taken", "reason", "created_at",
              "closed_at")  # fmt: skip

    @display(description=_("tenant"), ordering="order__tenant__name")
    def tenant(self, dispute: PaymentDispute) -> str:
        return dispute.order.tenant.name

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, dispute: PaymentDispute) -> SafeString:
        return coins_html(dispute.amount, dispute.order.pay_currency)

    @display(description=_("taken from the wallet"))
    def shown_taken(self, dispute: PaymentDispute) -> SafeString:
        return amounts.amount_html(dispute.taken, dispute.order.credit_currency)


@admin.register(PaymentEvent)
class PaymentEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "gateway", "type", "order", "external_id")
    list_select_related = ("order",)
    list_filter = (("gateway", ChoicesDropdownFilter),)
    list_filter_submit = True
    search_fields = ("=external_id", "=order__id", "type")
    fields = ("external_id", "gateway", "type", "order", "created_at")


@admin.register(PaymentAlarm)
class PaymentAlarmAdmin(DecidedAdmin):
    list_display = ("created_at", "kind", "gateway", "reference", "detail", "shown_state")
    list_filter = (("kind", ChoicesDropdownFilter), ("closed_at", admin.EmptyFieldListFilter))
    list_filter_submit = True
    search_fields = ("=reference", "=order__id", "detail")
    actions_detail: ClassVar[list[str]] = ["close"]
    fields = ("kind", "gateway", "reference", "order", "detail", "created_at", "closed_at", "closed_by",
              "note")  # fmt: skip

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_paymentalarm")

    def standing(self, row: PaymentAlarm) -> str:
        return "open" if row.closed_at is None else "closed"

    @display(description=_("state"), label={"open": "danger", "closed": "default"})
    def shown_state(self, alarm: PaymentAlarm) -> tuple[str, str]:
        return ("open", gettext("open")) if alarm.closed_at is None else ("closed", gettext("closed"))

    @action(description=_("Close the alarm"), permissions=("decide",), icon="done_all")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        alarm = row_or_404(PaymentAlarm, object_id)
        return self.decide(
            request, alarm, title=gettext("Close the alarm"), form=ReasonForm(request.POST or None),
            deed=lambda data: alarms.close(alarm, by=operator(request), note=data["reason"]),
        )  # fmt: skip


@admin.register(AutomaticTopUp)
class AutomaticTopUpAdmin(ReadOnlyAdmin):
    list_display = ("tenant", "is_on", "shown_threshold", "shown_amount", "shown_ceiling", "failures", "rests_until")
    list_select_related = ("tenant",)
    list_filter = ("is_on",)
    list_filter_submit = True
    search_fields = ("tenant__name",)
    fields = ("tenant", "is_on", "shown_threshold", "shown_amount", "shown_ceiling", "failures", "rests_until",
              "shown_card", "changed_by", "changed_at")  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[AutomaticTopUp]:
        rows: QuerySet[AutomaticTopUp] = super().get_queryset(request)
        return rows.select_related("tenant__saved_card")

    @display(description=_("threshold"))
    def shown_threshold(self, row: AutomaticTopUp) -> SafeString:
        return amounts.amount_html(row.threshold, row.tenant.currency)

    @display(description=_("amount"))
    def shown_amount(self, row: AutomaticTopUp) -> SafeString:
        return amounts.amount_html(row.amount, row.tenant.currency)

    @display(description=_("monthly ceiling"))
    def shown_ceiling(self, row: AutomaticTopUp) -> SafeString:
        return amounts.amount_html(row.monthly_ceiling, row.tenant.currency)

    @display(description=_("saved card"))
    def shown_card(self, row: AutomaticTopUp) -> str:
        card = getattr(row.tenant, "saved_card", None)
        return f"{card.brand} •••• {card.last_four}" if card and card.method_id else amounts.ABSENT
