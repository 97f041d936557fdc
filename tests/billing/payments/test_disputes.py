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


def test_refund_that_waits_gives_way_to_a_dispute(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    """The bank has the money: what was only asked for does not keep it in the wallet."""
    waiting = refunds.request(paid, amount=2000, reason="asked for it", by=clerk)

    tell(gateway, "charge.dispute.created", gateway.take_back(str(paid.payment_id), 2000))

    paid.refresh_from_db()
    waiting.refresh_from_db()
    assert (entries(shop), waiting.state) == ([PAID, TAKEN], "rejected")
    assert (paid.refunded, paid.disputed, shop.available) == (0, 2000, 0)
    with pytest.raises(PaymentRefused):
        refunds.reject(waiting, by=clerk, reason="it is disputed")


def test_refund_that_a_dispute_leaves_room_for_goes_on_waiting(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    waiting = refunds.request(paid, amount=500, reason="asked for it", by=clerk)

    tell(gateway, "charge.dispute.created", gateway.take_back(str(paid.payment_id), 1500))

    waiting.refresh_from_db()
    assert (entries(shop), waiting.state) == ([PAID, ("refund", -15 * DOLLAR)], "requested")


@pytest.mark.parametrize("end", ["needs_response", "lost"])
def test_dispute_takes_what_a_refund_that_failed_brings_back(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User, end: str
) -> None:
    """Gateways refuse to refund what is disputed: the wallet must not keep what the bank has taken."""
    refund = refunds.request(paid, amount=500, reason="before", by=clerk)
    refunds.approve(refund, by=clerk)
    tell(gateway, "charge.dispute.created", gateway.take_back(str(paid.payment_id), 2000, status=end))
    failed = gateway.give_back(str(paid.payment_id), 500, status="failed", refund=str(refund.pk))

    for _time in range(2):
        tell(gateway, "refund.failed", failed)

    paid.refresh_from_db()
    taken = [("refund", -5 * DOLLAR), ("refund", -15 * DOLLAR), ("adjustment", 5 * DOLLAR), ("refund", -5 * DOLLAR)]
    assert (entries(shop), shop.available) == ([PAID, *taken], 0)
    assert (paid.refunded, paid.disputed, paid.refundable, paid.disputes.get().amount) == (0, 2000, 0, 2000)


def test_won_dispute_gives_back_all_that_it_has_taken(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    refund = refunds.request(paid, amount=500, reason="before", by=clerk)
    refunds.approve(refund, by=clerk)
    dispute = gateway.take_back(str(paid.payment_id), 2000)
    tell(gateway, "charge.dispute.created", dispute)
    tell(gateway, "refund.failed", gateway.give_back(str(paid.payment_id), 500, status="failed", refund=str(refund.pk)))
    dispute["status"] = "won"

    tell(gateway, "charge.dispute.closed", dispute)

    paid.refresh_from_db()
    assert (entries(shop)[-1], shop.available) == (("adjustment", 20 * DOLLAR), 20 * DOLLAR)
    assert (paid.disputed, paid.refundable) == (0, 2000)


def test_won_dispute_takes_nothing_of_a_refund_that_fails_later(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    refund = refunds.request(paid, amount=500, reason="before", by=clerk)
    refunds.approve(refund, by=clerk)
    tell(gateway, "charge.dispute.closed", gateway.take_back(str(paid.payment_id), 2000, status="won"))

    tell(gateway, "refund.failed", gateway.give_back(str(paid.payment_id), 500, status="failed", refund=str(refund.pk)))

    assert shop.available == 20 * DOLLAR
