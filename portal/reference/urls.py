"""The reference's pages. They stand below a language prefix: /en/docs/, /vi/docs/."""

from __future__ import annotations

from django.urls import path

from portal.reference import views

app_name = "docs"

urlpatterns = [
    path("", views.introduction, name="introduction"),
    path("errors/", views.errors, name="errors"),
    path("openapi.yaml", views.openapi, name="openapi"),
    path("<slug:slug>/", views.endpoint, name="endpoint"),
]
