"""Every URL of both planes. The API plane's prefix comes first: its handler resolves nothing else."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

from administration import margins
from portal import home, webhooks

urlpatterns = [
    path("", include("routing.api.urls")),
    path("", home.home, name="home"),
    path("portal/", include("portal.urls")),
    path("accounts/", include("allauth.urls")),
    path("webhooks/stripe", webhooks.stripe, name="stripe_webhook"),
    path("webhooks/bank", webhooks.bank, name="bank_webhook"),
    path("language/", home.set_language, name="set_language"),
    path("admin/margins/", admin.site.admin_view(margins.page), name="margins"),
    path("admin/", admin.site.urls),
    *i18n_patterns(path("docs/", include("portal.reference.urls"))),
]
