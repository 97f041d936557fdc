"""An operator's first month, as docs/runbook.md walks through it: from a sign-up to a refund, every sum in it equal."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.db.models import F, Sum
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from lxml import html
from pytest_django import Settings

from accounts import keys
from accounts.models import Tenant
from billing import alerts, grants, reconciliation
from billing.invoices import calendar, jobs
from billing.models import Balance, CreditNote, Invoice, LedgerEntry, LegalEntity, PaymentOrder, Price
from tests import payers
from tests.pages import Browser, Page
from tests.payers import StandIn
from tests.records import usage_record

DOLLAR = 10**9
PASSWORD = "a-long-enough-passphrase"
DANA = {"organisation": "Dana Ltd", "email": "dana@example.com", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture
def gateway(settings: Settings) -> Iterator[StandIn]:
    cache.clear()
    settings.TRIAL_CREDIT = "1"
    with payers.configured(settings) as stand_in:
        yield stand_in


def wallet() -> Balance:
    return Balance.objects.get(tenant__name="Dana Ltd", kind="wallet")


def told(gateway: StandIn, kind: str, about: dict[str, Any]) -> None:
    """The gateway tells of something, and is heard."""
    body = gateway.event(kind, about)
    headers = {"stripe-signature": payers.signed(body)}
    answer = Client().post(reverse("stripe_webhook"), body, content_type="application/json", headers=headers)
    assert answer.status_code == 200


def use(tenant: Tenant, price: Price, key: Any, cost: int) -> None:
    """A request, as the writer leaves it behind."""
    record = usage_record(tenant, price, key, cost=cost, started_at=timezone.now() - dt.timedelta(seconds=2))
    Balance.objects.filter(pk=record.legs[0]).update(available=F("available") - cost)


def mails_about(words: str) -> list[Any]:
    return [each for each in mail.outbox if words in each.subject]


def row(desk: Browser, name: str, pk: Any) -> Page:
    return desk.open(reverse(f"admin:billing_{name}_change", args=[pk]))


def test_operators_first_month(gateway: StandIn, browser: Browser, desk: Browser) -> None:
    # Before anybody comes, the operator says who sells, and what a model costs.
    LegalEntity.objects.create(name="Router Ltd", address="1 Main Street", country="VN", prefix="R", is_default=True)
    price = Price.objects.create(model="gpt-test", input=1_000_000_000, output=2_000_000_000)

    # A tenant signs up, and gets the trial credit once its owner's address is confirmed.
    browser.open(reverse("account_signup")).press("Sign Up", **DANA)
    tenant = Tenant.objects.get(name="Dana Ltd")
    assert wallet().available == 0
    browser.open(str(mail.outbox[-1].body).split("http://127.0.0.1:8000")[1].split()[0]).press("Confirm")
    assert wallet().available == DOLLAR

    # It tops up 20 dollars by card: the gateway's signed event credits them, however often it comes.
    browser.open(reverse("portal:topups")).press("Go on to the payment", amount="20", way="stripe")
    order = PaymentOrder.objects.get()
    gateway.pay(str(order.session_id))
    for _time in range(2):
        told(gateway, "checkout.session.completed", gateway.objects[str(order.session_id)])
    assert wallet().available == 21 * DOLLAR

    # It asks to be told below 5 dollars, uses 18, runs low, and is told.
    browser.open(reverse("portal:billing")).press("Save", threshold="5")
    key = keys.issue(tenant=tenant, name="production").api_key
    for cost in (10 * DOLLAR, 5 * DOLLAR + 1, 3 * DOLLAR - 1):
        use(tenant, price, key, cost)
    assert (wallet().available, alerts.send()) == (3 * DOLLAR, 1)

    # A code of the operator's brings 4 more, and the tenant is told that it is well again.
    page = desk.open(reverse("admin:billing_codebatch_add"))
    page = page.press("Save", label="Welcome", worth="4", currency="USD", number="1", per_tenant="1")
    [shown] = csv.DictReader(io.StringIO(html.document_fromstring(page.text).xpath("string(//pre)")))
    code = shown["code"]
    browser.open(reverse("portal:billing")).press("Redeem", code=code)
    assert (wallet().available, alerts.send(), alerts.send()) == (7 * DOLLAR, 1, 0)

    # The month is over: it closes, its statement is a draft to be looked at, and a day later it is final and mailed.
    ends_at = calendar.end_of(calendar.month_of(timezone.now(), tenant.time_zone), tenant.time_zone)
    jobs.everything(ends_at + dt.timedelta(hours=1))
    statement = Invoice.objects.get(tenant=tenant)
    assert statement.state == "draft"
    assert "DRAFT" in row(desk, "invoice", statement.pk).text
    mail.outbox.clear()
    jobs.everything(ends_at + dt.timedelta(days=2))
    statement.refresh_from_db()
    assert statement.state == "final"
    assert (statement.opening, statement.used, statement.closing) == (0, 18 * DOLLAR, 7 * DOLLAR)
    [sent] = mails_about(str(statement.number))
    assert sent.to == ["dana@example.com"]
    [(_name, pdf, kind)] = sent.attachments
    assert (kind, bytes(pdf)[:5]) == ("application/pdf", b"%PDF-")
    assert browser.get(reverse("portal:invoice_pdf", args=[statement.pk])).content == bytes(pdf)
    assert str(statement.number) in browser.open(reverse("portal:invoices")).text

    # An hour was bad: the operator credits 2.50 of it, once.
    place = max(range(len(statement.document["lines"])), key=lambda at: statement.document["lines"][at]["amount"])
    form = row(desk, "invoice", statement.pk).click("Issue a credit note")
    for _time in range(2):
        form.press("Issue the credit note", reason="an outage", effect="wallet", **{f"line_{place}": "2.50"})
    note = CreditNote.objects.get()
    assert (note.total, wallet().available) == (250, 9 * DOLLAR + DOLLAR // 2)

    # The tenant wants 5 dollars of its top-up back: asked for, approved, and sent by the gateway.
    page = row(desk, "paymentorder", order.pk).click("Refund")
    page = page.press("Ask for approval", amount="5", reason="too much").landed()
    page.click("Approve").press("Approve", reason="checked")
    assert [each["amount"] for each in gateway.refunds()] == [500]
    told(gateway, "charge.refunded", {"id": "ch_1", "object": "charge", "payment_intent": order_payment(order)})
    assert wallet().available == 4 * DOLLAR + DOLLAR // 2

    # The next month's statement begins where this one ended, and says all that happened since.
    following = calendar.end_of(calendar.following(statement.period.month), tenant.time_zone)
    jobs.everything(following + dt.timedelta(days=2))
    second = Invoice.objects.exclude(pk=statement.pk).get(tenant=tenant)
    assert (second.opening, second.used, second.closing) == (7 * DOLLAR, 0, 4 * DOLLAR + DOLLAR // 2)

    # Every sum is one: wallet, ledger and usage, statements, lots, exports, and what reconciliation compares.
    entries = LedgerEntry.objects.filter(balance=wallet()).aggregate(total=Sum("amount"))["total"]
    assert entries - 18 * DOLLAR == wallet().available == second.closing
    grants.draw(wallet(), timezone.now() + dt.timedelta(minutes=5))
    standing = grants.standing(wallet())
    assert standing.paid + standing.granted == wallet().available
    today = timezone.now().date()
    usage = browser.get(f"{reverse('portal:usage_csv')}?by=model&first={today:%Y-%m-01}&last={today}").content.decode()
    assert Decimal(usage.splitlines()[1].split(",")[-2]) == 18
    results = list(reconciliation.compared())
    assert [finding for result in results for finding in result.findings] == []
    assert sum(result.figures for result in results) > 5


def order_payment(order: PaymentOrder) -> str:
    order.refresh_from_db()
    return str(order.payment_id)
