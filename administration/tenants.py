"""Tenants: their members, their wallet, and what an operator does for them."""

from __future__ import annotations

import secrets
import zoneinfo
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from accounts import keys
from accounts.errors import GatewayError
from accounts.models import Member, Tenant
from administration.frame import Admin, Inline, action, back_to, display, form_page, moved, secret_page
from billing import amounts, balances, ledger, money, plans
from billing.amounts import AmountField
from billing.models import LedgerEntry, PricePlan

# The kinds that an operator posts, with the sign of what they do; expiry is the gateway's own.
_KINDS = (LedgerEntry.Kind.TOP_UP, LedgerEntry.Kind.GRANT, LedgerEntry.Kind.REFUND, LedgerEntry.Kind.ADJUSTMENT)
_TAKES_AWAY = frozenset({LedgerEntry.Kind.REFUND})


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    plan = forms.ModelChoiceField(
        PricePlan.objects.all(),
        label=_("Price plan"),
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text=_("Empty: it pays the list. Another plan holds for requests from now on."),
    )

    class Meta:
        model = Tenant
        fields = ("name", "status", "currency", "time_zone", "requests_per_minute", "tokens_per_minute", "concurrency")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["plan"].initial = plans.plan_of(self.instance.pk) or None

    def clean_time_zone(self) -> str:
        name = str(self.cleaned_data["time_zone"])
        if name not in zoneinfo.available_timezones():
            raise ValidationError(_("This is not the name of a time zone, such as Asia/Ho_Chi_Minh."))
        return name


class EntryForm(forms.Form):
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
    reason = forms.CharField(label=_("Reason"), max_length=300, widget=UnfoldAdminTextInputWidget())
    reference = forms.CharField(
        label=_("Reference"),
        max_length=120,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("What caused it, such as a payment's number; the same reference posts once."),
    )

    is_confirmed = forms.BooleanField(label=_("Post this large amount"), required=False, widget=UnfoldBooleanWidget())

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        self.fields["amount"].label = f"{gettext('Amount')} ({currency})"
        if "is_confirmed" not in self.data and not self._is_large(self.data.get("amount", "")):
            del self.fields["is_confirmed"]  # asked for once it is needed

    def _is_large(self, typed: str) -> bool:
        try:
            return abs(Decimal(typed)) > Decimal(settings.CONFIRM_ABOVE[self.currency])
        except (InvalidOperation, KeyError):
            return False

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "amount" not in cleaned or "kind" not in cleaned:
            return cleaned
        if cleaned["amount"] == 0 or (cleaned["amount"] < 0 and cleaned["kind"] != LedgerEntry.Kind.ADJUSTMENT):
            self.add_error("amount", _("Enter a positive amount; only an adjustment may be negative."))
            return cleaned
        try:
            amount = amounts.ledger_units(cleaned["amount"], self.currency)
        except ValidationError as error:
            self.add_error("amount", error)
            return cleaned
        if self._is_large(str(cleaned["amount"])) and not cleaned.get("is_confirmed"):
            limit = settings.CONFIRM_ABOVE[self.currency]
            message = _("More than %(limit)s %(currency)s: look at the amount once more, and tick the box to post it.")
            self.add_error("is_confirmed", ValidationError(message, params={"limit": limit, "currency": self.currency}))
        cleaned["amount"] = -amount if cleaned["kind"] in _TAKES_AWAY else amount
        return cleaned


class CreditLineForm(forms.Form):
    """How far below zero a tenant's wallet may go, in currency units."""

    credit_line = AmountField(
        label=_("Credit line"),
        min_value=0,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"}),
    )

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        self.fields["credit_line"].label = f"{gettext('Credit line')} ({currency})"

    def clean_credit_line(self) -> int:
        return amounts.ledger_units(self.cleaned_data["credit_line"], self.currency)


