"""Usage as FOCUS 1.2 has it: the FinOps Foundation's open format of cost and usage, which cost tools read.

https://focus.finops.org/focus-specification/v1-2/: a row is what one key used of one model in one day of the tenant's
zone. All columns that version 1.2 demands are there, and of the others those that we can fill. Costs are exact; their
sum is the usage page's.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from accounts.access import TenantRequest, tenant_page
from accounts.models import ApiKey, Tenant
from billing import money, reports, spending
from billing.spending import Consumed
from billing.spreadsheets import guarded
from portal.requests import keys_of
from portal.usage import UsageForm, refused

_ISSUER: Final = "CostRouter"
_COLUMNS: Final = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost",
    "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SubAccountId",
    "SubAccountName", "SubAccountType", "x_CachedInputTokens", "x_InputTokens", "x_OutputTokens", "x_Requests",
)  # fmt: skip
_CONSTANT: Final[Mapping[str, str]] = {
    "BillingAccountType": "Tenant",
    "ChargeCategory": "Usage",
    "ChargeClass": "",
    "ChargeFrequency": "Usage-Based",
    "ConsumedUnit": "Tokens",
    "InvoiceIssuerName": _ISSUER,
    "PricingCategory": "Standard",
    "PricingUnit": "Tokens",
    "ProviderName": _ISSUER,
    "PublisherName": _ISSUER,
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "Language models",
    "ServiceSubcategory": "Generative AI",
    "SubAccountType": "API key",
}


@require_safe
@tenant_page
def usage_focus(request: TenantRequest) -> HttpResponseBase:
    """The days, key and model of the usage page's form, as a file; 400 where the form says what is wrong."""
    tenant, api_keys = request.tenant, keys_of(request.tenant)
    form = UsageForm(request.GET, tenant=tenant, api_keys=api_keys)
    if not form.is_valid():
        return refused(form)
    chosen = form.cleaned_data
    answer = StreamingHttpResponse(_lines(tenant, api_keys, chosen), content_type="text/csv; charset=utf-8")
    name = f"usage-{chosen['first']}-{chosen['last']}.focus.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


async def _lines(tenant: Tenant, api_keys: Mapping[int, ApiKey], chosen: Mapping[str, Any]) -> AsyncIterator[str]:
    """The file, a day at a time: however many there are, no more than one is in memory."""
    yield _written([dict(zip(_COLUMNS, _COLUMNS, strict=True))])
    only = None if chosen.get("key") is None else [chosen["key"]]
    consumed = sync_to_async(spending.consumed)
    day: dt.date = chosen["first"]
    while day <= chosen["last"]:
        used = await consumed(tenant, *_bounds(tenant, day), model=chosen.get("model") or "", api_keys=only)
        yield _written([_row(tenant, api_keys, day, each) for each in used])
        day += dt.timedelta(days=1)


def _written(rows: list[dict[str, Any]]) -> str:
    """As RFC 4180 has it."""
    lines = io.StringIO()
    csv.DictWriter(lines, _COLUMNS).writerows(rows)
    return lines.getvalue()


def _bounds(tenant: Tenant, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    return reports.start_of_day(tenant, day), reports.start_of_day(tenant, day + dt.timedelta(days=1))


def _row(tenant: Tenant, api_keys: Mapping[int, ApiKey], day: dt.date, used: Consumed) -> dict[str, Any]:
    cost = money.to_json_number(used.cost, tenant.currency)
    tokens = used.input + used.output
    begins, ends = (_utc(moment) for moment in _bounds(tenant, day))
    month_begins, month_ends = (_utc(moment) for moment in _month(tenant, day))
    return {
        **_CONSTANT,
        "BilledCost": cost,
        "BillingAccountId": str(tenant.pk),
        "BillingAccountName": guarded(tenant.name),
        "BillingCurrency": tenant.currency,
        "BillingPeriodEnd": month_ends,
        "BillingPeriodStart": month_begins,
        "ChargeDescription": guarded(f"{used.model}: {used.requests} requests"),
        "ChargePeriodEnd": ends,
        "ChargePeriodStart": begins,
        "ConsumedQuantity": tokens,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "ListCost": cost,
        "PricingQuantity": tokens,
        "SkuId": guarded(used.model),
        "SubAccountId": str(used.api_key),
        "SubAccountName": guarded(str(api_keys.get(used.api_key, ""))),
        "x_CachedInputTokens": used.cached_input,
        "x_InputTokens": used.input,
        "x_OutputTokens": used.output,
        "x_Requests": used.requests,
    }


def _month(tenant: Tenant, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    first = day.replace(day=1)
    following = (first + dt.timedelta(days=31)).replace(day=1)
    return reports.start_of_day(tenant, first), reports.start_of_day(tenant, following)


def _utc(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
