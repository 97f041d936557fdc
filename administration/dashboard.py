"""The first page of the administration: a few numbers that say how things are now."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext

from billing import amounts
from billing.models import Reservation, UsageRecord
from routing.models import Channel


def figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The index page's context with its figures; today is the day in UTC."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    today = list(
        UsageRecord.objects.filter(started_at__gte=midnight)
        .order_by("currency")
        .values_list("currency")
        .annotate(Count("pk"), Sum("cost"))
    )
    held = list(
        Reservation.objects.order_by("balance__currency")
        .values_list("balance__currency")
        .annotate(Count("pk"), Sum("amount"))
    )
    disabled = Channel.objects.filter(status=Channel.Status.DISABLED).count()
    records = reverse("admin:billing_usagerecord_changelist")
    reservations = reverse("admin:billing_reservation_changelist")
    channels = reverse("admin:routing_channel_changelist")
    context["figures"] = [
        _figure(gettext("Requests today (UTC)"), records, _count(sum(row[1] for row in today))),
        _figure(gettext("Spent today (UTC)"), records, *(amounts.shown(row[2], row[0]) for row in today)),
        _figure(gettext("Open reservations"), reservations, _count(sum(row[1] for row in held))),
        _figure(gettext("Held now"), reservations, *(amounts.shown(row[2], row[0]) for row in held)),
        _figure(gettext("Disabled channels"), f"{channels}?status__exact=disabled", _count(disabled)),
    ]
    return context


def _figure(label: str, link: str, *lines: str) -> dict[str, Any]:
    return {"label": label, "link": link, "lines": lines or ("0",)}


def _count(number: int) -> str:
    return number_format(number, force_grouping=True)
