"""The first page of the administration: a few numbers that say how things are now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db.models import Count, F, Q, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext

from accounts.models import RefusedCall, Tenant
from billing import amounts
from billing.invoices import mails
from billing.models import Break, Reservation, UsageRecord
from billing.payments import alarms
from routing.models import Channel

_RECORDS: Final = "billing.view_usagerecord"
_REFUSED: Final = "accounts.view_refusedcall"
_HELD: Final = "billing.view_reservation"


def figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The index page's context with its figures; today is the day in UTC."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    shown = (*_of_today(midnight), *_of_this_moment())
    # What a figure links to says who may see it.
    context["figures"] = [each for each in shown if request.user.has_perm(each["right"])]
    return context


def _of_today(midnight: dt.datetime) -> list[dict[str, Any]]:
    today = list(
        UsageRecord.objects.filter(
            tenant__in=Tenant.objects.values("pk"), started_at__gte=midnight
        )  # as the index has it
        .order_by("currency")
        .values("currency")
        .annotate(
            requests=Count("pk"),
            passed=Count("pk", filter=Q(claimed_cost__gt=F("held"))),
            spent=Sum("cost"),
            unpaid=Sum(F("claimed_cost") - F("cost")),
        )
    )
    refused = RefusedCall.objects.filter(minute__gte=midnight).aggregate(
        known=Sum("count", filter=Q(tenant__isnull=False)), unknown=Sum("count", filter=Q(tenant=None))
    )
    requests, passed = (sum(row[name] for row in today) for name in ("requests", "passed"))
    records, calls = reverse("admin:billing_usagerecord_changelist"), reverse("admin:accounts_refusedcall_changelist")
    known, unknown = (_count(refused[name] or 0) for name in ("known", "unknown"))
    return [
        _figure(_RECORDS, gettext("Requests today (UTC)"), records, _count(requests)),
        _figure(_REFUSED, gettext("Refused calls today (UTC)"), f"{calls}?owner=known", known),
        _figure(_REFUSED, gettext("Calls with unknown keys today (UTC)"), f"{calls}?owner=nobody", unknown),
        _figure(_RECORDS, gettext("Spent today (UTC)"), records, *_amounts(today, "spent")),
        _figure(_RECORDS, gettext("Passed their hold today (UTC)"), records, _share(passed, requests)),
        _figure(_RECORDS, gettext("Written off today (UTC)"), records, *_amounts(today, "unpaid")),
    ]


def _of_this_moment() -> list[dict[str, Any]]:
    held = list(
        Reservation.objects.order_by("tenant__currency")
        .values_list("tenant__currency")
        .annotate(Count("pk"), Sum("amount"))
    )
    open_holds, sums = sum(row[1] for row in held), [amounts.format_amount(row[2], row[0]) for row in held]
    open_breaks = Break.objects.filter(closed_at=None).count()
    disabled = Channel.objects.filter(status=Channel.Status.DISABLED).count()
    reservations, breaks, alarms_, channels, documents = (
        reverse(f"admin:{name}_changelist")
        for name in (
            "billing_reservation",
            "billing_break",
            "billing_paymentalarm",
            "routing_channel",
            "billing_invoice",
        )
    )
    return [
        _figure(
            "billing.view_paymentalarm", gettext("Open payment alarms"), f"{alarms_}?closed_at__isempty=1",
            _count(alarms.open_count()),
        ),
        _figure(_HELD, gettext("Open reservations"), reservations, _count(open_holds)),
        _figure(_HELD, gettext("Held now"), reservations, *sums),
        _figure(
            "billing.view_invoice", gettext("Documents that could not be mailed"), f"{documents}?mail=given_up",
            _count(mails.given_up().count()),
        ),
        _figure(
            "billing.view_break", gettext("Open breaks in the books"), f"{breaks}?closed_at__isempty=1",
            _count(open_breaks),
        ),
        _figure(
            "routing.view_channel", gettext("Disabled channels"), f"{channels}?status__exact=disabled",
            _count(disabled),
        ),
    ]  # fmt: skip


def _figure(right: str, label: str, link: str, *lines: str) -> dict[str, Any]:
    """A figure for who has the right."""
    return {"right": right, "label": label, "link": link, "lines": lines or ("0",)}


def _amounts(rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The amount of this name in every currency."""
    return [amounts.format_amount(row[name], row["currency"]) for row in rows]


def _share(part: int, whole: int) -> str:
    """In percent, to two decimals: one in ten thousand must be seen."""
    return f"{number_format(100 * part / whole if whole else 0, 2)} %"


def _count(number: int) -> str:
    return number_format(number, force_grouping=True)
