"""The public home page, the language, and which tenant is looked at."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import i18n
from django.views.decorators.http import require_POST, require_safe

from accounts.access import TenantRequest, switch_tenant, tenant_page
from accounts.models import User


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html")


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Django's own switch, remembered for mails too if somebody is signed in."""
    language = request.POST.get("language", "")
    if request.user.is_authenticated and language in User.Language.values:
        User.objects.filter(pk=request.user.pk).update(language=language)
    return i18n.set_language(request)


@require_POST
@tenant_page
def choose_tenant(request: TenantRequest, tenant_id: int) -> HttpResponse:
    switch_tenant(request, tenant_id)
    return redirect("portal:overview")
