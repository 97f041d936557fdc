"""Top up: paying by card or transfer, the orders so far, and the wallet that fills itself."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from csp.decorators import csp_update
from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import TenantRequest, billing_page, payments_page, tenant_page
from accounts.errors import GatewayError
from accounts.models import Tenant
from billing import amounts, money
from billing.amounts import AmountField
from billing.models import AutomaticTopUp, Gateway, PaymentOrder, SavedCard
from billing.payments import automatic, checkout, orders, vietqr

SHOWN: Final = 50
"""Orders on the page; the newest."""
_NO_CONTENT: Final = 204
# The form is answered by a redirect to the gateway's page, which browsers hold against this directive.
_leads_to_checkout = csp_update({"form-action": ["https://checkout.stripe.com"]})


class TenantForm(forms.Form):
    """Amounts in the tenant's currency, as ledger units once they are clean."""

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tenant = tenant
        for field in self.fields.values():
            if isinstance(field, AmountField):
                field.label = f"{field.label} ({tenant.currency})"
                field.widget.attrs |= {"step": "any", "inputmode": "decimal"}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name in list(cleaned):
            if isinstance(self.fields[name], AmountField) and cleaned[name] is not None:
                try:
                    cleaned[name] = amounts.payable_units(cleaned[name], self.tenant.currency)
                except ValidationError as error:
                    self.add_error(name, error)
        return cleaned


class TopUpForm(TenantForm):
    """How much, and by which way."""

    amount = AmountField(label=_("Amount"), min_value=0)
    way = forms.ChoiceField(label=_("Paid by"))

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, tenant=tenant, **kwargs)
        self.fields["way"].choices = [(way.value, way.label) for way in orders.offered()]  # type: ignore[attr-defined]
        bounds = (amounts.format_amount(each(tenant.currency), tenant.currency) for each in (orders.least, orders.most))
        text = gettext("From %(least)s to %(most)s.")
        self.fields["amount"].help_text = text % dict(zip(("least", "most"), bounds, strict=True))


class AutomaticForm(TenantForm):
    """When the wallet fills itself, and how far."""

    is_on = forms.BooleanField(label=_("Top up automatically"), required=False)
    threshold = AmountField(label=_("When less is left than"), min_value=0)
    amount = AmountField(
        label=_("Charge"), min_value=0, help_text=_("More, if that is not enough to reach the amount above.")
    )
    monthly_ceiling = AmountField(label=_("At most in a calendar month"), min_value=0)


@require_http_methods(["GET", "POST"])
@tenant_page
def top_ups(request: TenantRequest) -> HttpResponseBase:
    """The page; a post places an order and leads to where it is paid."""
    if request.method == "POST":
        return _place(request)
    return _page(request, TopUpForm(tenant=request.tenant))


@payments_page
def _place(request: TenantRequest) -> HttpResponseBase:
    form = TopUpForm(request.POST, tenant=request.tenant)
    if not form.is_valid():
        return _page(request, form)
    try:
        order = orders.place(
            tenant=request.tenant,
            gateway=Gateway(form.cleaned_data["way"]),
            amount=form.cleaned_data["amount"],
            created_by=request.user,
        )
        page = reverse("portal:topup", args=[order.pk])
        if order.gateway == Gateway.STRIPE:
            return redirect(checkout.begin(order, back=settings.SITE_URL + page, payer=request.user))
    except GatewayError as refusal:
        form.add_error(None, _said(refusal))
        return _page(request, form)
    return redirect(page)


def _said(refusal: GatewayError) -> str:
    """In the reader's words where the gateway, not we, is the reason."""
    return gettext("The card gateway cannot be reached. Please try again.") if refusal.retriable else refusal.message


def _page(request: TenantRequest, form: TopUpForm, automatic_form: AutomaticForm | None = None) -> HttpResponseBase:
    context = {
        "form": form,
        "ways": orders.offered(),
        "orders": request.tenant.payment_orders.order_by("-created_at")[:SHOWN],
        "shown": SHOWN,
        "takes_cards": Gateway.STRIPE in orders.offered(),
        "card": SavedCard.objects.filter(tenant=request.tenant).exclude(method_id="").first(),
        "automatic": AutomaticTopUp.objects.filter(tenant=request.tenant).first(),
    }
    context["automatic_form"] = automatic_form or _automatic_form(request.tenant, context["automatic"])  # type: ignore[arg-type]
    show = _leads_to_checkout(lambda asked: render(asked, "portal/topups.html", context))
    return show(request)


def _automatic_form(tenant: Tenant, row: AutomaticTopUp | None) -> AutomaticForm:
    if row is None:
        return AutomaticForm(tenant=tenant)
    typed = {
        name: money.to_json_number(getattr(row, name), tenant.currency)
        for name in ("threshold", "amount", "monthly_ceiling")
    }
    return AutomaticForm(tenant=tenant, initial={"is_on": row.is_on, **typed})


@require_safe
@tenant_page
def top_up(request: TenantRequest, order_id: UUID) -> HttpResponseBase:
    return render(request, "portal/topup.html", _order(request, order_id))


@require_safe
@tenant_page
def top_up_live(request: TenantRequest, order_id: UUID) -> HttpResponseBase:
    """The part of an order's page that changes; nothing at all while nothing has changed."""
    context = _order(request, order_id)
    if request.GET.get("seen") == context["order"].state:
        return HttpResponse(status=_NO_CONTENT)
    return render(request, "portal/topup_live.html", context)


def _order(request: TenantRequest, order_id: UUID) -> dict[str, Any]:
    order = get_object_or_404(request.tenant.payment_orders, pk=order_id)
    context: dict[str, Any] = {"order": order}
    if order.memo and order.state == PaymentOrder.State.OPEN:
        text = vietqr.payload(
            bank=settings.BANK_BIN, account=settings.BANK_ACCOUNT, amount=order.pay_amount, memo=order.memo
        )
        holder = " \N{MIDDLE DOT} ".join(
            filter(None, (settings.BANK_ACCOUNT_NAME, settings.BANK_NAME, f"NAPAS {settings.BANK_BIN}"))
        )
        context |= {"qr": vietqr.svg(text), "account": settings.BANK_ACCOUNT, "holder": holder}
    return context


@require_POST
@billing_page
def save_card(request: TenantRequest) -> HttpResponseBase:
    back = settings.SITE_URL + reverse("portal:topups")
    try:
        return redirect(checkout.begin_saving(request.tenant, back=back, payer=request.user))
    except GatewayError as refusal:
        messages.error(request, _said(refusal))
        return redirect("portal:topups")


@require_POST
@billing_page
def forget_card(request: TenantRequest) -> HttpResponseBase:
    try:
        checkout.forget_card(request.tenant)
    except GatewayError:
        # Here it is forgotten; that the gateway keeps it unused harms nobody.
        pass
    messages.success(request, gettext("The card is forgotten, and automatic top-ups are off."))
    return redirect("portal:topups")


@require_POST
@billing_page
def set_automatic(request: TenantRequest) -> HttpResponseBase:
    form = AutomaticForm(request.POST, tenant=request.tenant)
    if form.is_valid():
        try:
            automatic.set_up(request.tenant, by=request.user, **form.cleaned_data)
        except GatewayError as refusal:
            form.add_error(None, refusal.message)
        else:
            messages.success(request, gettext("Saved."))
            return redirect("portal:topups")
    return _page(request, TopUpForm(tenant=request.tenant), form)
