"""The administration's second lock: operators prove a second factor in each session."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

View = Callable[..., HttpResponse]


def required(view: View) -> View:
    """The view, for operators with a second factor alone; where settings.ADMIN_SECOND_FACTOR is off, for all of them.

    A session from before the factor was set up proves it once, so a stolen one opens nothing.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not settings.ADMIN_SECOND_FACTOR or has_proved_it(request):
            return view(request, *args, **kwargs)
        if is_mfa_enabled(request.user):
            return _lead_to("mfa_reauthenticate", request)
        messages.warning(request, _("The administration asks for a second factor. Set one up, then come back."))
        return _lead_to("mfa_activate_totp", request)

    return guarded


def has_proved_it(request: HttpRequest) -> bool:
    """Whether the user still has a second factor, and has used it in this session."""
    records = get_authentication_records(request, request.user)
    return any(record["method"] == "mfa" for record in records) and bool(is_mfa_enabled(request.user))


def _lead_to(name: str, request: HttpRequest) -> HttpResponseRedirect:
    # A page that was asked for can be shown afterwards; a form that was sent is filled in again.
    target = request.get_full_path() if request.method == "GET" else reverse("admin:index")
    return HttpResponseRedirect(f"{reverse(name)}?{urlencode({'next': target})}")
