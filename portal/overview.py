"""The overview: what the tenant can spend, has spent, and its latest requests."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import TenantRequest, tenant_page
from accounts.models import Tenant
from billing import reports
from billing.reports import Filter
from portal.requests import keys_of, rows_of

_LATEST = 8
_NO_CONTENT = 204


@require_safe
@tenant_page
def overview(request: TenantRequest) -> HttpResponse:
    return render(request, "portal/overview.html", _overview(request.tenant))


@require_safe
@tenant_page
def overview_live(request: TenantRequest) -> HttpResponse:
    """The part of the overview that changes; nothing at all while nothing has changed."""
    if request.GET.get("seen") == reports.fingerprint(request.tenant, Filter(), limit=_LATEST):
        return HttpResponse(status=_NO_CONTENT)
    return render(request, "portal/overview_live.html", _overview(request.tenant))


def _overview(tenant: Tenant) -> dict[str, Any]:
    # The fingerprint comes first: what changes after it is shown by the next poll at the latest.
    return {
        "seen": reports.fingerprint(tenant, Filter(), limit=_LATEST),
        "figures": reports.figures(tenant, timezone.now()),
        "rows": rows_of(reports.requests(tenant, Filter(), limit=_LATEST).records, keys_of(tenant)),
        "example_model": next(iter(reports.priced_models(tenant.currency)), ""),
    }
