"""The usage page: what was spent, by model, key, member, day or hour, with its chart and as a CSV file."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.access import TenantRequest, tenant_page
from accounts.models import ApiKey, Tenant, User
from billing import money, reports, spending
from billing.spending import By, Spent
from billing.spreadsheets import guarded
from portal.requests import keys_of

_MOST_DAYS: Final = 400
_MOST_HOURS: Final = 31 * 24
_BARS: Final = 62
"""Of the chart at most; what has more lines shows the dearest, or leaves the chart out."""


class UsageForm(forms.Form):
    """Comes with the URL; what is missing is this month, by day."""

    use_required_attribute = False

    by = forms.ChoiceField(
        label=_("By"),
        required=False,
        choices=[
            ("day", _("day")),
            ("hour", _("hour")),
            ("model", _("model")),
            ("key", _("key")),
            ("member", _("member")),
        ],
    )
    first = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    last = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    key = forms.TypedChoiceField(label=_("Key"), required=False, coerce=int, empty_value=None)
    model = forms.ChoiceField(label=_("Model"), required=False)

    def __init__(self, data: Any, *, tenant: Tenant, api_keys: dict[int, ApiKey]) -> None:
        today = timezone.now().astimezone(ZoneInfo(tenant.time_zone)).date()
        filled = {"by": "day", "first": today.replace(day=1).isoformat(), "last": today.isoformat()} | data.dict()
        super().__init__(filled)
        keys = [("", _("All keys")), *((str(pk), str(api_key)) for pk, api_key in api_keys.items())]
        models = [("", _("All models")), *((name, name) for name in reports.priced_models(tenant))]
        self.fields["key"].choices = keys  # type: ignore[attr-defined]
        self.fields["model"].choices = models  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = cleaned.get("first"), cleaned.get("last")
        if first is None or last is None:
            raise ValidationError(_("Choose the first and the last day."))
        if not dt.date(2000, 1, 1) <= first <= last <= dt.date(2999, 12, 31):
            raise ValidationError(_("The last day lies before the first, or out of all bounds."))
        days = (last - first).days + 1
        if days > _MOST_DAYS or (cleaned.get("by") == "hour" and days * 24 > _MOST_HOURS):
            raise ValidationError(_("Choose fewer days: at most 400, by the hour at most 31."))
        cleaned["by"] = cleaned.get("by") or "day"
        return cleaned


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: what it is about, in words."""

    label: str
    spent: Spent


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart, in units of its view box."""

    label: str
    spent: Spent
    x: int
    height: float

    @property
    def y(self) -> float:
        return round(100 - self.height, 2)


@require_safe
@tenant_page
def usage(request: TenantRequest) -> HttpResponse:
    tenant, api_keys = request.tenant, keys_of(request.tenant)
    form = UsageForm(request.GET, tenant=tenant, api_keys=api_keys)
    lines = _lines(tenant, form, api_keys) if form.is_valid() else []
    sums = [
        sum(getattr(line.spent, name) for line in lines)
        for name in ("requests", "input", "cached_input", "output", "cost")
    ]
    by = form.cleaned_data.get("by") or "day"
    context = {
        "form": form,
        "lines": lines,
        "total": Spent(None, *sums),
        "bars": _bars(lines, by),
        "width": max(1, 10 * min(len(lines), _BARS)),
        "by_label": dict(form.fields["by"].choices)[by],  # type: ignore[attr-defined]
        "query": request.GET.urlencode(),
    }
    return render(request, "portal/usage.html", context)


@require_safe
@tenant_page
def usage_csv(request: TenantRequest) -> HttpResponse:
    """The table as RFC 4180 has it; amounts are exact, in currency units."""
    tenant, api_keys = request.tenant, keys_of(request.tenant)
    form = UsageForm(request.GET, tenant=tenant, api_keys=api_keys)
    if not form.is_valid():
        return refused(form)
    by, first, last = (form.cleaned_data[name] for name in ("by", "first", "last"))
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="usage-{first}-{last}-by-{by}.csv"'
    writer = csv.writer(answer)
    writer.writerow([by, "requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost", "currency"])
    for line in _lines(tenant, form, api_keys):
        spent = line.spent
        label = spent.subject.isoformat() if isinstance(spent.subject, dt.date) else guarded(line.label)
        cost = money.to_json_number(spent.cost, tenant.currency)
        writer.writerow([label, spent.requests, spent.input, spent.cached_input, spent.output, cost, tenant.currency])
    return answer


def refused(form: UsageForm) -> HttpResponse:
    """Instead of a file: what is wrong with the days that were asked for."""
    words = "\n".join(map(str, form.non_field_errors()))
    return HttpResponse(words, status=400, content_type="text/plain; charset=utf-8")


def _lines(tenant: Tenant, form: UsageForm, api_keys: dict[int, ApiKey]) -> list[Line]:
    chosen = form.cleaned_data
    by: By = chosen["by"]
    start = reports.start_of_day(tenant, chosen["first"])
    end = reports.start_of_day(tenant, chosen["last"] + dt.timedelta(days=1))
    only = None if chosen.get("key") is None else [chosen["key"]]
    found = spending.spent(tenant, start, end, by, model=chosen.get("model") or "", api_keys=only)
    label_of = _labels(by, api_keys)
    return [Line(label_of(spent.subject), spent) for spent in found]


def _labels(by: By, api_keys: dict[int, ApiKey]) -> Callable[[Any], str]:
    if by == "key":
        return lambda pk: str(api_keys.get(pk, gettext("a deleted key")))
    if by == "member":
        makers = {api_key.created_by_id for api_key in api_keys.values() if api_key.created_by_id}
        names = {user.pk: str(user) for user in User.objects.filter(pk__in=makers)}
        return lambda pk: names.get(cast("int", pk), gettext("nobody who is known"))
    if by == "day":
        return lambda day: f"{day:%Y-%m-%d}"
    if by == "hour":
        return lambda hour: f"{hour:%Y-%m-%d %H:%M}"
    return str


def _bars(lines: list[Line], by: str) -> list[Bar]:
    if by in {"day", "hour"} and len(lines) > _BARS:
        return []
    highest = max((line.spent.cost for line in lines), default=0)
    return [
        Bar(line.label, line.spent, 10 * place + 1, round(100 * line.spent.cost / highest, 2))
        for place, line in enumerate(lines[:_BARS])
        if highest
    ]
