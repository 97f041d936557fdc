"""Browsers in which somebody has signed in before: each has tries of its own at his password.

Wrong passwords are counted by the account, wherever they come from, so that many addresses do not have many tries. Who
guesses would so keep the owner out as well. A browser in which he once got in carries a signed mark, and what is tried
there is counted there alone (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). The mark opens nothing:
the password is asked for as ever.
"""

from __future__ import annotations

import secrets
from typing import Final

from allauth.account.utils import filter_users_by_email
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts.models import User

COOKIE: Final = "device"
_SALT: Final = "portal.devices"
_SECONDS: Final = 365 * 86_400
_MOST_USERS: Final = 4
"""Who signed in last stands first; who signed in longest ago is forgotten."""


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Marks the browser as one in which this user has signed in."""
    name, users = _read(request)
    users = [user.pk, *(pk for pk in users if pk != user.pk)][:_MOST_USERS]
    response.set_signed_cookie(
        COOKIE, "-".join(map(str, [name or secrets.token_hex(16), *users])), salt=_SALT, max_age=_SECONDS,
        path=reverse("account_login").rpartition("login")[0], domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite=settings.SESSION_COOKIE_SAMESITE,
    )  # fmt: skip


def name_for(request: HttpRequest, email: str) -> str:
    """What this browser is called, if the account with that address has been used in it; else nothing."""
    name, users = _read(request)
    is_known = bool(users) and any(user.pk in users for user in filter_users_by_email(email))
    return name if is_known else ""


def _read(request: HttpRequest) -> tuple[str, list[int]]:
    """Its name and its users' ids; of a mark that is not ours, or too old, nothing."""
    mark = request.get_signed_cookie(COOKIE, default="", salt=_SALT, max_age=_SECONDS)
    name, *users = (mark or "").split("-")
    return name, [int(pk) for pk in users]
