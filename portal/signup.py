"""Signing up: whether it is open, the form that also opens the organisation, and the credit that comes with it.

The adapter has signing in as well, as far as it is not django-allauth's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.account.models import EmailAddress
from allauth.account.utils import get_next_redirect_url
from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.networks import neighbourhood, throttled_as
from accounts.tenants import open_tenant
from billing import trials
from portal import devices


@dataclass(frozen=True, slots=True)
class Site:
    """What mails call the place that they come from."""

    domain: str
    name: str


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth is not typed
    """Sign-up is open as long as the operator says so; a confirmed address brings the trial credit."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """What throttles count by, of what the guard found out (costrouter/guard.py)."""
        return throttled_as(_address(request))

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_OPEN)

    def get_reauthentication_methods(self, user: User) -> list[dict[str, str]]:
        """Without the password on the way to the administration, which would only ask for the second factor again."""
        methods: list[dict[str, str]] = super().get_reauthentication_methods(user)
        target = get_next_redirect_url(self.request) or ""
        if not settings.ADMIN_SECOND_FACTOR or not target.startswith(reverse("admin:index")):
            return methods
        return [method for method in methods if method["id"] != "reauthenticate"] or methods

    def post_login(self, request: HttpRequest, user: User, **how: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **how)
        devices.remember(request, response, user)
        return response

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """What wrong passwords are counted by: the account, or the account in a browser that it has been used in."""
        account: str = super()._get_login_attempts_cache_key(request, **credentials)
        return f"{account}:{devices.name_for(request, credentials.get('email', ''))}"

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """It names the site, and leads there: who asks for somebody else's mail chooses the host of his request."""
        links = {name: _at_the_site(link) for name, link in context.items() if name.endswith("_url")}
        host = urlsplit(settings.SITE_URL).netloc
        super().send_mail(template_prefix, email, {**context, **links, "current_site": Site(domain=host, name=host)})

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Both or neither: an address that is confirmed cannot be confirmed again."""
        with transaction.atomic():
            is_confirmed = bool(super().confirm_email(request, email_address))
            state = trials.confirm(email_address.user, email_address.email) if is_confirmed else None
        if state in _TOLD:
            messages.info(request, _TOLD[state])
        return is_confirmed


def _address(request: HttpRequest) -> str:
    """The client's, also where a proxy names none."""
    return str(request.META.get("REMOTE_ADDR") or "unknown")


def _at_the_site(link: str) -> str:
    path = urlsplit(link)._replace(scheme="", netloc="").geturl()
    return f"{settings.SITE_URL}{path}"


_TOLD = {
    trials.State.GRANTED: _("Your trial credit is in the wallet."),
    trials.State.QUEUED: _("Your trial credit comes within some days, by itself: many went to your network lately."),
    trials.State.REPEATED: _("There is no trial credit for this address: it has had one."),
}


class SignupForm(AllauthSignupForm):  # type: ignore[misc]  # allauth is not typed
    """Asks for the organisation too, and opens it with its wallet: all of it or nothing."""

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
            tenant = open_tenant(owner=user, name=self.cleaned_data["organisation"])
            network = neighbourhood(_address(request))
            trials.sign_up(tenant, user=user, network=network)
        if trials.waiting(tenant):
            messages.info(request, _("Your trial credit comes once you have confirmed your e-mail address."))
        return user
