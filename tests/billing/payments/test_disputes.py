"""Disputes: the money leaves the wallet meanwhile, comes back if they are won, stays away if they are lost."""

from __future__ import annotations

import pytest

from accounts.models import User
from billing.models import PaymentOrder
from billing.payments import refunds
from billing.payments.errors import PaymentRefused
from tests.billing.payments.conftest import DOLLAR, alarms, entries, tell
from tests.bookkeeping import Account
from tests.payers import StandIn

PAID = ("top_up", 20 * DOLLAR)
TAKEN = ("refund", -20 * DOLLAR)


def test_disputed_amount_is_taken_once(gateway: StandIn, paid: PaymentOrder, shop: Account) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000)

    for type_ in ("charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.updated"):
        tell(gateway, type_, dispute)

    paid.refresh_from_db()
    assert entries(shop) == [PAID, TAKEN]
    assert (paid.disputed, paid.refundable, alarms(paid)) == (2000, 0, ["dispute"])
    assert paid.disputes.get().state == "open"


def test_won_dispute_is_given_back_once(gateway: StandIn, paid: PaymentOrder, shop: Account) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000)
    tell(gateway, "charge.dispute.created", dispute)
    dispute["status"] = "won"

    for type_ in ("charge.dispute.closed", "charge.dispute.funds_reinstated"):
        tell(gateway, type_, dispute)

    paid.refresh_from_db()
    assert entries(shop) == [PAID, TAKEN, ("adjustment", 20 * DOLLAR)]
    assert (paid.disputed, paid.refundable, paid.disputes.get().state) == (0, 2000, "won")


def test_lost_dispute_stays_taken(gateway: StandIn, paid: PaymentOrder, shop: Account) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000)
    tell(gateway, "charge.dispute.created", dispute)
    dispute["status"] = "lost"

    tell(gateway, "charge.dispute.closed", dispute)

    paid.refresh_from_db()
    assert (entries(shop), paid.disputed, paid.disputes.get().state) == ([PAID, TAKEN], 2000, "lost")


def test_refund_of_the_rest_of_a_disputed_order_takes_what_the_dispute_left(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    tell(gateway, "charge.dispute.created", gateway.take_back(str(paid.payment_id), 500))

    rest = refunds.request(paid, amount=1500, reason="asked for it", by=clerk)
    refunds.approve(rest, by=clerk)

    assert entries(shop) == [PAID, ("refund", -5 * DOLLAR), ("refund", -15 * DOLLAR)]


def test_dispute_told_only_at_its_end_is_taken_and_given_back(
    gateway: StandIn, paid: PaymentOrder, shop: Account
) -> None:
    tell(gateway, "charge.dispute.closed", gateway.take_back(str(paid.payment_id), 500, status="won"))

    assert entries(shop) == [PAID, ("refund", -5 * DOLLAR), ("adjustment", 5 * DOLLAR)]


@pytest.mark.parametrize("status", ["warning_needs_response", "warning_under_review", "warning_closed", "prevented"])
def test_inquiry_moves_no_money(gateway: StandIn, paid: PaymentOrder, shop: Account, status: str) -> None:
    tell(gateway, "charge.dispute.created", gateway.take_back(str(paid.payment_id), 2000, status=status))

    assert (entries(shop), paid.disputes.count(), alarms(paid)) == ([PAID], 0, [])


def test_dispute_told_before_its_payment_books_both(gateway: StandIn, order: PaymentOrder, shop: Account) -> None:
    intent = gateway.pay(str(order.session_id))

    tell(gateway, "charge.dispute.created", gateway.take_back(intent["id"], 2000))

    assert entries(shop) == [PAID, TAKEN]


def test_what_was_refunded_is_not_taken_again(gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User) -> None:
    refund = refunds.request(paid, amount=500, reason="before", by=clerk)
    refunds.approve(refund, by=clerk)

    tell(gateway, "charge.dispute.created", gateway.take_back(str(paid.payment_id), 2000))

    paid.refresh_from_db()
    assert entries(shop) == [PAID, ("refund", -5 * DOLLAR), ("refund", -15 * DOLLAR)]
    assert (paid.refunded, paid.disputed) == (500, 1500)


def test_disputed_money_is_not_refunded(gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User) -> None:
    tell(gateway, "charge.dispute.created", gateway.take_back(str(paid.payment_id), 1999))

    with pytest.raises(PaymentRefused):
        refunds.request(paid, amount=2, reason="too much", by=clerk)

    paid.refresh_from_db()
    assert (paid.refunded, paid.refunds.count()) == (0, 0)
