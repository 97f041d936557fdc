"""API keys: their list, and the form of what a member decides about one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import keys
from accounts.access import TenantRequest, keys_page, tenant_page
from accounts.models import ApiKey
from accounts.networks import parse_network
from accounts.origins import MOST_ORIGINS, normalise
from billing import quotas
from routing.catalogue import price_list

_MOST_NETWORKS = 64


class LinesField(forms.CharField):
    """A list of texts, one a line or between commas, each normalised and kept once."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})
    most: int
    too_many: Any
    unreadable: Any

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: str | None) -> list[str]:  # type: ignore[override]
        lines = [line.strip() for line in (value or "").replace(",", "\n").splitlines()]
        texts = [self._normalised(line) for line in lines if line]
        if len(texts) > self.most:
            raise ValidationError(self.too_many, params={"number": self.most})
        return list(dict.fromkeys(texts))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)

    def normalise(self, line: str) -> str:
        """Raises ValueError for what cannot be read."""
        raise NotImplementedError

    def _normalised(self, line: str) -> str:
        try:
            return self.normalise(line)
        except ValueError as error:
            raise ValidationError(self.unreadable, params={"line": line[:60]}) from error


class NetworksField(LinesField):
    """CIDR networks; a single address is a network of one."""

    most = _MOST_NETWORKS
    too_many = _("At most %(number)d networks.")
    unreadable = _("“%(line)s” is not a network.")

    def normalise(self, line: str) -> str:
        return str(parse_network(line))


class OriginsField(LinesField):
    most = MOST_ORIGINS
    too_many = _("At most %(number)d origins.")
    unreadable = _("“%(line)s” is not an origin. Write it as browsers do, without a path: https://app.example.")

    def normalise(self, line: str) -> str:
        return normalise(line)


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """What a member decides about a key. Times are typed in the tenant's time zone."""

    allowed_models = forms.MultipleChoiceField(
        label=_("Allowed models"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: every model, also those that are added later."),
    )
    allowed_networks = NetworksField(
        label=_("Allowed networks"),
        required=False,
        help_text=_("One per line, such as 203.0.113.0/24. Empty: from anywhere."),
    )
    allowed_origins = OriginsField(
        label=_("Allowed web origins"),
        required=False,
        help_text=_(
            "For apps that run in a browser: one per line, such as https://app.example. Whoever opens such a page can "
            "read its key. Empty: no web page may use the key."
        ),
    )

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "expires_at",
            "allowed_models",
            "allowed_networks",
            "allowed_origins",
            "requests_per_minute",
            "tokens_per_minute",
            "concurrency",
        )
        labels = {
            "name": _("Name"),
            "expires_at": _("Expires"),
            "requests_per_minute": _("Requests per minute"),
            "tokens_per_minute": _("Tokens per minute"),
            "concurrency": _("Concurrent requests"),
        }
        help_texts = {
            "name": _("Where it will be used, for example “staging server”."),
            "expires_at": _("Empty: never."),
            "requests_per_minute": _("Empty: unlimited."),
            "tokens_per_minute": _("Empty: unlimited."),
            "concurrency": _("Empty: unlimited."),
        }
        widgets = {"expires_at": forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")}

    def __init__(self, *args: Any, models: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A model that the key allows but that is gone from the catalogue stays until it is unticked.
        names = dict.fromkeys([*models, *self.instance.allowed_models])
        self.fields["allowed_models"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]

    def clean_expires_at(self) -> dt.datetime | None:
        expires_at: dt.datetime | None = self.cleaned_data["expires_at"]
        if expires_at is not None and "expires_at" in self.changed_data and expires_at <= timezone.now():
            raise ValidationError(_("This time has passed already."))
        return expires_at

    def save_limits(self) -> None:
        """Writes exactly the form's fields: a pause or revocation made meanwhile stays."""
        self.save(commit=False).save(update_fields=self._meta.fields)


@require_safe
@tenant_page
def key_list(request: TenantRequest) -> HttpResponse:
    api_keys = request.tenant.api_keys.select_related("created_by")
    return render(request, "portal/keys.html", {"api_keys": api_keys, "now": timezone.now()})


@require_http_methods(["GET", "POST"])
@keys_page
def key_create(request: TenantRequest) -> HttpResponse:
    """Issues a key. The secret is in this one response and in no other."""
    form = ApiKeyForm(request.POST or None, models=price_list.names(request.tenant))
    if request.method != "POST" or not form.is_valid():
        return render(request, "portal/key_form.html", {"form": form})
    issued = keys.issue(tenant=request.tenant, created_by=request.user, **form.cleaned_data)
    context = {"api_key": issued.api_key, "secret": issued.secret, "example_model": _example_model(issued.api_key)}
    return render(request, "portal/key_issued.html", context)


@require_http_methods(["GET", "POST"])
@keys_page
def key_edit(request: TenantRequest, key_id: int) -> HttpResponse:
    api_key = get_object_or_404(request.tenant.api_keys, pk=key_id)
    form = ApiKeyForm(request.POST or None, instance=api_key, models=price_list.names(request.tenant))
    if request.method == "POST" and api_key.status == ApiKey.Status.REVOKED:
        messages.error(request, gettext("A revoked key cannot be changed."))
        return redirect("portal:key", key_id)
    if request.method != "POST" or not form.is_valid():
        now = timezone.now()
        standings = quotas.standings(quotas.of_key(api_key), now)
        context = {"form": form, "api_key": api_key, "now": now, "standings": standings}
        return render(request, "portal/key.html", context)
    form.save_limits()
    messages.success(request, gettext("The key’s limits are changed. They hold everywhere within two seconds."))
    return redirect("portal:keys")


@require_POST
@keys_page
def key_pause(request: TenantRequest, key_id: int) -> HttpResponse:
    get_object_or_404(request.tenant.api_keys, pk=key_id).pause()
    messages.success(request, gettext("The key is paused. Requests with it are refused until it is resumed."))
    return redirect("portal:keys")


@require_POST
@keys_page
def key_resume(request: TenantRequest, key_id: int) -> HttpResponse:
    api_key = get_object_or_404(request.tenant.api_keys, pk=key_id)
    api_key.resume()
    if api_key.status == ApiKey.Status.REVOKED:
        messages.error(request, gettext("A revoked key cannot be resumed."))
    else:
        messages.success(request, gettext("The key works again."))
    return redirect("portal:keys")


@require_http_methods(["GET", "POST"])
@keys_page
def key_revoke(request: TenantRequest, key_id: int) -> HttpResponse:
    """Asks first; a POST revokes for good."""
    api_key = get_object_or_404(request.tenant.api_keys, pk=key_id)
    if request.method != "POST":
        return render(request, "portal/key_revoke.html", {"api_key": api_key})
    api_key.revoke()
    messages.success(request, gettext("The key is revoked for good."))
    return redirect("portal:keys")


def _example_model(api_key: ApiKey) -> str:
    """A model that this key can call, for the example beside it; empty if there is none yet."""
    return next(iter(api_key.allowed_models or price_list.names(api_key.tenant)), "")
