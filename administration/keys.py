"""API keys: masked; limited, paused and revoked here, issued in the portal or on a tenant's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.models import ApiKey
from accounts.networks import parse_network
from accounts.origins import normalise
from administration.frame import Admin, action, display, moved, table
from billing import amounts, quotas
from billing.models import Quota


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    allowed_models = LinesField(
        label=_("Allowed models"), required=False, help_text=_("Public model names, one a line; empty allows all.")
    )
    allowed_networks = LinesField(
        label=_("Allowed networks"), required=False, help_text=_("CIDR networks, one a line; empty allows all.")
    )

    allowed_origins = LinesField(
        label=_("Allowed web origins"),
        required=False,
        help_text=_("Of apps that run in a browser, such as https://app.example, one a line; empty allows none."),
    )

    class Meta:
        model = ApiKey
        fields = ("name", "expires_at", "allowed_models", "allowed_networks", "allowed_origins",
                  "requests_per_minute", "tokens_per_minute", "concurrency")  # fmt: skip

    def clean_allowed_networks(self) -> list[str]:
        try:
            return [str(parse_network(text)) for text in self.cleaned_data["allowed_networks"]]
        except ValueError as error:
            raise ValidationError(_("Enter networks such as 203.0.113.0/24 or 2001:db8::/32, one a line.")) from error

    def clean_allowed_origins(self) -> list[str]:
        try:
            return list(dict.fromkeys(normalise(text) for text in self.cleaned_data["allowed_origins"]))
        except ValueError as error:
            raise ValidationError(_("Enter origins such as https://app.example, one a line.")) from error


_ABOUT: Final = {"key": _("this key"), "member": _("its maker’s keys"), "tenant": _("the whole tenant")}


def _quota_row(standing: quotas.Standing) -> tuple[Any, ...]:
    quota, currency = standing.quota, standing.quota.tenant.currency
    whose = _link(reverse("admin:billing_quota_change", args=(quota.pk,)), _ABOUT[quota.about])
    is_session = quota.period == Quota.Period.SESSION  # each has its own use
    used = amounts.ABSENT if is_session else format_html(
        "{} ({}\N{NO-BREAK SPACE}%)", amounts.amount_html(standing.used, currency), standing.percent
    )  # fmt: skip
    period = quota.get_period_display() if quota.is_hard else f"{quota.get_period_display()}, {gettext('only counts')}"
    ends_at = date_format(timezone.localtime(standing.ends_at), "DATETIME_FORMAT") if standing.ends_at else ""
    return whose, period, amounts.amount_html(quota.amount, currency), used, ends_at or amounts.ABSENT


def _link(url: str, text: Any) -> SafeString:
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, text)


@admin.register(ApiKey)
class ApiKeyAdmin(Admin):
    form = ApiKeyForm
    list_display = ("name", "shown_key", "tenant", "shown_status", "last_used_at", "expires_at", "created_at")
    list_select_related = ("tenant",)
    list_filter = (("status", ChoicesDropdownFilter), ("tenant", AutocompleteSelectFilter))
    list_filter_submit = True
    guarded: ClassVar[dict[str, str]] = {"shown_quotas": "billing.quota"}
    search_fields = ("name", "=last_four", "tenant__name")
    search_help_text = _("The name of a key or a tenant, or a key's last four characters.")
    actions = ("pause", "resume", "revoke")
    readonly_fields = ("tenant", "shown_key", "status", "shown_quotas", "created_by", "created_at", "last_used_at",
                       "revoked_at")  # fmt: skip
    fieldsets = (
        (None, {"fields": ("name", "tenant", "shown_key", "status", "expires_at")}),
        (_("Limits"), {"fields": ("requests_per_minute", "tokens_per_minute", "concurrency", "allowed_models",
                                  "allowed_networks", "allowed_origins")}),
        (_("Quotas"), {"fields": ("shown_quotas",)}),
        (_("History"), {"fields": ("created_by", "created_at", "last_used_at", "revoked_at")}),
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A key that was used is part of history; it is revoked, not deleted."""
        return False

    @display(description=_("key"))
    def shown_key(self, api_key: ApiKey) -> str:
        return api_key.masked

    @display(
        description=_("status"),
        ordering="status",
        label={"active": "success", "paused": "warning", "revoked": "danger"},
    )
    def shown_status(self, api_key: ApiKey) -> tuple[str, str]:
        return api_key.status, api_key.get_status_display()

    @display(description=_("what its requests draw on"))
    def shown_quotas(self, api_key: ApiKey) -> SafeString:
        """Its own quotas, its maker's and its tenant's, each in its present period."""
        rows = [_quota_row(standing) for standing in quotas.standings(quotas.of_key(api_key), timezone.now())]
        headers = [_("whose"), _("period"), _("amount"), _("used"), _("begins anew")]
        drawn = table(headers, rows, numeric=frozenset((2, 3))) if rows else gettext("The balance alone limits it.")
        add = f"{reverse('admin:billing_quota_add')}?{urlencode({'tenant': api_key.tenant_id, 'api_key': api_key.pk})}"
        return format_html('{} <p class="mt-2">{}</p>', drawn, _link(add, gettext("Set a quota for this key")))

    @action(description=_("Pause the selected keys"), permissions=("change",))
    def pause(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        self._move(request, queryset, ApiKey.pause)

    @action(description=_("Resume the selected keys"), permissions=("change",))
    def resume(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        self._move(request, queryset, ApiKey.resume)

    @action(description=_("Revoke the selected keys for good"), permissions=("change",))
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        self._move(request, queryset, ApiKey.revoke)

    def _move(self, request: HttpRequest, queryset: QuerySet[ApiKey], change: Callable[[ApiKey], None]) -> None:
        count = 0
        for api_key in queryset:
            before = api_key.status
            change(api_key)
            if api_key.status != before:
                count += 1
                self.log_change(request, api_key, [{"changed": {"fields": [moved("status", before, api_key.status)]}}])
        self.message_user(request, ngettext("Changed %d key.", "Changed %d keys.", count) % count, messages.SUCCESS)
