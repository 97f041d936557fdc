"""Tenants: their members, their wallet, and what an operator does for them."""

from __future__ import annotations

import datetime as dt
import secrets
import zoneinfo
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import F, Model, OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from accounts import keys
from accounts.errors import GatewayError
from accounts.models import Member, Tenant
from administration import postings
from administration.decisions import ConfirmedForm, ReasonForm, operator
from administration.frame import Admin, Inline, action, back_to, display, form_page, moved, row_or_404, secret_page
from billing import amounts, approvals, balances, ledger, money, plans, rollups
from billing.amounts import AmountField
from billing.models import Balance, PostingRequest, PricePlan, UsageRollup


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
        fields = (
            "name", "status", "currency", "time_zone", "says_payment_required", "requests_per_minute",
            "tokens_per_minute", "concurrency",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["plan"].initial = plans.plan_of(self.instance.pk) or None

    def clean_time_zone(self) -> str:
        name = str(self.cleaned_data["time_zone"])
        if name not in zoneinfo.available_timezones():
            raise ValidationError(_("This is not the name of a time zone, such as Asia/Ho_Chi_Minh."))
        return name


class CreditLineForm(ConfirmedForm, ReasonForm):
    """How far below zero a tenant's wallet may go, in currency units; a large line is asked for once more."""

    credit_line = AmountField(
        label=_("Credit line"),
        min_value=0,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"}),
    )

    field_order = ("credit_line", "reason", "is_confirmed")
    typed = "credit_line"

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, currency=currency, **kwargs)
        self.fields["credit_line"].label = f"{gettext('Credit line')} ({currency})"

    def clean_credit_line(self) -> int:
        return amounts.payable_units(self.cleaned_data["credit_line"], self.currency)


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


DAYS: Final = 7
"""Over which the mean of what a tenant spends in a day is taken."""


