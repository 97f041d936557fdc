"""Posting to a tenant's wallet: what is asked, what it would do, and the second person where it takes one."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.errors import GatewayError
from accounts.models import Tenant, User
from administration.decisions import ConfirmedForm, operator
from administration.frame import Admin, ReadOnlyAdmin, action, back_to, display, form_page, moved, row_or_404, table
from billing import amounts, approvals, balances, grants, ledger
from billing.amounts import AmountField
from billing.approvals import NotYours
from billing.ledger import Unfit
from billing.models import Balance, LedgerEntry, PostingRequest

Kind = LedgerEntry.Kind
_KINDS: Final = (Kind.TOP_UP, Kind.GRANT, Kind.REFUND, Kind.ADJUSTMENT, Kind.WRITE_OFF)
"""That an operator posts, each with the sign of what it does; expiry is the gateway's own."""
_TAKES_AWAY: Final = frozenset({Kind.REFUND})
_CORRECTS: Final = frozenset({Kind.ADJUSTMENT, Kind.WRITE_OFF})


class EntryForm(ConfirmedForm):
    """A posting to a tenant's wallet, in currency units. Its reference is made once, with the form."""

    kind = forms.ChoiceField(
        label=_("Kind"), choices=[(kind.value, kind.label) for kind in _KINDS], widget=UnfoldAdminSelectWidget()
    )
    amount = AmountField(
        label=_("Amount"),
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=_(
            "In the tenant's currency. A refund is entered as a positive amount and takes it out of the wallet; "
            "only an adjustment may be negative."
        ),
    )
    reason = forms.CharField(
        label=_("Reason"), max_length=300, widget=UnfoldAdminTextInputWidget(), help_text=_("The tenant reads it too.")
    )
    reference = forms.CharField(
        label=_("Reference"),
        max_length=120,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("What caused it, such as a payment's number; the same reference posts once."),
    )

    priority = forms.IntegerField(
        label=_("Priority"),
        required=False,
        min_value=-100,
        max_value=100,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=_("Of a grant: the lower, the sooner it is spent. Empty: 0."),
    )
    expires_at = forms.SplitDateTimeField(
        label=_("Expires at"),
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget(),
        help_text=_("Of a grant, in UTC: what is unused by then is taken back. Empty: never."),
    )
    field_order = ("kind", "amount", "reason", "reference", "priority", "expires_at", "is_confirmed")

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, currency=currency, **kwargs)
        self.fields["amount"].label = f"{gettext('Amount')} ({currency})"

    def clean_reference(self) -> str:
        name: str = self.cleaned_data["reference"]
        if ledger.is_own_name(name):
            raise ValidationError(_("The gateway names its own entries so; choose another reference."))
        return name

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "amount" not in cleaned or "kind" not in cleaned:
            return cleaned
        if cleaned["amount"] == 0 or (cleaned["amount"] < 0 and cleaned["kind"] != Kind.ADJUSTMENT):
            self.add_error("amount", _("Enter a positive amount; only an adjustment may be negative."))
            return cleaned
        # What corrects usage is as fine as usage is.
        units = amounts.ledger_units if cleaned["kind"] in _CORRECTS else amounts.payable_units
        try:
            amount = units(cleaned["amount"], self.currency)
        except ValidationError as error:
            self.add_error("amount", error)
            return cleaned
        if cleaned["kind"] != Kind.GRANT:
            for name in ("priority", "expires_at"):
                if cleaned.get(name) is not None:
                    self.add_error(name, _("Only a grant has this."))
        cleaned["amount"] = -amount if cleaned["kind"] in _TAKES_AWAY else amount
        return cleaned


