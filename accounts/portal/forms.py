"""The forms of sign-up and API keys."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from typing import Any

from allauth.account.forms import SignupForm as AllauthSignupForm
from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, User
from accounts.tenants import open_tenant
from billing import trials

_MOST_NETWORKS = 64


class SignupForm(AllauthSignupForm):  # type: ignore[misc]  # allauth is not typed
    """Asks for the organisation too, and opens it with its wallet and trial credit: all of it or nothing."""

    organisation = forms.CharField(
        label=_("Organisation"),
        max_length=120,
        help_text=_("Your company, team or project. Keys, usage and money belong to it."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    field_order = ("organisation", "email", "password1", "password2")

    def save(self, request: HttpRequest) -> User:
        with transaction.atomic():
            user: User = super().save(request)
            user.language = get_language() or User.Language.ENGLISH
            user.save(update_fields=("language",))
            trials.start(open_tenant(owner=user, name=self.cleaned_data["organisation"]))
        return user


class NetworksField(forms.CharField):
    """CIDR networks, one a line; a single address is a network of one."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: str | None) -> list[str]:  # type: ignore[override]
        lines = [line.strip() for line in (value or "").replace(",", "\n").splitlines()]
        networks = [self._network(line) for line in lines if line]
        if len(networks) > _MOST_NETWORKS:
            raise ValidationError(_("At most %(number)d networks."), params={"number": _MOST_NETWORKS})
        return list(dict.fromkeys(networks))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)

    @staticmethod
    def _network(line: str) -> str:
        try:
            return str(ipaddress.ip_network(line, strict=False))
        except ValueError as error:
            raise ValidationError(_("“%(line)s” is not a network."), params={"line": line[:60]}) from error


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

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "expires_at",
            "allowed_models",
            "allowed_networks",
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
