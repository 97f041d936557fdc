"""The list of requests and that of refused calls, and what they can be narrowed to."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import quote

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
from portal import refused

_MOST_ROWS = 50
_NO_CONTENT = 204
_REFUSED = "refused:"
"""Begins the outcomes that are no request's: what follows is an error code, or nothing for all of them."""
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
        codes = [(_REFUSED, _("All refused calls")), *((f"{_REFUSED}{code}", code) for code in refused.CODES)]
        self._choose("outcome", _("All outcomes"), [*UsageRecord.Outcome.choices, (_("Refused calls"), codes)])

    def chosen(self) -> Filter:
        """The valid part of what was asked."""
        self.is_valid()
        given = self.cleaned_data
        return Filter(
            api_key_id=given.get("key"),
            model=given.get("model", ""),
            outcome="" if self.wants_refused else given.get("outcome", ""),
            first_day=given.get("first"),
            last_day=given.get("last"),
        )

    @property
    def wants_refused(self) -> bool:
        """Whether the refused calls are asked for instead of the requests."""
        self.is_valid()
        return bool(self.cleaned_data.get("outcome", "").startswith(_REFUSED))

    @property
    def refused_code(self) -> str:
        """The one code that is asked for; empty for all."""
        return str(self.cleaned_data["outcome"].removeprefix(_REFUSED))

    def _choose(self, name: str, everything: Any, choices: list[tuple[Any, Any]]) -> None:
        self.fields[name].choices = [("", everything), *choices]  # type: ignore[attr-defined]


@require_safe
@tenant_page
def request_list(request: TenantRequest) -> HttpResponse:
    return render(request, "portal/requests.html", _page(request, _filter_form(request)))


@require_safe
@tenant_page
def request_list_live(request: TenantRequest) -> HttpResponse:
    """The list alone; nothing at all while nothing has changed."""
    form = _filter_form(request)
    if request.GET.get("seen") == _fingerprint(request, form):
        return HttpResponse(status=_NO_CONTENT)
    context = _page(request, form)
    return render(request, context["live"], context)


def _filter_form(request: TenantRequest) -> FilterForm:
    models = reports.priced_models(request.tenant)
    return FilterForm(request.GET, api_keys=keys_of(request.tenant), models=models)


def _page(request: TenantRequest, form: FilterForm) -> dict[str, Any]:
    # The fingerprint comes first: what changes after it is shown by the next poll at the latest.
    seen = _fingerprint(request, form)
    shown = _refused(request, form) if form.wants_refused else _requests(request, form)
    kept = _query(request, leave_out=("after", "seen", "outcome"))
    return shown | {
        "form": form,
        "seen": seen,
        "query": _query(request, leave_out=("after", "seen")),
        "to_requests": f"?{kept}".rstrip("?&"),
        "to_refused": f"?{kept}outcome={quote(_REFUSED)}",
    }


def _requests(request: TenantRequest, form: FilterForm) -> dict[str, Any]:
    chosen = form.chosen()
    after = Position.parse(request.GET.get("after", ""))
    page = reports.requests(request.tenant, chosen, after=after, limit=_MOST_ROWS)
    return {
        "live": "portal/requests_live.html",
        "is_narrowed": chosen != Filter(),
        "is_first": after is None,
        "rows": rows_of(page.records, form.api_keys),
        "following": page.following,
        "looked_through": page.looked_through,
    }


def _refused(request: TenantRequest, form: FilterForm) -> dict[str, Any]:
    chosen = form.chosen()
    kinds, has_more = refused.kinds(request.tenant, chosen, form.refused_code, form.api_keys)
    del form.fields["model"]  # counted by key and code: what else a call asked for is known of the last one only
    return {
        "live": "portal/refused_live.html",
        "is_narrowed": bool(form.refused_code) or chosen != Filter(model=chosen.model),
        "is_first": True,
        "wants_refused": True,
        "kinds": kinds,
        "most_kinds": refused.MOST_KINDS if has_more else 0,
    }


def _fingerprint(request: TenantRequest, form: FilterForm) -> str:
    """Changes when the newest rows of the list that is shown do."""
    if form.wants_refused:
        return refused.last_hour(request.tenant).fingerprint
    return reports.fingerprint(request.tenant, form.chosen(), limit=_MOST_ROWS)


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
