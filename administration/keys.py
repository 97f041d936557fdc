"""API keys: masked; limited, paused and revoked here, issued in the portal or on a tenant's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.models import ApiKey
from accounts.networks import parse_network
from accounts.origins import normalise
from administration.frame import Admin, action, display, moved


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


@admin.register(ApiKey)
class ApiKeyAdmin(Admin):
    form = ApiKeyForm
    list_display = ("name", "shown_key", "tenant", "shown_status", "last_used_at", "expires_at", "created_at")
    list_select_related = ("tenant",)
    list_filter = (("status", ChoicesDropdownFilter), ("tenant", AutocompleteSelectFilter))
    list_filter_submit = True
    search_fields = ("name", "=last_four", "tenant__name")
    search_help_text = _("The name of a key or a tenant, or a key's last four characters.")
    actions = ("pause", "resume", "revoke")
    readonly_fields = ("tenant", "shown_key", "status", "created_by", "created_at", "last_used_at", "revoked_at")
    fieldsets = (
        (None, {"fields": ("name", "tenant", "shown_key", "status", "expires_at")}),
        (_("Limits"), {"fields": ("requests_per_minute", "tokens_per_minute", "concurrency", "allowed_models",
                                  "allowed_networks", "allowed_origins")}),
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
