"""The overview: what the tenant can spend, has spent, and its latest requests."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import TenantRequest, tenant_page
from accounts.models import Tenant
from accounts.refusals import LastHour
from billing import reports, trials
from billing.reports import Filter
from portal import refused
from portal.requests import keys_of, rows_of
from routing.catalogue import price_list

_LATEST = 8
_NO_CONTENT = 204


@require_safe
@tenant_page
def overview(request: TenantRequest) -> HttpResponse:
    context = _overview(request.tenant) | {"trial": trials.waiting(request.tenant)}
    return render(request, "portal/overview.html", context)


@require_safe
@tenant_page
def overview_live(request: TenantRequest) -> HttpResponse:
    """The part of the overview that changes; nothing at all while nothing has changed."""
    if request.GET.get("seen") == _fingerprint(request.tenant, refused.last_hour(request.tenant)):
        return HttpResponse(status=_NO_CONTENT)
    return render(request, "portal/overview_live.html", _overview(request.tenant))


def _overview(tenant: Tenant) -> dict[str, Any]:
    # The fingerprint comes first: what changes after it is shown by the next poll at the latest.
    last_hour = refused.last_hour(tenant)
    return {
        "seen": _fingerprint(tenant, last_hour),
        "figures": reports.figures(tenant, timezone.now()),
        "refused_last_hour": last_hour.count,
        "refused_today": refused.today(tenant),
        "rows": rows_of(reports.requests(tenant, Filter(), limit=_LATEST).records, keys_of(tenant)),
        "example_model": next(iter(price_list.names(tenant)), ""),
    }


def _fingerprint(tenant: Tenant, last_hour: LastHour) -> str:
    return f"{reports.fingerprint(tenant, Filter(), limit=_LATEST)}-{last_hour.fingerprint}"
