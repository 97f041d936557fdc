"""The list of requests, and what it can be narrowed to."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.access import TenantRequest, tenant_page
from accounts.models import ApiKey, Tenant
from billing import reports
from billing.models import UsageRecord
from billing.reports import Filter, Position

_PAGE = 50
_NO_CONTENT = 204
# Days that every database and time zone can hold.
_DAYS = (MinValueValidator(dt.date(2000, 1, 1)), MaxValueValidator(dt.date(2999, 12, 31)))


class FilterForm(forms.Form):
    """Comes with the URL; what is not valid in it narrows nothing."""

    use_required_attribute = False

    key = forms.TypedChoiceField(label=_("Key"), required=False, coerce=int, empty_value=None)
    model = forms.ChoiceField(label=_("Model"), required=False)
    outcome = forms.ChoiceField(label=_("Outcome"), required=False)
    first = forms.DateField(
        label=_("From"),
        required=False,
        validators=_DAYS,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    last = forms.DateField(
        label=_("To"),
        required=False,
        validators=_DAYS,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args: Any, api_keys: dict[int, ApiKey], models: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.api_keys = api_keys
        self._choose("key", _("All keys"), [(str(pk), str(api_key)) for pk, api_key in api_keys.items()])
        self._choose("model", _("All models"), [(name, name) for name in models])
        self._choose("outcome", _("All outcomes"), list(UsageRecord.Outcome.choices))

    def chosen(self) -> Filter:
        """The valid part of what was asked."""
        self.is_valid()
        given = self.cleaned_data
        return Filter(
            api_key_id=given.get("key"),
            model=given.get("model", ""),
            outcome=given.get("outcome", ""),
            first_day=given.get("first"),
            last_day=given.get("last"),
        )

    def _choose(self, name: str, everything: Any, choices: list[tuple[str, Any]]) -> None:
        self.fields[name].choices = [("", everything), *choices]  # type: ignore[attr-defined]


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


def _filter_form(request: TenantRequest) -> FilterForm:
    models = reports.priced_models(request.tenant.currency)
    return FilterForm(request.GET, api_keys=keys_of(request.tenant), models=models)


def _requests(request: TenantRequest, form: FilterForm) -> dict[str, Any]:
    chosen = form.chosen()
    after = Position.parse(request.GET.get("after", ""))
    seen = reports.fingerprint(request.tenant, chosen, limit=_PAGE)
    page = reports.requests(request.tenant, chosen, after=after, limit=_PAGE)
    return {
        "form": form,
        "is_narrowed": chosen != Filter(),
        "is_first": after is None,
        "rows": rows_of(page.records, form.api_keys),
        "following": page.following,
        "query": _query(request, leave_out=("after", "seen")),
        "seen": seen,
    }


def keys_of(tenant: Tenant) -> dict[int, ApiKey]:
    return {api_key.pk: api_key for api_key in tenant.api_keys.all()}


def rows_of(records: list[UsageRecord], api_keys: dict[int, ApiKey]) -> list[tuple[UsageRecord, ApiKey | None]]:
    """Each record with its key. History does not depend on the key's row, so there may be none."""
    return [(record, api_keys.get(record.api_key_id)) for record in records]


def _query(request: HttpRequest, *, leave_out: tuple[str, ...]) -> str:
    """The URL's query without some parameters, ready to be followed by another one."""
    given = request.GET.copy()
    for name in leave_out:
        given.pop(name, None)
    return f"{given.urlencode()}&" if given else ""
