"""Pages of API keys, switching tenants, the public home page."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views import i18n
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import keys
from accounts.access import TenantRequest, keys_page, switch_tenant, tenant_page
from accounts.models import ApiKey, User
from accounts.portal.forms import ApiKeyForm
from routing.models import CatalogueModel


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


@require_safe
@tenant_page
def key_list(request: TenantRequest) -> HttpResponse:
    api_keys = request.tenant.api_keys.select_related("created_by")
    return render(request, "portal/keys.html", {"api_keys": api_keys, "now": timezone.now()})


@require_http_methods(["GET", "POST"])
@keys_page
def key_create(request: TenantRequest) -> HttpResponse:
    """Issues a key. The secret is in this one response and in no other."""
    form = ApiKeyForm(request.POST or None, models=_model_names())
    if request.method != "POST" or not form.is_valid():
        return render(request, "portal/key_form.html", {"form": form})
    issued = keys.issue(tenant=request.tenant, created_by=request.user, **form.cleaned_data)
    context = {"api_key": issued.api_key, "secret": issued.secret, "example_model": _example_model(issued.api_key)}
    return render(request, "portal/key_issued.html", context)


@require_http_methods(["GET", "POST"])
@keys_page
def key_edit(request: TenantRequest, key_id: int) -> HttpResponse:
    api_key = get_object_or_404(request.tenant.api_keys, pk=key_id)
    form = ApiKeyForm(request.POST or None, instance=api_key, models=_model_names())
    if request.method == "POST" and api_key.status == ApiKey.Status.REVOKED:
        messages.error(request, _("A revoked key cannot be changed."))
        return redirect("portal:key", key_id)
    if request.method != "POST" or not form.is_valid():
        return render(request, "portal/key.html", {"form": form, "api_key": api_key, "now": timezone.now()})
    form.save_limits()
    messages.success(request, _("The key’s limits are changed. They hold everywhere within two seconds."))
    return redirect("portal:keys")


@require_POST
@keys_page
def key_pause(request: TenantRequest, key_id: int) -> HttpResponse:
    get_object_or_404(request.tenant.api_keys, pk=key_id).pause()
    messages.success(request, _("The key is paused. Requests with it are refused until it is resumed."))
    return redirect("portal:keys")


@require_POST
@keys_page
def key_resume(request: TenantRequest, key_id: int) -> HttpResponse:
    api_key = get_object_or_404(request.tenant.api_keys, pk=key_id)
    api_key.resume()
    if api_key.status == ApiKey.Status.REVOKED:
        messages.error(request, _("A revoked key cannot be resumed."))
    else:
        messages.success(request, _("The key works again."))
    return redirect("portal:keys")


@require_http_methods(["GET", "POST"])
@keys_page
def key_revoke(request: TenantRequest, key_id: int) -> HttpResponse:
    """Asks first; a POST revokes for good."""
    api_key = get_object_or_404(request.tenant.api_keys, pk=key_id)
    if request.method != "POST":
        return render(request, "portal/key_revoke.html", {"api_key": api_key})
    api_key.revoke()
    messages.success(request, _("The key is revoked for good."))
    return redirect("portal:keys")


def _model_names() -> list[str]:
    return list(CatalogueModel.objects.filter(is_enabled=True).values_list("name", flat=True))


def _example_model(api_key: ApiKey) -> str:
    """A model that this key can call, for the example beside it; empty if there is none yet."""
    return next(iter(api_key.allowed_models or _model_names()), "")
