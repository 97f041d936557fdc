"""The wallet's page: what is there and where it came from, codes, the alert, the refusals' status, and the ledger."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import TenantRequest, billing_page, tenant_page
from accounts.models import Tenant
from billing import alerts, amounts, balances, codes, grants, letters, money
from billing.amounts import AmountField
from billing.codes import CannotRedeem
from billing.lots import Lot
from billing.models import Balance, BalanceAlert, LedgerEntry
from billing.portions import in_portions
from billing.spreadsheets import guarded

_MOST_ROWS: Final = 50
_MOST_GRANTS: Final = 24


class RedeemForm(forms.Form):
    """A code as it is typed; whether it is one is billing's to say."""

    code = forms.CharField(
        label=_("Code"),
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "ABCDE-FGHJK-…"}),
    )


class AlertForm(forms.Form):
    """Below which amount to send a mail, in the tenant's currency."""

    threshold = AmountField(
        label=_("Send a mail below"),
        required=False,
        min_value=0,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=_("Empty: none is sent. Another one follows when the balance is back."),
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tenant = tenant
        self.fields["threshold"].label = f"{gettext('Send a mail below')} ({tenant.currency})"

    def clean_threshold(self) -> int | None:
        typed = self.cleaned_data["threshold"]
        return amounts.payable_units(typed, self.tenant.currency) if typed else None


class RefusalsForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """With which status apps are told that the money is used up."""

    class Meta:
        model = Tenant
        fields = ("says_payment_required",)
        labels = {"says_payment_required": _("Answer 402 Payment Required")}
        help_texts = {
            "says_payment_required": _(
                "Otherwise 429, as OpenAI does. Some clients try again after a 429 and stop at a 402."
            )
        }


@dataclass(frozen=True, slots=True)
class Grant:
    """A line of the list of grants: what is left of it, and what it was given for."""

    lot: Lot
    note: str


@require_safe
@tenant_page
def wallet(request: TenantRequest) -> HttpResponse:
    return _page(request)


@require_http_methods(["POST"])
@billing_page
def redeem(request: TenantRequest) -> HttpResponse:
    form = RedeemForm(request.POST)
    if form.is_valid():
        try:
            entry = codes.redeem(
                form.cleaned_data["code"], balance=balances.open_wallet(request.tenant), user=request.user
            )
        except CannotRedeem as refusal:
            form.add_error("code", str(refusal))
        else:
            amount = amounts.format_amount(entry.amount, request.tenant.currency)
            messages.success(request, gettext("The code is redeemed: %(amount)s were added.") % {"amount": amount})
            return redirect("portal:billing")
    return _page(request, redeem_form=form)


@require_http_methods(["POST"])
@billing_page
def alert(request: TenantRequest) -> HttpResponse:
    form = AlertForm(request.POST, tenant=request.tenant)
    if form.is_valid():
        alerts.choose(balances.open_wallet(request.tenant), form.cleaned_data["threshold"])
        messages.success(request, gettext("The alert is saved."))
        if not letters.reaches(request.user):
            messages.warning(request, gettext("You get no mails before you have confirmed your e-mail address."))
        return redirect("portal:billing")
    return _page(request, alert_form=form)


@require_http_methods(["POST"])
@billing_page
def refusals(request: TenantRequest) -> HttpResponse:
    RefusalsForm(request.POST, instance=request.tenant).save(commit=False).save(update_fields=RefusalsForm.Meta.fields)
    messages.success(request, gettext("The status is saved. It holds everywhere within two seconds."))
    return redirect("portal:billing")


def _page(request: TenantRequest, **forms_: forms.Form) -> HttpResponse:
    own = balances.open_wallet(request.tenant)
    standing = grants.standing(own)
    entries, following = _entries(own, request.GET.get("after", ""))
    page = Paginator(standing.grants, _MOST_GRANTS).get_page(request.GET.get("grants"))
    context = {
        "standing": standing,
        "grants": _described(list(page)),
        "grants_page": page,
        "entries": entries,
        "following": following,
        "is_first": "after" not in request.GET,
        "redeem_form": RedeemForm(),
        "alert_form": AlertForm(initial={"threshold": _threshold(own)}, tenant=request.tenant),
        "refusals_form": RefusalsForm(instance=request.tenant),
    }
    return render(request, "portal/wallet.html", context | forms_)


def _described(lots: list[Lot]) -> list[Grant]:
    notes = dict(LedgerEntry.objects.filter(pk__in=[lot.id for lot in lots]).values_list("pk", "note"))
    return [Grant(lot, notes[lot.id]) for lot in lots]


def _threshold(own: Balance) -> str:
    chosen = BalanceAlert.objects.filter(balance=own).values_list("threshold", flat=True).first()
    return "" if chosen is None else money.to_json_number(chosen, own.currency)


def _entries(own: Balance, after: str) -> tuple[list[LedgerEntry], int | None]:
    """Some entries, newest first, and the id after which the next page begins, if there is one."""
    rows = own.ledger_entries.order_by("-pk")
    if (before := amounts.whole(after)) is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows[: _MOST_ROWS + 1])
    shown = found[:_MOST_ROWS]
    return shown, shown[-1].pk if len(found) > len(shown) else None


@require_safe
@tenant_page
def ledger_csv(request: TenantRequest) -> HttpResponse:
    """Every entry of the wallet, oldest first, as RFC 4180 has it; amounts are exact, in currency units."""
    own = balances.open_wallet(request.tenant)
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="ledger.csv"'
    writer = csv.writer(answer)
    writer.writerow(["posted_at", "kind", "amount", "currency", "reference", "note", "expires_at"])
    for entry in in_portions(own.ledger_entries.all(), 2000):
        amount = money.to_json_number(entry.amount, own.currency)
        ends = entry.expires_at.isoformat() if entry.expires_at else ""
        row = [entry.created_at.isoformat(), entry.kind, amount, own.currency, guarded(entry.reference),
               guarded(entry.note), ends]  # fmt: skip
        writer.writerow(row)
    return answer