def page(own: Admin, request: HttpRequest, tenant: Tenant) -> HttpResponse:
    """The form, what it would do (`preview`), and the way back when it is posted or asked for."""
    initial = {"reference": f"operator:{secrets.token_hex(8)}"}
    form = EntryForm(request.POST or None, initial=initial, currency=tenant.currency)
    preview = SafeString()
    if form.is_valid():
        wallet = balances.open_wallet(tenant)
        if "preview" in request.POST:
            preview = _preview(wallet, form.cleaned_data["amount"])
            if approvals.needs_two(form.cleaned_data["amount"], wallet.currency):
                preview += format_html("<p>{}</p>", gettext("Another operator has to approve it."))
        elif _submit(own, request, wallet, form):
            return back_to(own, tenant)
    return form_page(
        own, request, title=gettext("Post a ledger entry"), form=form, original=tenant, submit=gettext("Post"),
        explanation=gettext("An entry is history at once: it cannot be changed, only followed by another one."),
        preview=preview, can_preview=True,
    )  # fmt: skip


def _preview(wallet: Balance, amount: int) -> SafeString:
    shown = [
        amounts.amount_html(value, wallet.currency) for value in (wallet.available, amount, wallet.available + amount)
    ]
    headers = [gettext("available now"), gettext("amount"), gettext("available then")]
    return table(headers, [tuple(shown)], numeric=frozenset(range(3)))


def _submit(own: Admin, request: HttpRequest, wallet: Balance, form: EntryForm) -> bool:
    """Posts the entry or asks for it; on a refusal says why on the form. A repetition posts nothing new."""
    data = form.cleaned_data
    if _is_used_otherwise(wallet, data):
        form.add_error("reference", gettext("This reference was used for another entry."))
        return False
    terms: dict[str, Any] = {
        "balance": wallet, "amount": data["amount"], "reference": data["reference"], "note": data["reason"],
        "created_by": operator(request), "priority": data["priority"], "expires_at": data["expires_at"],
    }  # fmt: skip
    if approvals.needs_two(data["amount"], wallet.currency):
        asked = approvals.request(kind=Kind(data["kind"]), **terms)
        own.log_change(request, wallet.tenant, [{"added": {"name": "posting request", "object": asked.reference}}])
        own.message_user(request, gettext("Another operator has to approve this posting."), messages.WARNING)
        return True
    try:
        return _post(own, request, wallet, Kind(data["kind"]), terms)
    except (GatewayError, Unfit) as refusal:
        form.add_error("amount", refusal.message if isinstance(refusal, GatewayError) else str(refusal))
        return False


def _is_used_otherwise(wallet: Balance, data: dict[str, Any]) -> bool:
    wanted = wallet.pk, data["kind"], data["amount"]
    found = [model.objects.filter(reference=data["reference"]).first() for model in (LedgerEntry, PostingRequest)]
    return any(row is not None and (row.balance_id, row.kind, row.amount) != wanted for row in found)


def _post(own: Admin, request: HttpRequest, wallet: Balance, kind: LedgerEntry.Kind, terms: dict[str, Any]) -> bool:
    is_new = not LedgerEntry.objects.filter(reference=terms["reference"]).exists()
    if kind == Kind.GRANT:
        entry = grants.give(**terms | {"priority": terms["priority"] or 0})
    else:
        entry = ledger.post(kind=kind, **terms)
    if is_new:
        own.log_change(request, wallet.tenant, logged(entry))
        own.message_user(request, gettext("The entry was posted."), messages.SUCCESS)
    else:
        own.message_user(request, gettext("This entry had been posted already; nothing was changed."))
    return True


def logged(entry: LedgerEntry) -> list[dict[str, Any]]:
    """An entry as the history of a tenant keeps it: what was available before, and after."""
    after = Balance.objects.get(pk=entry.balance_id)
    before, then = (
        amounts.format_amount(value, after.currency) for value in (after.available - entry.amount, after.available)
    )
    return [
        {"added": {"name": "ledger entry", "object": entry.reference}},
        {"changed": {"fields": [moved("available", before, then)]}},
    ]


def _line_preview(wallet: Balance, credit_line: int) -> SafeString:
    shown = [amounts.amount_html(value, wallet.currency) for value in (wallet.credit_line, credit_line)]
    return table([gettext("credit line now"), gettext("credit line then")], [tuple(shown)], numeric=frozenset(range(2)))


