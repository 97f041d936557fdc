"""What operators do about payments: refunds, transfers that do not fit, alarms, rates; with reasons, and audited."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import Model, Sum
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from accounts.models import Tenant, User
from billing import balances
from billing.models import (
    BankTransfer,
    ExchangeRate,
    Gateway,
    LedgerEntry,
    PaymentAlarm,
    PaymentOrder,
    PaymentRefund,
    SavedCard,
)
from billing.payments import orders, stripe_api
from tests import payers
from tests.pages import Browser, Page
from tests.payers import StandIn
from tests.records import payments

DOLLAR = 10**9


@pytest.fixture
def gateway(settings: Settings, db: None) -> Iterator[StandIn]:
    with payers.configured(settings) as stand_in:
        yield stand_in
    _books_add_up()


@pytest.fixture
def paid(gateway: StandIn, tenant: Tenant, alice: User) -> PaymentOrder:
    """20 dollars by card, credited."""
    order = orders.place(tenant=tenant, gateway=Gateway.STRIPE, amount=20 * DOLLAR, created_by=alice)
    intent = gateway.pay_elsewhere(amount=2000, currency="usd", metadata={stripe_api.ORDER: str(order.pk)})
    orders.credit(order, payment_id=intent["id"], received=2000)
    order.refresh_from_db()
    return order


@pytest.fixture
def quote(settings: Settings, tenant: Tenant, alice: User) -> PaymentOrder:
    settings.BANK_ACCOUNT = "1023456789"
    ExchangeRate.objects.create(rate=25_000_000_000, source="a bank")
    return orders.place(tenant=tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=alice)


@pytest.fixture
def transfer(quote: PaymentOrder) -> BankTransfer:
    """Half of what the quote asks for."""
    return BankTransfer.objects.create(
        reference="FT1", amount=250_000, currency="VND", state="unmatched", doubt="under", order=quote, text="half"
    )


def _books_add_up() -> None:
    """Of wallets that nothing was spent from; the proof itself needs a transaction of its own."""
    posted = dict(LedgerEntry.objects.order_by().values_list("balance").annotate(Sum("amount")))
    assert dict(balances.wallets().values_list("pk", "available")) == posted


def _open(desk: Browser, row: Model) -> Page:
    return desk.open(reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=(row.pk,)))


def _logged() -> list[str]:
    return [str(entry.get_change_message()) for entry in LogEntry.objects.order_by("id")]


def _ask(desk: Browser, order: PaymentOrder, amount: str = "5", **fields: str) -> Page:
    return _open(desk, order).click("Refund").press("Ask for approval", amount=amount, reason="asked for it", **fields)


def test_refund_is_asked_for_approved_and_sent(
    gateway: StandIn, desk: Browser, paid: PaymentOrder, operator: User
) -> None:
    page = _ask(desk, paid).landed()
    refund = PaymentRefund.objects.get()
    assert (refund.state, refund.amount, refund.requested_by, refund.reason) == (
        "requested", 500, operator, "asked for it",
    )  # fmt: skip

    page.click("Approve").press("Approve", reason="checked")

    refund.refresh_from_db()
    assert (refund.state, refund.approved_by) == ("done", operator)
    assert [each["amount"] for each in gateway.refunds()] == [500]
    assert LedgerEntry.objects.get(kind="refund").amount == -5 * DOLLAR
    assert _logged() == [
        "Added refund “5.00\N{NO-BREAK SPACE}USD: asked for it”.",
        "Changed state: requested \N{RIGHTWARDS ARROW} done and reason: checked.",
    ]


@pytest.mark.parametrize(("amount", "said"), [("20.01", "More than was paid"), ("0.005", "finer"), ("0", "positive")])
def test_p7_refund_that_cannot_be_is_refused(desk: Browser, paid: PaymentOrder, amount: str, said: str) -> None:
    answer = _ask(desk, paid, amount)

    assert (answer.status, said in answer.text, PaymentRefund.objects.count(), _logged()) == (200, True, 0, [])


def test_large_refund_waits_for_another_operator(
    settings: Settings, gateway: StandIn, desk: Browser, paid: PaymentOrder
) -> None:
    settings.REFUND_APPROVAL_ABOVE = {"USD": "1", "VND": "1"}
    page = _ask(desk, paid).landed()

    answer = page.click("Approve").press("Approve", reason="by myself")

    assert "approved by another operator" in answer.text
    assert (PaymentRefund.objects.get().state, gateway.refunds()) == ("requested", [])
    other = Browser(User.objects.create_superuser("otto@example.com"))
    other.open(answer.url).press("Approve", reason="checked")
    assert PaymentRefund.objects.get().state == "done"


def test_refund_is_rejected(gateway: StandIn, desk: Browser, paid: PaymentOrder) -> None:
    _ask(desk, paid).landed().click("Reject").press("Reject", reason="not agreed")

    paid.refresh_from_db()
    assert (PaymentRefund.objects.get().state, paid.refunded, gateway.refunds()) == ("rejected", 0, [])


def test_gateway_that_is_away_is_said(gateway: StandIn, desk: Browser, paid: PaymentOrder) -> None:
    page = _ask(desk, paid).landed()
    gateway.is_away = True

    answer = page.click("Approve").press("Approve", reason="checked").landed()

    assert "The gateway is away" in answer.text
    assert PaymentRefund.objects.get().state == "approved"


def test_transfer_is_matched_by_hand(
    desk: Browser, transfer: BankTransfer, quote: PaymentOrder, operator: User
) -> None:
    page = _open(desk, transfer).click("Match with an order")
    assert page.values("Match with an order")["memo"] == [quote.memo]

    page.press("Match with an order", credited="received", reason="paid half")

    transfer.refresh_from_db()
    assert (transfer.state, transfer.handled_by, transfer.note) == ("matched", operator, "paid half")
    assert LedgerEntry.objects.get(kind="top_up").amount == 10 * DOLLAR
    assert _logged() == [
        (
            f"Changed state: unmatched \N{RIGHTWARDS ARROW} matched, memo: {quote.memo}, credited: received "
            "and reason: paid half."
        )
    ]
    _books_add_up()


@pytest.mark.parametrize("memo", ["CRAAAAAAAA", "", "CR3333333" + "X"])
def test_transfer_is_not_matched_with_a_code_of_no_order(desk: Browser, transfer: BankTransfer, memo: str) -> None:
    answer = _open(desk, transfer).click("Match with an order").press("Match with an order", memo=memo, reason="x")

    transfer.refresh_from_db()
    assert (answer.status, transfer.state, LedgerEntry.objects.filter(kind="top_up").count()) == (200, "unmatched", 0)


def test_transfer_is_marked_as_returned(desk: Browser, transfer: BankTransfer) -> None:
    _open(desk, transfer).click("Mark as returned").press("Mark as returned", reason="sent back")

    transfer.refresh_from_db()
    assert (transfer.state, transfer.note) == ("returned", "sent back")
    again = _open(desk, transfer).click("Mark as returned").press("Mark as returned", reason="again")
    assert "dealt with already" in again.text


def test_alarm_is_closed_with_a_reason(desk: Browser, operator: User) -> None:
    alarm = PaymentAlarm.objects.create(kind="mismatch", gateway="stripe", reference="pi_1", detail="x")
    assert "Open payment alarms" in desk.open("/admin/").text

    _open(desk, alarm).click("Close the alarm").press("Close the alarm", reason="asked the payer")

    alarm.refresh_from_db()
    assert (alarm.closed_by, alarm.note, alarm.closed_at is None) == (operator, "asked the payer", False)


def _enter(desk: Browser, price: str, **fields: object) -> Page:
    page = desk.open(reverse("admin:billing_exchangerate_add"))
    return page.press("Save", price=price, source="a bank", **fields)


def test_rate_is_entered_with_its_source(desk: Browser, operator: User) -> None:
    _enter(desk, "25500.5")

    rate = ExchangeRate.objects.get()
    assert (rate.currency, rate.in_currency, rate.rate, rate.source, rate.created_by) == (
        "USD", "VND", 25_500_500_000, "a bank", operator,
    )  # fmt: skip


@pytest.mark.parametrize("price", ["0", "-1", "25500.1234567", ""])
def test_rate_that_cannot_be_is_refused(desk: Browser, price: str) -> None:
    assert _enter(desk, price).status == 200
    assert ExchangeRate.objects.count() == 0


@pytest.mark.parametrize(("price", "count"), [("23750", 2), ("26250", 2), ("26250.1", 1), ("2500", 1)])
def test_rate_that_leaps_is_asked_for_once_more(desk: Browser, price: str, count: int) -> None:
    ExchangeRate.objects.create(rate=25_000_000_000, source="a bank")

    _enter(desk, price)
    assert ExchangeRate.objects.count() == count

    _enter(desk, "2500", is_confirmed=True)
    assert ExchangeRate.objects.count() == count + 1


def test_first_rate_after_a_gap_is_compared_with_the_last_one(desk: Browser) -> None:
    """A lost digit would sell a thousand dollars for those of a coffee, and transfers are credited by themselves."""
    ExchangeRate.objects.create(rate=25_000_000_000, source="a bank", at=timezone.now() - dt.timedelta(days=30))

    assert "five percent" in _enter(desk, "25.5").text
    assert ExchangeRate.objects.count() == 1
    _enter(desk, "25500")
    assert ExchangeRate.objects.count() == 2


def test_rate_to_itself_is_refused(desk: Browser) -> None:
    assert "same currency" in _enter(desk, "1", in_currency="USD").text
    assert ExchangeRate.objects.count() == 0


def test_no_page_shows_a_secret(settings: Settings, gateway: StandIn, desk: Browser, tenant: Tenant) -> None:
    settings.BANK_WEBHOOK_SECRET = "a-secret-of-the-bank-0123"
    SavedCard.objects.create(tenant=tenant, customer_id="cus_alice", method_id="pm_alice", brand="visa",
                             last_four="4242")  # fmt: skip
    pages = [_open(desk, row).text for row in payments(tenant)]

    secrets = (payers.KEY, payers.SECRET, settings.BANK_WEBHOOK_SECRET, "pm_alice", "cus_alice")
    assert [secret for secret in secrets for page in pages if secret in page] == []


@pytest.mark.parametrize("name", ["paymentorder", "paymentrefund", "banktransfer", "paymentevent", "paymentalarm"])
def test_lists_take_the_same_queries_for_many_rows(
    desk: Browser, tenant: Tenant, stranger_tenant: Tenant, name: str,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:  # fmt: skip
    for each in (tenant, stranger_tenant):
        payments(each)
    with django_assert_max_num_queries(12):
        assert desk.open(reverse(f"admin:billing_{name}_changelist")).status == 200


@pytest.mark.parametrize(
    ("name", "deed"),
    [("paymentorder", "refund"), ("paymentrefund", "approve"), ("paymentrefund", "reject"),
     ("banktransfer", "match"), ("banktransfer", "mark_returned"), ("paymentalarm", "close")],
)  # fmt: skip
def test_staff_without_the_permission_decides_nothing(tenant: Tenant, name: str, deed: str) -> None:
    rows = {row._meta.model_name: row for row in payments(tenant)}
    helper = Browser(User.objects.create_user("henry@example.com", is_staff=True))

    assert helper.forge(f"/admin/billing/{name}/{rows[name].pk}/{deed}/", {"reason": "x"}).status == 403

    assert (LogEntry.objects.count(), PaymentRefund.objects.get().state) == (0, "requested")