class DryFilter(DropdownFilter):  # type: ignore[misc]  # Unfold carries no types
    """Tenants whose money ends within so many days, if they go on as in the last week."""

    title = _("runs dry within")
    parameter_name = "dry"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [(str(days), ngettext("%d day", "%d days", days) % days) for days in (1, 3, 7, 14)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> QuerySet[Tenant]:
        if self.value() not in {"1", "3", "7", "14"}:
            return queryset
        # `get_queryset` below annotates both.
        return queryset.filter(spent__gt=0, available__lt=F("spent") * int(self.value()) / DAYS)  # type: ignore[misc]


@admin.register(Tenant)
class TenantAdmin(Admin):
    form = TenantForm
    list_display = ("name", "status", "currency", "shown_available", "shown_days", "time_zone", "created_at")
    list_filter = (("status", ChoicesDropdownFilter), ("currency", ChoicesDropdownFilter), DryFilter)
    list_filter_submit = True
    search_fields = ("name", "members__user__email")
    search_help_text = _("The name of a tenant or the e-mail address of a member.")
    inlines = (MemberInline,)
    guarded: ClassVar[dict[str, str]] = dict.fromkeys(
        ("shown_available", "shown_credit_line", "shown_days", "available", "credit_line", "spent", "dry"),
        "billing.balance",
    )
    log_tells_of = "billing.balance"
    actions = ("suspend", "activate")
    actions_detail = ({"title": _("Actions"), "icon": "bolt", "items": ("post_entry", "set_credit_line", "issue_key")},)
    fieldsets = (
        (None, {"fields": ("name", "status", "currency", "time_zone", "plan")}),
        (_("Wallet"), {"fields": ("shown_available", "shown_credit_line", "says_payment_required")}),
        (_("Limits"), {"fields": ("requests_per_minute", "tokens_per_minute", "concurrency"),
                       "description": _("Of the tenant as a whole; empty means unlimited.")}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        wallet = balances.wallets().filter(tenant=OuterRef("pk"))
        since = timezone.now() - dt.timedelta(days=DAYS)
        used = UsageRollup.objects.filter(tenant=OuterRef("pk"), starts_at__gte=since).order_by().values("tenant")
        rows: QuerySet[Tenant] = super().get_queryset(request)
        if not self.is_open(request, "available"):
            return rows
        return rows.annotate(
            available=Subquery(wallet.values("available")[:1]),
            credit_line=Subquery(wallet.values("credit_line")[:1]),
            spent=Subquery(used.annotate(sum=Sum("cost")).values("sum")),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        """The wallet has one currency for good, so the tenant keeps the one it began with."""
        return ("shown_available", "shown_credit_line", "shown_refinement", *(() if obj is None else ("currency",)))

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        """Days that are being added up again stand below the zone, as long as they are."""
        first, *others = super().get_fieldsets(request, obj)
        if obj is None or rollups.refined_until(obj) is None:
            return [first, *others]
        name, options = first
        return [(name, options | {"fields": (*options["fields"], "shown_refinement")}), *others]

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
        if change and "time_zone" in form.changed_data and rollups.needs_quarters(obj.time_zone):
            text = gettext("Usage so far is added up again for the days of this zone, within minutes.")
            self.message_user(request, text)
        balances.open_wallet(obj)
        plans.put_on(obj, form.cleaned_data["plan"])

    @display(description=_("available"), ordering="available")
    def shown_available(self, tenant: Tenant) -> SafeString:
        return amounts.amount_html(getattr(tenant, "available", None), tenant.currency)

    @display(description=_("days left"))
    def shown_days(self, tenant: Tenant) -> str:
        """At the mean of the last week, as far as it is rolled up."""
        spent, available = getattr(tenant, "spent", None), getattr(tenant, "available", None)
        if not spent or available is None:
            return amounts.ABSENT
        return number_format(max(0, available * DAYS // spent), force_grouping=True)

    @display(description=_("days of usage"))
    def shown_refinement(self, tenant: Tenant) -> str:
        until = rollups.refined_until(tenant)
        if until is None:
            return amounts.ABSENT
        return gettext("are added up again for the zone; done until %s") % date_format(until, "DATE_FORMAT")

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
        return postings.page(self, request, row_or_404(Tenant, object_id))

    @action(description=_("Set the credit line"), permissions=("grant_credit",), icon="credit_card")
    def set_credit_line(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = row_or_404(Tenant, object_id)
        wallet = balances.open_wallet(tenant)
        shown = amounts.format_amount(wallet.credit_line, wallet.currency)
        typed = money.to_json_number(wallet.credit_line, wallet.currency)
        form = CreditLineForm(request.POST or None, initial={"credit_line": typed}, currency=wallet.currency)
        if form.is_valid() and approvals.line_needs_two(wallet, form.cleaned_data["credit_line"]):
            self._ask_for_line(request, wallet, form.cleaned_data)
            return back_to(self, tenant)
        if form.is_valid():
            try:
                ledger.set_credit_line(balance=wallet, credit_line=form.cleaned_data["credit_line"])
            except GatewayError as refusal:
                form.add_error("credit_line", refusal.message)
            else:
                after = amounts.format_amount(form.cleaned_data["credit_line"], wallet.currency)
                reason = gettext("Reason: %s") % form.cleaned_data["reason"]
                fields = [moved("credit line", shown, after), reason]
                self.log_change(request, tenant, [{"changed": {"fields": fields}}])
                self.message_user(request, gettext("The credit line was set."), messages.SUCCESS)
                return back_to(self, tenant)
        return form_page(
            self, request, title=gettext("Set the credit line"), form=form, original=tenant, submit=gettext("Save"),
            explanation=gettext("What the tenant may spend beyond its own money."),
        )  # fmt: skip

    def _ask_for_line(self, request: HttpRequest, wallet: Balance, data: dict[str, Any]) -> None:
        asked = approvals.request(
            balance=wallet, kind=PostingRequest.CREDIT_LINE, amount=data["credit_line"], note=data["reason"],
            reference=f"credit-line:{secrets.token_hex(8)}", created_by=operator(request),
        )  # fmt: skip
        self.log_change(request, wallet.tenant, [{"added": {"name": "posting request", "object": asked.reference}}])
        self.message_user(request, gettext("Another operator has to approve this credit line."), messages.WARNING)

    @action(description=_("Issue an API key"), permissions=("issue",), icon="key")
    def issue_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = row_or_404(Tenant, object_id)
        form = IssueKeyForm(request.POST or None)
        if not form.is_valid():
            return form_page(
                self, request, title=gettext("Issue an API key"), form=form, original=tenant, submit=gettext("Issue"),
                explanation=gettext("The key is shown once, on the next page."),
            )  # fmt: skip
        issued = keys.issue(
            tenant=tenant,
            name=form.cleaned_data["name"],
            created_by=operator(request),
            expires_at=form.cleaned_data["expires_at"],
        )
        self.log_change(request, tenant, [{"added": {"name": "API key", "object": str(issued.api_key)}}])
        return secret_page(request, admin=self, title=gettext("The new API key"), original=tenant, secret=issued.secret)
