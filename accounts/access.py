"""The only way a page gets a tenant: through the membership of the user who asks.

A view takes a `TenantRequest` and is wrapped in `tenant_page` (any member), `keys_page` (whoever may manage keys),
`quotas_page` (whoever may set quotas), `payments_page` (whoever may pay) or `billing_page` (whoever may change how the
tenant pays and is billed).
Rows of a tenant are looked up through `request.tenant`, so another tenant's id is not found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, cast
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from accounts.models import Member, Tenant, User

P = ParamSpec("P")
SESSION_KEY = "tenant"


class TenantRequest(HttpRequest):
    """A member's request; made by the decorators of this module and by nothing else."""

    user: User
    tenant: Tenant
    member: Member
    memberships: Sequence[Member]


def tenant_page(
    view: Callable[Concatenate[TenantRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page for any member of a tenant, in the tenant's time zone and never cached.

    Strangers are sent to sign in; who belongs to no tenant (an operator, say) is told so with a 403.
    """

    @wraps(view)
    def page(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        request = cast("TenantRequest", request)
        request.memberships = memberships(request.user)
        member = _current(request.memberships, request.session.get(SESSION_KEY))
        if member is None:
            return render(request, "portal/no_tenant.html", status=403)
        request.member, request.tenant = member, member.tenant
        with timezone.override(ZoneInfo(request.tenant.time_zone)):
            return view(request, *args, **kwargs)

    return never_cache(login_required(page))


def keys_page(
    view: Callable[Concatenate[TenantRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page for members who may manage API keys; other members get 403."""
    return _page_of_those_who(lambda member: member.can_manage_keys, view)


def quotas_page(
    view: Callable[Concatenate[TenantRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page for members who may set quotas; other members get 403."""
    return _page_of_those_who(lambda member: member.can_manage_quotas, view)


def billing_page(
    view: Callable[Concatenate[TenantRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page for members who may change how the tenant pays and is billed; other members get 403."""
    return _page_of_those_who(lambda member: member.can_manage_billing, view)


def payments_page(
    view: Callable[Concatenate[TenantRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """A page for members who may pay; other members get 403."""
    return _page_of_those_who(lambda member: member.can_pay, view)


def _page_of_those_who(
    may: Callable[[Member], bool], view: Callable[Concatenate[TenantRequest, P], HttpResponseBase]
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    @wraps(view)
    def page(request: TenantRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not may(request.member):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return tenant_page(page)


def memberships(user: User) -> list[Member]:
    """The user's memberships with their tenants, by tenant name."""
    return list(Member.objects.filter(user=user).select_related("tenant").order_by("tenant__name", "tenant_id"))


def switch_tenant(request: TenantRequest, tenant_id: int) -> None:
    """Makes this tenant the one that the user's pages show; Http404 unless the user is a member of it."""
    if tenant_id not in {member.tenant_id for member in request.memberships}:
        raise Http404
    request.session[SESSION_KEY] = tenant_id


def _current(members: Sequence[Member], tenant_id: int | None) -> Member | None:
    """The membership in the tenant that the session names, else the first one."""
    return next((member for member in members if member.tenant_id == tenant_id), next(iter(members), None))
