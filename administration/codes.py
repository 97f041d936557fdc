"""Redemption codes: batches are made, shown once as CSV, and revoked."""

from __future__ import annotations

import csv
import io
from typing import Any, Final
from urllib.parse import quote

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldBooleanWidget

from administration.decisions import is_large, large, operator
from administration.frame import AddOnlyAdmin, action, display, moved
from billing import amounts, codes, money
from billing.amounts import AmountField
from billing.approvals import NotYours
from billing.models import CodeBatch

_MADE: Final = "made"
"""Where a batch carries its codes from being saved to being answered, and never further."""


class BatchForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The worth of each code is typed in currency units."""

    worth = AmountField(
        label=_("Worth of each code"),
        min_value=0,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"}),
    )

    is_confirmed = forms.BooleanField(
        label=_("Yes, all of them together are worth so much"),
        required=False,
        widget=UnfoldBooleanWidget(),
        help_text=_("Only where you are asked to look once more."),
    )

    class Meta:
        model = CodeBatch
        fields = ("label", "currency", "number", "per_tenant", "expires_at", "grant_days", "priority")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        together = (cleaned.get("worth") or 0) * (cleaned.get("number") or 0)
        if is_large(together, cleaned.get("currency", "")) and not cleaned["is_confirmed"]:
            self.add_error("is_confirmed", large(cleaned["currency"]))
        if cleaned.get("worth") == 0:
            self.add_error("worth", _("Enter a positive amount."))
        elif cleaned.get("worth") is not None and "currency" in cleaned:
            try:
                self.instance.amount = amounts.payable_units(cleaned["worth"], cleaned["currency"])
            except ValidationError as error:
                self.add_error("worth", error)
        if cleaned.get("expires_at") is not None and cleaned["expires_at"] <= timezone.now():
            self.add_error("expires_at", _("This moment has passed."))
        return cleaned


@admin.register(CodeBatch)
class CodeBatchAdmin(AddOnlyAdmin):
    form = BatchForm
    list_display = (
        "label",
        "shown_worth",
        "number",
        "shown_redeemed",
        "expires_at",
        "created_by",
        "created_at",
        "shown_state",
    )
    list_select_related = ("created_by",)
    list_filter = (("currency", ChoicesDropdownFilter),)
    list_filter_submit = True
    search_fields = ("label",)
    actions = ("approve", "revoke")  # type: ignore[assignment]  # history, but for this
    fields = ("label", "currency", "worth", "number", "per_tenant", "expires_at", "grant_days", "priority",
              "is_confirmed")  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: CodeBatch | None = None) -> tuple[str, ...]:
        if obj is None:
            return self.fields
        shown = ("shown_worth" if name == "worth" else name for name in self.fields if name != "is_confirmed")
        return (*shown, "shown_redeemed", "created_by", "created_at", "approved_by", "approved_at", "shown_state")

    def get_queryset(self, request: HttpRequest) -> QuerySet[CodeBatch]:
        rows: QuerySet[CodeBatch] = super().get_queryset(request)
        return rows.annotate(redeemed=Count("codes", filter=Q(codes__redeemed_at__isnull=False)))

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_codebatch")

    def save_model(self, request: HttpRequest, obj: CodeBatch, form: BatchForm, change: bool) -> None:
        obj.created_by = operator(request)
        setattr(obj, _MADE, codes.make(obj))

    @method_decorator(never_cache)
    def response_add(self, request: HttpRequest, obj: CodeBatch, post_url_continue: str | None = None) -> HttpResponse:
        """The codes, this one time."""
        text = _csv(obj, getattr(obj, _MADE))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("The new codes"),
            "is_waiting": obj.is_waiting,
            "opts": self.opts,
            "original": obj,
            "text": text,
            "address": "data:text/csv;charset=utf-8," + quote(text),
            "download": {"download": f"codes-{obj.pk}.csv"},
        }
        return TemplateResponse(request, "administration/codes.html", context)

    @display(description=_("worth"), ordering="amount")
    def shown_worth(self, batch: CodeBatch) -> SafeString:
        return amounts.amount_html(batch.amount, batch.currency)

    @display(description=_("redeemed"))
    def shown_redeemed(self, batch: CodeBatch) -> int:
        return int(getattr(batch, "redeemed", 0))

    @display(
        description=_("state"),
        label={"valid": "success", "waiting": "warning", "expired": "default", "revoked": "warning"},
    )
    def shown_state(self, batch: CodeBatch) -> tuple[str, str]:
        if batch.revoked_at is not None:
            return "revoked", gettext("revoked")
        if batch.expires_at is not None and batch.expires_at <= timezone.now():
            return "expired", gettext("expired")
        if batch.is_waiting:
            return "waiting", gettext("waits for approval")
        return "valid", gettext("valid")

    @action(description=_("Approve the selected batches"), permissions=("revoke",))
    def approve(self, request: HttpRequest, queryset: QuerySet[CodeBatch]) -> None:
        """Each by itself; what is refused is said, and the others are approved."""
        for batch in queryset:
            try:
                codes.approve(batch, by=operator(request))
            except NotYours as refusal:
                self.message_user(request, f"{batch}: {refusal}", messages.ERROR)
            else:
                self.log_change(request, batch, [{"changed": {"fields": [moved("state", "waiting", "valid")]}}])
                self.message_user(request, gettext("%s is approved.") % batch, messages.SUCCESS)

    @action(description=_("Revoke the selected batches"), permissions=("revoke",))
    def revoke(self, request: HttpRequest, queryset: QuerySet[CodeBatch]) -> None:
        revoked = [batch for batch in queryset if codes.revoke(batch)]
        for batch in revoked:
            self.log_change(request, batch, [{"changed": {"fields": [moved("state", "valid", "revoked")]}}])
        text = ngettext("Revoked %d batch.", "Revoked %d batches.", len(revoked)) % len(revoked)
        self.message_user(request, text, messages.SUCCESS)


def _csv(batch: CodeBatch, made: list[str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["code", "amount", "currency"])
    worth = money.to_json_number(batch.amount, batch.currency)
    writer.writerows([code, worth, batch.currency] for code in made)
    return out.getvalue()
