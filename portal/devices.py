"""Browsers in which somebody has signed in before: each has tries of its own at his password, and at his codes.

Wrong passwords are counted by the account, wherever they come from, so that many addresses do not have many tries. Who
guesses would so keep the owner out as well. A browser in which he once got in carries a signed mark, and what is tried
there is counted there alone (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). The mark opens nothing:
the password is asked for as ever.

A mark also says which second factor was proved there, if one was. At codes a browser has tries of its own while that
factor is still the user's: marks from before there was one, which the password alone brought, and those of one that was
replaced would each be another five guesses.
"""

from __future__ import annotations

import secrets
from typing import Final

from allauth.account.authentication import get_authentication_records
from allauth.account.utils import filter_users_by_email
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts.models import User

COOKIE: Final = "device"
_SALT: Final = "portal.devices"
_SECONDS: Final = 365 * 86_400
_MOST_USERS: Final = 4
"""Who signed in last stands first; who signed in longest ago is forgotten."""
_NONE: Final = 0
"""Instead of a second factor."""


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Marks the browser as one in which this user has signed in."""
    name, factors = _read(request)
    users = {user.pk: _proved(request, user)} | {pk: factor for pk, factor in factors.items() if pk != user.pk}
    known = [f"{pk}.{factor}" for pk, factor in users.items()][:_MOST_USERS]
    response.set_signed_cookie(
        COOKIE, "-".join([name or secrets.token_hex(16), *known]), salt=_SALT, max_age=_SECONDS,
        path=reverse("account_login").rpartition("login")[0], domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite=settings.SESSION_COOKIE_SAMESITE,
    )  # fmt: skip


def name_for(request: HttpRequest, email: str) -> str:
    """What this browser is called, if the account with that address has been used in it; else nothing."""
    name, factors = _read(request)
    is_known = bool(factors) and any(user.pk in factors for user in filter_users_by_email(email))
    return name if is_known else ""


def name_for_codes(request: HttpRequest, user: User) -> str:
    """What it is called, if this user has proved in it the second factor that he has; else nothing."""
    name, factors = _read(request)
    proved = factors.get(user.pk, _NONE)
    return name if proved != _NONE and proved == _factor(user) else ""


def _proved(request: HttpRequest, user: User) -> int:
    """The second factor that this session has proved."""
    records = get_authentication_records(request, user)
    return _factor(user) if any(record["method"] == "mfa" for record in records) else _NONE


def _factor(user: User) -> int:
    """What shows the user's codes now. It has an id of its own, and another one takes another's."""
    found = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).values_list("pk", flat=True).first()
    return found or _NONE


def _read(request: HttpRequest) -> tuple[str, dict[int, int]]:
    """Its name, and for each of its users the factor; of a mark that is not ours, or too old, nothing."""
    mark = request.get_signed_cookie(COOKIE, default="", salt=_SALT, max_age=_SECONDS)
    name, *users = (mark or "").split("-")
    pairs = [user.partition(".") for user in users]
    return name, {int(pk): int(factor or _NONE) for pk, _dot, factor in pairs}
