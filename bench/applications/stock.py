"""Django's own ASGI handler with one async view that does what the null application does.

BENCH_MIDDLEWARE is `default` for what `startproject` writes down, or `none`.
"""

from __future__ import annotations

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from bench.payloads import answer_to

_DEFAULT_MIDDLEWARE = (
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
)


async def completions(request: HttpRequest) -> HttpResponse:
    return HttpResponse(answer_to(request.body), content_type="application/json")


# An API is not called with a CSRF cookie; the decorator itself would make the view another one.
completions.csrf_exempt = True  # type: ignore[attr-defined]

urlpatterns = [path("v1/chat/completions", completions)]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="only for a view without a session",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=_DEFAULT_MIDDLEWARE if os.environ.get("BENCH_MIDDLEWARE") == "default" else (),
    INSTALLED_APPS=(
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
    ),
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
application = get_asgi_application()
