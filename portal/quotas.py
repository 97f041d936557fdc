"""Quotas: what the tenant, its members and its keys may spend in a period."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import TenantRequest, quotas_page, tenant_page
from accounts.models import ApiKey, Tenant, User
from billing import amounts, money, quotas
from billing.amounts import AmountField
from billing.models import Quota, QuotaDefault


class AmountForm(forms.Form):
    """How much, in the tenant's currency, and whether it refuses."""

    amount = AmountField(
        label=_("Amount"), min_value=0, widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"})
    )
    is_hard = forms.BooleanField(
        label=_("Refuse what would pass it"),
        required=False,
        initial=True,
        help_text=_("Unticked: it only counts, and nothing is refused."),
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tenant = tenant
        self.fields["amount"].label = f"{gettext('Amount')} ({tenant.currency})"

    def clean_amount(self) -> int:
        return amounts.ledger_units(self.cleaned_data["amount"], self.tenant.currency)


class QuotaForm(AmountForm):
    """A new quota: whose, and for which period. One of each new member or key is a default."""

    about = forms.ChoiceField(label=_("Whose"))
    period = forms.ChoiceField(label=_("Period"), choices=Quota.Period, initial=Quota.Period.MONTH)

    field_order = ("about", "period", "amount", "is_hard")

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, tenant=tenant, **kwargs)
        api_keys = tenant.api_keys.exclude(status=ApiKey.Status.REVOKED)
        members = tenant.members.select_related("user").order_by("user__email")
        self.fields["about"].choices = [  # type: ignore[attr-defined]
            ("tenant", gettext("The whole organisation")),
            (gettext("As a default"), [(f"new-{about}", label) for about, label in QuotaDefault.About.choices]),
            (gettext("All keys that a member made"), [(f"user-{row.user_id}", str(row.user)) for row in members]),
            (gettext("One key"), [(f"key-{row.pk}", str(row)) for row in api_keys]),
        ]

    def wanted(self) -> Quota | QuotaDefault:
        """What the form says, not saved."""
        kind, _dash, name = self.cleaned_data["about"].partition("-")
        fields = {field: self.cleaned_data[field] for field in ("amount", "period", "is_hard")}
        if kind == "new":
            return QuotaDefault(tenant=self.tenant, about=name, **fields)
        user = User.objects.get(pk=name) if kind == "user" else None
        api_key = self.tenant.api_keys.get(pk=name) if kind == "key" else None
        return Quota(tenant=self.tenant, user=user, api_key=api_key, **fields)


@require_safe
@tenant_page
def quota_list(request: TenantRequest) -> HttpResponse:
    standings = quotas.standings(quotas.open_quotas(request.tenant), timezone.now())
    defaults = request.tenant.quota_defaults.all()
    return render(request, "portal/quotas.html", {"standings": standings, "defaults": defaults})


@require_http_methods(["GET", "POST"])
@quotas_page
def quota_create(request: TenantRequest) -> HttpResponse:
    asked = {"about": request.GET.get("about", "tenant")}
    form = QuotaForm(request.POST or None, tenant=request.tenant, initial=asked)
    preview = None
    if request.method == "POST" and form.is_valid():
        wanted = form.wanted()
        if "preview" in request.POST:
            preview = _preview(wanted)
        elif _save(wanted, form):
            messages.success(request, gettext("The quota is set. It holds everywhere within two seconds."))
            return redirect("portal:quotas")
    return render(request, "portal/quota_form.html", {"form": form, "preview": preview})


def _save(wanted: Quota | QuotaDefault, form: forms.Form) -> bool:
    """Whether it could be; else the form says why."""
    try:
        wanted.full_clean()
    except ValidationError as error:
        form.add_error(None, ValidationError(error.messages))
        return False
    wanted.save()
    return True


def _preview(wanted: Quota | QuotaDefault) -> dict[str, Any]:
    """What last month says of it; nothing of defaults and sessions, whose spending nobody knows yet."""
    found = quotas.preview(wanted, timezone.now()) if isinstance(wanted, Quota) else None
    return {"found": found}


@require_http_methods(["GET", "POST"])
@quotas_page
def quota_edit(request: TenantRequest, quota_id: int) -> HttpResponse:
    quota = get_object_or_404(quotas.open_quotas(request.tenant), pk=quota_id)
    typed = {"amount": money.to_json_number(quota.amount, request.tenant.currency), "is_hard": quota.is_hard}
    form = AmountForm(request.POST or None, tenant=request.tenant, initial=typed)
    preview = None
    if request.method == "POST" and form.is_valid() and "preview" in request.POST:
        changed = Quota(
            tenant=quota.tenant, user=quota.user, api_key=quota.api_key, period=quota.period, **form.cleaned_data
        )
        preview = _preview(changed)
    elif request.method == "POST" and form.is_valid():
        quotas.change(quota, **form.cleaned_data)
        messages.success(request, gettext("The quota is changed. It holds everywhere within two seconds."))
        return redirect("portal:quotas")
    (standing,) = quotas.standings([quota], timezone.now())
    return render(request, "portal/quota.html", {"form": form, "standing": standing, "preview": preview})


@require_http_methods(["POST"])
@quotas_page
def quota_end(request: TenantRequest, quota_id: int) -> HttpResponse:
    quotas.end(get_object_or_404(quotas.open_quotas(request.tenant), pk=quota_id))
    messages.success(request, gettext("The quota has ended. What it has counted stays in the history."))
    return redirect("portal:quotas")


@require_http_methods(["POST"])
@quotas_page
def quota_default_end(request: TenantRequest, default_id: int) -> HttpResponse:
    get_object_or_404(request.tenant.quota_defaults, pk=default_id).delete()
    messages.success(request, gettext("New members and keys no longer get this quota. Those who have it keep it."))
    return redirect("portal:quotas")