@admin.register(PostingRequest)
class PostingRequestAdmin(ReadOnlyAdmin):
    """Large postings and credit lines: one operator asked, another one approves or rejects."""

    list_display = ("created_at", "tenant", "kind", "shown_amount", "note", "created_by", "shown_status", "decided_by")
    list_select_related = ("balance__tenant", "created_by", "decided_by")
    list_filter = (("status", ChoicesDropdownFilter), ("balance__tenant", AutocompleteSelectFilter))
    list_filter_submit = True
    guarded: ClassVar[dict[str, str]] = {"shown_available": "billing.balance"}
    actions_detail = ("approve", "reject")
    fields = ("tenant", "kind", "shown_amount", "shown_available", "note", "reference", "priority", "expires_at",
              "created_by", "created_at", "shown_status", "decided_by", "decided_at")  # fmt: skip

    def has_decide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_postingrequest")

    @display(description=_("tenant"), ordering="balance__tenant__name")
    def tenant(self, asked: PostingRequest) -> str:
        return asked.balance.tenant.name

    @display(description=_("amount"), ordering="amount")
    def shown_amount(self, asked: PostingRequest) -> SafeString:
        return amounts.amount_html(asked.amount, asked.balance.currency)

    @display(description=_("available now"))
    def shown_available(self, asked: PostingRequest) -> SafeString:
        return amounts.amount_html(asked.balance.available, asked.balance.currency)

    @display(description=_("status"), label={"waiting": "warning", "posted": "success", "rejected": "default"})
    def shown_status(self, asked: PostingRequest) -> tuple[str, str]:
        return asked.status, str(asked.get_status_display())

    @action(description=_("Approve"), permissions=("decide",), icon="check")
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, is_approved=True)

    @action(description=_("Reject"), permissions=("decide",), icon="close")
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, is_approved=False)

    def _decide(self, request: HttpRequest, object_id: str, *, is_approved: bool) -> HttpResponse:
        asked = row_or_404(PostingRequest.objects.select_related("balance__tenant"), object_id)
        label = gettext("Approve") if is_approved else gettext("Reject")
        form = forms.Form(request.POST or None)
        if request.method == "POST" and self._decided(request, asked, form, is_approved=is_approved):
            return back_to(self, asked)
        return form_page(
            self, request, title=label, form=form, original=asked, submit=label, explanation=asked.note,
            preview=(_line_preview if asked.is_credit_line else _preview)(asked.balance, asked.amount),
        )  # fmt: skip

    def _decided(self, request: HttpRequest, asked: PostingRequest, form: forms.Form, *, is_approved: bool) -> bool:
        """Whether it could be; else the form says why."""
        by = operator(request)
        try:
            if is_approved:
                self.log_change(request, asked.balance.tenant, _approved(asked, by))
            else:
                approvals.reject(asked, by=by)
        except (NotYours, Unfit, GatewayError) as refusal:
            form.add_error(None, refusal.message if isinstance(refusal, GatewayError) else str(refusal))
            return False
        after = PostingRequest.Status.POSTED if is_approved else PostingRequest.Status.REJECTED
        self.log_change(request, asked, [{"changed": {"fields": [moved("status", asked.status, after)]}}])
        self.message_user(request, gettext("The request is decided."), messages.SUCCESS)
        return True


def _approved(asked: PostingRequest, by: User) -> list[dict[str, Any]]:
    """Does what was asked for; what the history of the tenant keeps of it."""
    if not asked.is_credit_line:
        return logged(approvals.approve(asked, by=by))
    currency = asked.balance.currency
    before, after = (
        amounts.format_amount(line, currency) for line in (approvals.grant_line(asked, by=by), asked.amount)
    )
    return [{"changed": {"fields": [moved("credit line", before, after), gettext("Reason: %s") % asked.note]}}]
