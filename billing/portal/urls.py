"""Pages of money and requests, in the namespace `portal`."""

from __future__ import annotations

from django.urls import path

from billing.portal import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("live/", views.overview_live, name="overview_live"),
    path("requests/", views.request_list, name="requests"),
    path("requests/live/", views.request_list_live, name="requests_live"),
]
