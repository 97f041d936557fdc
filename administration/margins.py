"""Margins: what customers paid and what it cost, by channel, model or tenant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe
from unfold.widgets import UnfoldAdminDateWidget, UnfoldAdminSelectWidget

from accounts.models import Tenant
from administration.frame import table
from billing import amounts, spending

_MOST_DAYS: Final = 400
_BY: Final = {"channel": _("channel"), "model": _("model"), "tenant": _("tenant")}
_NEEDED: Final = ("billing.view_usagerecord", "routing.view_costprice")


class MarginForm(forms.Form):
    """Comes with the URL; what is missing is the last 30 days, by channel."""

    by = forms.ChoiceField(label=_("By"), choices=list(_BY.items()), widget=UnfoldAdminSelectWidget())
    first = forms.DateField(label=_("From"), widget=UnfoldAdminDateWidget(attrs={"type": "date"}, format="%Y-%m-%d"))
    last = forms.DateField(label=_("To"), widget=UnfoldAdminDateWidget(attrs={"type": "date"}, format="%Y-%m-%d"))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = cleaned.get("first"), cleaned.get("last")
        bounds = dt.date(2000, 1, 1), dt.date(2999, 12, 31)
        if (
            first
            and last
            and not (bounds[0] <= first <= last <= bounds[1] and last - first < dt.timedelta(days=_MOST_DAYS))
        ):
            raise ValidationError(_("The last day comes after the first, and at most 400 days are shown."))
        return cleaned


def may_see(request: HttpRequest) -> bool:
    return all(request.user.has_perm(name) for name in _NEEDED)


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Days are those of UTC; a request counts when it has settled, as on the tenants' pages."""
    if not may_see(request):
        raise PermissionDenied
    today = timezone.now().date()
    shown = {"by": "channel", "first": str(today - dt.timedelta(days=29)), "last": str(today)}
    form = MarginForm(shown | request.GET.dict())
    context = {
        **admin.site.each_context(request),
        "title": gettext("Margins"),
        "form": form,
        "margins": _margins(form.cleaned_data) if form.is_valid() else "",
    }
    return TemplateResponse(request, "administration/margins.html", context)


def _margins(chosen: Mapping[str, Any]) -> SafeString | str:
    by = chosen["by"]
    start = dt.datetime.combine(chosen["first"], dt.time(), dt.UTC)
    end = dt.datetime.combine(chosen["last"], dt.time(), dt.UTC) + dt.timedelta(days=1)
    found: dict[tuple[Any, str, str], list[int]] = {}
    for row in spending.added_up(
        {"tenant__in": Tenant.objects.values("pk")}, start, end, (by, "currency", "provider_currency")
    ):
        sums = found.setdefault((row[by], row["currency"], row["provider_currency"]), [0, 0, 0])
        for place, name in enumerate(("requests", "cost", "provider_cost")):
            sums[place] += row[name]
    names = dict(Tenant.objects.values_list("pk", "name")) if by == "tenant" else {}
    rows = [
        _row(names.get(subject, subject) or gettext("no channel"), currencies, sums)
        for (subject, *currencies), sums in sorted(found.items(), key=lambda item: (-item[1][1], str(item[0])))
    ]
    headers = [
        str(_BY[by]),
        gettext("requests"),
        gettext("paid"),
        gettext("cost"),
        gettext("margin"),
        gettext("of the price"),
    ]
    return table(headers, rows, numeric=frozenset(range(1, 6))) if rows else ""


def _row(subject: Any, currencies: list[str], sums: list[int]) -> tuple[Any, ...]:
    """A margin is known where cost and price have the same currency."""
    (currency, provider_currency), (requests, paid, cost) = currencies, sums
    is_known = currency == provider_currency
    return (
        subject,
        number_format(requests, force_grouping=True),
        amounts.amount_html(paid, currency),
        amounts.amount_html(cost if provider_currency else None, provider_currency),
        amounts.amount_html(paid - cost if is_known else None, currency),
        amounts.percent(paid - cost, paid if is_known else 0),
    )