class IssueKeyForm(forms.Form):
    """A new API key for a tenant; its limits are set on the key's own page."""

    name = forms.CharField(label=_("Name"), max_length=80, widget=UnfoldAdminTextInputWidget())
    expires_at = forms.SplitDateTimeField(
        label=_("Expires at"), required=False, widget=UnfoldAdminSplitDateTimeWidget(), help_text=_("Empty: never.")
    )


class MemberInline(Inline):
    model = Member
    extra = 0
    autocomplete_fields = ("user",)
    fields = ("user", "role")


@admin.register(Tenant)
class TenantAdmin(Admin):
    form = TenantForm
    list_display = ("name", "status", "currency", "shown_available", "time_zone", "created_at")
    list_filter = (("status", ChoicesDropdownFilter), ("currency", ChoicesDropdownFilter))
    list_filter_submit = True
    search_fields = ("name", "members__user__email")
    search_help_text = _("The name of a tenant or the e-mail address of a member.")
    inlines = (MemberInline,)
    actions = ("suspend", "activate")
    actions_detail = ({"title": _("Actions"), "icon": "bolt", "items": ("post_entry", "set_credit_line", "issue_key")},)
    fieldsets = (
        (None, {"fields": ("name", "status", "currency", "time_zone", "plan")}),
        (_("Wallet"), {"fields": ("shown_available", "shown_credit_line")}),
        (_("Limits"), {"fields": ("requests_per_minute", "tokens_per_minute", "concurrency"),
                       "description": _("Of the tenant as a whole; empty means unlimited.")}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        wallet = balances.wallets().filter(tenant=OuterRef("pk"))
        rows: QuerySet[Tenant] = super().get_queryset(request)
        return rows.annotate(
            available=Subquery(wallet.values("available")[:1]), credit_line=Subquery(wallet.values("credit_line")[:1])
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        """The wallet has one currency for good, so the tenant keeps the one it began with."""
        return ("shown_available", "shown_credit_line", *(() if obj is None else ("currency",)))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A tenant has history; it is suspended, not deleted."""
        return False

    # Unfold looks up permissions given by name in the database when it checks the project, before there is one.
    def has_post_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.add_ledgerentry")

    def has_grant_credit_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_balance")

    def has_issue_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("accounts.add_apikey")

    def save_model(self, request: HttpRequest, obj: Tenant, form: forms.ModelForm[Tenant], change: bool) -> None:
        super().save_model(request, obj, form, change)
        balances.open_wallet(obj)
        plans.put_on(obj, form.cleaned_data["plan"])

    @display(description=_("available"), ordering="available")
    def shown_available(self, tenant: Tenant) -> SafeString:
        return amounts.amount_html(getattr(tenant, "available", None), tenant.currency)

    @display(description=_("credit line"))
    def shown_credit_line(self, tenant: Tenant) -> SafeString:
        return amounts.amount_html(getattr(tenant, "credit_line", None), tenant.currency)

    @action(description=_("Suspend the selected tenants"), permissions=("change",))
    def suspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        self._move(request, queryset, Tenant.Status.SUSPENDED)

    @action(description=_("Activate the selected tenants"), permissions=("change",))
    def activate(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        self._move(request, queryset, Tenant.Status.ACTIVE)

    def _move(self, request: HttpRequest, queryset: QuerySet[Tenant], status: Tenant.Status) -> None:
        tenants = list(queryset.exclude(status=status))
        Tenant.objects.filter(pk__in=[tenant.pk for tenant in tenants]).update(status=status)
        for tenant in tenants:
            before = tenant.status  # as it was read
            self.log_change(request, tenant, [{"changed": {"fields": [moved("status", before, status)]}}])
        text = ngettext("Changed %d tenant.", "Changed %d tenants.", len(tenants)) % len(tenants)
        self.message_user(request, text, messages.SUCCESS)

    @action(description=_("Post a ledger entry"), permissions=("post",), icon="payments")
    def post_entry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = get_object_or_404(Tenant, pk=object_id)
        initial = {"reference": f"operator:{secrets.token_hex(8)}"}
        form = EntryForm(request.POST or None, initial=initial, currency=tenant.currency)
        if form.is_valid() and self._post(request, tenant, form):
            return back_to(self, tenant)
        return form_page(
            self, request, title=gettext("Post a ledger entry"), form=form, original=tenant, submit=gettext("Post"),
            explanation=gettext("An entry is history at once: it cannot be changed, only followed by another one."),
        )  # fmt: skip

    def _post(self, request: HttpRequest, tenant: Tenant, form: EntryForm) -> bool:
        """Posts the entry; on a refusal says why on the form. A repetition of the same form posts nothing new."""
        wallet, data = balances.open_wallet(tenant), form.cleaned_data
        earlier = LedgerEntry.objects.filter(reference=data["reference"]).first()
        if earlier is not None and (earlier.balance_id, earlier.kind, earlier.amount) != (
            wallet.pk, data["kind"], data["amount"],
        ):  # fmt: skip
            form.add_error("reference", gettext("This reference was used for another entry."))
            return False
        try:
            entry = ledger.post(
                balance=wallet,
                kind=LedgerEntry.Kind(data["kind"]),
                amount=data["amount"],
                reference=data["reference"],
                note=data["reason"],
                created_by=request.user,  # type: ignore[arg-type]  # admin pages have no anonymous users
            )
        except GatewayError as refusal:
            form.add_error("amount", refusal.message)
            return False
        if earlier is None:
            self.log_change(request, tenant, [{"added": {"name": "ledger entry", "object": entry.reference}}])
            self.message_user(request, gettext("The entry was posted."), messages.SUCCESS)
        else:
            self.message_user(request, gettext("This entry had been posted already; nothing was changed."))
        return True

    @action(description=_("Set the credit line"), permissions=("grant_credit",), icon="credit_card")
    def set_credit_line(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = get_object_or_404(Tenant, pk=object_id)
        wallet = balances.open_wallet(tenant)
        shown = amounts.format_amount(wallet.credit_line, wallet.currency)
        typed = money.to_json_number(wallet.credit_line, wallet.currency)
        form = CreditLineForm(request.POST or None, initial={"credit_line": typed}, currency=wallet.currency)
        if form.is_valid():
            try:
                ledger.set_credit_line(balance=wallet, credit_line=form.cleaned_data["credit_line"])
            except GatewayError as refusal:
                form.add_error("credit_line", refusal.message)
            else:
                after = amounts.format_amount(form.cleaned_data["credit_line"], wallet.currency)
                self.log_change(request, tenant, [{"changed": {"fields": [moved("credit line", shown, after)]}}])
                self.message_user(request, gettext("The credit line was set."), messages.SUCCESS)
                return back_to(self, tenant)
        return form_page(
            self, request, title=gettext("Set the credit line"), form=form, original=tenant, submit=gettext("Save"),
            explanation=gettext("What the tenant may spend beyond its own money."),
        )  # fmt: skip

    @action(description=_("Issue an API key"), permissions=("issue",), icon="key")
    def issue_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = get_object_or_404(Tenant, pk=object_id)
        form = IssueKeyForm(request.POST or None)
        if not form.is_valid():
            return form_page(
                self, request, title=gettext("Issue an API key"), form=form, original=tenant, submit=gettext("Issue"),
                explanation=gettext("The key is shown once, on the next page."),
            )  # fmt: skip
        issued = keys.issue(
            tenant=tenant,
            name=form.cleaned_data["name"],
            created_by=request.user,  # type: ignore[arg-type]  # admin pages have no anonymous users
            expires_at=form.cleaned_data["expires_at"],
        )
        self.log_change(request, tenant, [{"added": {"name": "API key", "object": str(issued.api_key)}}])
        return secret_page(request, admin=self, title=gettext("The new API key"), original=tenant, secret=issued.secret)
