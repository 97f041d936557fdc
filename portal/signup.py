"""Signing up: whether it is open, and the form that also opens the organisation."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import SignupForm as AllauthSignupForm
from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.tenants import open_tenant
from billing import trials


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth is not typed
    """Sign-up is open as long as the operator says so."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """What the guard found out (costrouter/guard.py), also where a proxy names no address."""
        return str(request.META.get("REMOTE_ADDR") or "unknown")

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_OPEN)


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
