"""The overview and the list of requests."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import TenantRequest, tenant_page
from accounts.models import ApiKey, Tenant
from billing import reports
from billing.models import UsageRecord
from billing.portal.forms import FilterForm
from billing.reports import Filter, Position

_LATEST = 8
_PAGE = 50
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


@require_safe
@tenant_page
def request_list(request: TenantRequest) -> HttpResponse:
    return render(request, "portal/requests.html", _requests(request, _filter_form(request)))


@require_safe
@tenant_page
def request_list_live(request: TenantRequest) -> HttpResponse:
    """The table alone; nothing at all while nothing has changed."""
    form = _filter_form(request)
    if request.GET.get("seen") == reports.fingerprint(request.tenant, form.chosen(), limit=_PAGE):
        return HttpResponse(status=_NO_CONTENT)
    return render(request, "portal/requests_live.html", _requests(request, form))


def _overview(tenant: Tenant) -> dict[str, Any]:
    # The fingerprint comes first: what changes after it is shown by the next poll at the latest.
    return {
        "seen": reports.fingerprint(tenant, Filter(), limit=_LATEST),
        "figures": reports.figures(tenant, timezone.now()),
        "rows": _rows(reports.requests(tenant, Filter(), limit=_LATEST).records, _keys(tenant)),
        "example_model": next(iter(reports.priced_models(tenant.currency)), ""),
    }


def _filter_form(request: TenantRequest) -> FilterForm:
    models = reports.priced_models(request.tenant.currency)
    return FilterForm(request.GET, api_keys=_keys(request.tenant), models=models)


def _requests(request: TenantRequest, form: FilterForm) -> dict[str, Any]:
    chosen = form.chosen()
    after = Position.parse(request.GET.get("after", ""))
    seen = reports.fingerprint(request.tenant, chosen, limit=_PAGE)
    page = reports.requests(request.tenant, chosen, after=after, limit=_PAGE)
    return {
        "form": form,
        "is_narrowed": chosen != Filter(),
        "is_first": after is None,
        "rows": _rows(page.records, form.api_keys),
        "following": page.following,
        "query": _query(request, leave_out=("after", "seen")),
        "seen": seen,
    }


def _keys(tenant: Tenant) -> dict[int, ApiKey]:
    return {api_key.pk: api_key for api_key in tenant.api_keys.all()}


def _rows(records: list[UsageRecord], api_keys: dict[int, ApiKey]) -> list[tuple[UsageRecord, ApiKey | None]]:
    """Each record with its key. History does not depend on the key's row, so there may be none."""
    return [(record, api_keys.get(record.api_key_id)) for record in records]


def _query(request: HttpRequest, *, leave_out: tuple[str, ...]) -> str:
    """The URL's query without some parameters, ready to be followed by another one."""
    given = request.GET.copy()
    for name in leave_out:
        given.pop(name, None)
    return f"{given.urlencode()}&" if given else ""
