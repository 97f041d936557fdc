"""Every URL of both planes. The API plane's prefix comes first: its handler resolves nothing else."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

from accounts.portal import views as accounts_portal

portal = [
    path("", include("accounts.portal.urls")),
    path("", include("billing.portal.urls")),
    path("", include("routing.portal.urls")),
]

urlpatterns = [
    path("", include("routing.api.urls")),
    path("", accounts_portal.home, name="home"),
    path("portal/", include((portal, "portal"))),
    path("accounts/", include("allauth.urls")),
    path("language/", accounts_portal.set_language, name="set_language"),
    path("admin/", admin.site.urls),
    *i18n_patterns(path("docs/", include("costrouter.reference.urls"))),
]
