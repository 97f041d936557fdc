"""The first page: how things are."""

from __future__ import annotations

import uuid

from django.utils import timezone

from accounts.models import Tenant
from billing.models import Reservation, UsageRecord
from tests.pages import Browser


def test_first_page_shows_how_things_are(desk: Browser, tenant: Tenant) -> None:
    page = desk.open("/admin/").text
    assert [label in page for label in ("Requests today", "Spent today", "Open reservations", "Disabled channels")] == [
        True
    ] * 4


def test_first_page_counts_what_is_open(desk: Browser, record: UsageRecord) -> None:
    Reservation.objects.create(
        id=uuid.uuid4(), balance=record.balance, amount=7, owner=uuid.uuid4(), tenant_id=record.tenant_id,
        api_key_id=record.api_key_id, endpoint="chat.completions", model="demo-small", price_id=record.price_id,
        created_at=timezone.now(),
    )  # fmt: skip
    page = desk.open("/admin/").text
    assert "0.0007876\N{NO-BREAK SPACE}USD" in page
    assert "0.000000007\N{NO-BREAK SPACE}USD" in page
