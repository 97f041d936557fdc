"""The page of one request, in the namespace `portal`."""

from __future__ import annotations

from django.urls import path

from routing.portal import views

urlpatterns = [
    path("requests/<uuid:request_id>/", views.request_detail, name="request"),
]
