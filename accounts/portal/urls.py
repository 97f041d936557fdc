"""Pages of keys and tenants, in the namespace `portal`."""

from __future__ import annotations

from django.urls import path

from accounts.portal import views

urlpatterns = [
    path("keys/", views.key_list, name="keys"),
    path("keys/new/", views.key_create, name="key_create"),
    path("keys/<int:key_id>/", views.key_edit, name="key"),
    path("keys/<int:key_id>/pause/", views.key_pause, name="key_pause"),
    path("keys/<int:key_id>/resume/", views.key_resume, name="key_resume"),
    path("keys/<int:key_id>/revoke/", views.key_revoke, name="key_revoke"),
    path("tenants/<int:tenant_id>/", views.choose_tenant, name="choose_tenant"),
]
