"""Exchange rates: rows that operators enter. The newest one that has begun holds."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.utils import timezone

from billing.models import ExchangeRate

LONGEST: Final = dt.timedelta(days=7)
"""A rate that nobody has renewed for so long is not sold at any more."""


def latest(currency: str, in_currency: str) -> ExchangeRate | None:
    """The newest rate that has begun, however old it is: what the next one is compared with."""
    rows = ExchangeRate.objects.filter(currency=currency, in_currency=in_currency, at__lte=timezone.now())
    return rows.order_by("-at", "-id").first()


def holding(currency: str, in_currency: str, now: dt.datetime | None = None) -> ExchangeRate | None:
    """The rate at this moment; None if there is none, or only an old one."""
    at = now or timezone.now()
    rows = ExchangeRate.objects.filter(currency=currency, in_currency=in_currency, at__lte=at, at__gt=at - LONGEST)
    return rows.order_by("-at", "-id").first()
