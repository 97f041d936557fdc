"""Disputes: the money leaves the wallet meanwhile, comes back if they are won, stays away if they are lost."""

from __future__ import annotations

import pytest

from accounts.models import User
from billing.models import PaymentAlarm, PaymentOrder
from billing.payments import refunds
from billing.payments.errors import PaymentRefused
from tests.billing.payments.conftest import DOLLAR, alarms, entries, tell
from tests.bookkeeping import Account, race
from tests.payers import StandIn

PAID = ("top_up", 20 * DOLLAR)
TAKEN = ("refund", -20 * DOLLAR)
BACK = ("adjustment", 20 * DOLLAR)
CREATED, WITHDRAWN, UPDATED = (f"charge.dispute.{name}" for name in ("created", "funds_withdrawn", "updated"))
CLOSED, REINSTATED = "charge.dispute.closed", "charge.dispute.funds_reinstated"


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


@pytest.mark.parametrize(
    "told",
    [(CLOSED,), (REINSTATED,), (UPDATED,), (REINSTATED, CLOSED), (CLOSED, REINSTATED, UPDATED, CLOSED, REINSTATED)],
    ids=lambda told: "-".join(each.rpartition(".")[2] for each in told),
)
def test_dispute_that_was_lost_and_is_won_later_is_given_back_once(
    gateway: StandIn, paid: PaymentOrder, shop: Account, told: tuple[str, ...]
) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000)
    tell(gateway, CREATED, dispute)
    dispute["status"] = "lost"
    tell(gateway, CLOSED, dispute)
    dispute["status"] = "won"

    for type_ in told:
        tell(gateway, type_, dispute)

    paid.refresh_from_db()
    assert (entries(shop), shop.available) == ([PAID, TAKEN, BACK], 20 * DOLLAR)
    assert (paid.disputed, paid.refundable, paid.disputes.get().state) == (0, 2000, "won")


@pytest.mark.parametrize("currency", ["usd", "eur"])
def test_money_that_a_bank_gave_back_counts_whatever_the_dispute_is_called(
    gateway: StandIn, paid: PaymentOrder, shop: Account, currency: str
) -> None:
    """A gateway that counts in another currency than the payment's says how much only by its own rate."""
    dispute = gateway.take_back(str(paid.payment_id), 2000, status="lost")
    tell(gateway, CLOSED, dispute)
    gateway.reinstate(dispute, 2000 if currency == "usd" else 1834, currency=currency)

    for type_ in (REINSTATED, CLOSED):
        tell(gateway, type_, dispute)

    paid.refresh_from_db()
    assert (entries(shop), paid.disputed, paid.disputes.get().state) == ([PAID, TAKEN, BACK], 0, "won")


def test_part_that_a_bank_gave_back_is_for_a_person_to_book(
    gateway: StandIn, paid: PaymentOrder, shop: Account
) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000, status="lost")
    tell(gateway, CLOSED, dispute)
    gateway.reinstate(dispute, 500)

    for type_ in (REINSTATED, CLOSED):
        tell(gateway, type_, dispute)

    paid.refresh_from_db()
    assert (entries(shop), paid.disputed, paid.disputes.get().state) == ([PAID, TAKEN], 2000, "lost")
    told = PaymentAlarm.objects.filter(order=paid).order_by("id")
    assert [row.detail for row in told] == ["2000 USD: fraudulent", "500 of 2000 USD were given back"]


def test_dispute_that_is_lost_after_it_was_won_moves_nothing_and_is_alarmed(
    gateway: StandIn, paid: PaymentOrder, shop: Account
) -> None:
    """A bank that takes the money once more opens another dispute; a reading may also have been older than this one."""
    dispute = gateway.take_back(str(paid.payment_id), 2000, status="won")
    tell(gateway, CLOSED, dispute)
    dispute["status"] = "lost"

    for type_ in (UPDATED, CLOSED):
        tell(gateway, type_, dispute)

    paid.refresh_from_db()
    assert (entries(shop), shop.available, paid.disputes.get().state) == ([PAID, TAKEN, BACK], 20 * DOLLAR, "won")
    assert (paid.disputed, alarms(paid)) == (0, ["dispute", "dispute"])


@pytest.mark.parametrize("status", ["warning_closed", "prevented"])
def test_inquiry_that_took_money_and_gave_it_back_is_given_back(
    gateway: StandIn, paid: PaymentOrder, shop: Account, status: str
) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000)
    tell(gateway, CREATED, dispute)
    dispute["status"] = status
    tell(gateway, UPDATED, dispute)
    assert entries(shop) == [PAID, TAKEN]
    gateway.reinstate(dispute, 2000)

    tell(gateway, REINSTATED, dispute)

    assert (entries(shop), paid.disputes.get().state) == ([PAID, TAKEN, BACK], "won")


def test_inquiry_that_becomes_a_dispute_takes_then(gateway: StandIn, paid: PaymentOrder, shop: Account) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000, status="warning_needs_response")
    tell(gateway, CREATED, dispute)
    dispute["status"] = "needs_response"

    for type_ in (UPDATED, WITHDRAWN):
        tell(gateway, type_, dispute)

    assert (entries(shop), alarms(paid)) == ([PAID, TAKEN], ["dispute"])


def test_two_disputes_of_one_payment_take_and_give_back_what_each_has(
    gateway: StandIn, paid: PaymentOrder, shop: Account
) -> None:
    first = gateway.take_back(str(paid.payment_id), 1500)
    second = gateway.take_back(str(paid.payment_id), 2000)
    tell(gateway, CREATED, first)
    tell(gateway, CREATED, second)
    assert entries(shop) == [PAID, ("refund", -15 * DOLLAR), ("refund", -5 * DOLLAR)]
    second["status"] = "lost"
    tell(gateway, CLOSED, second)
    first["status"] = "won"

    for _time in range(2):
        tell(gateway, CLOSED, first)

    paid.refresh_from_db()
    given = [("adjustment", 15 * DOLLAR), ("refund", -15 * DOLLAR)]
    assert entries(shop)[3:] == given  # the bank has 20 of the second one still
    assert (paid.disputed, shop.available) == (2000, 0)
    second["status"] = "won"

    tell(gateway, REINSTATED, second)

    paid.refresh_from_db()
    assert (entries(shop)[5:], shop.available, paid.disputed) == ([BACK], 20 * DOLLAR, 0)


def test_lost_dispute_of_a_partly_refunded_payment_gives_back_what_it_took(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    refund = refunds.request(paid, amount=500, reason="before", by=clerk)
    refunds.approve(refund, by=clerk)
    dispute = gateway.take_back(str(paid.payment_id), 2000, status="lost")
    tell(gateway, CLOSED, dispute)
    dispute["status"] = "won"

    for type_ in (CLOSED, REINSTATED):
        tell(gateway, type_, dispute)

    paid.refresh_from_db()
    assert (entries(shop)[-1], shop.available) == (("adjustment", 15 * DOLLAR), 15 * DOLLAR)
    assert (paid.refunded, paid.disputed, paid.refundable) == (500, 0, 1500)


def test_what_is_given_back_can_be_refunded_and_disputed_again(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000, status="lost")
    tell(gateway, CLOSED, dispute)
    dispute["status"] = "won"
    tell(gateway, CLOSED, dispute)
    refund = refunds.request(paid, amount=500, reason="goodwill", by=clerk)
    refunds.approve(refund, by=clerk)

    tell(gateway, CREATED, gateway.take_back(str(paid.payment_id), 2000))

    paid.refresh_from_db()
    assert (shop.available, paid.refunded, paid.disputed) == (0, 500, 1500)
    assert sum(amount for _kind, amount in entries(shop)) == 0


@pytest.mark.parametrize("end", ["won", "lost"])
def test_refund_made_at_the_gateway_during_a_dispute_waits_for_its_end(
    gateway: StandIn, paid: PaymentOrder, shop: Account, end: str
) -> None:
    """The dispute has all that was paid: beside it there is nothing to book, and the webhook is not refused for it."""
    dispute = gateway.take_back(str(paid.payment_id), 2000)
    tell(gateway, CREATED, dispute)
    refund = gateway.give_back(str(paid.payment_id), 500)

    tell(gateway, "refund.created", refund)

    assert (entries(shop), paid.refunds.count(), alarms(paid)) == ([PAID, TAKEN], 0, ["dispute", "refund"])
    dispute["status"] = end

    for _time in range(2):
        tell(gateway, CLOSED, dispute)

    paid.refresh_from_db()
    expected = {"won": [BACK, ("refund", -5 * DOLLAR)], "lost": []}[end]
    assert (entries(shop)[2:], paid.refunded) == (expected, 500 if expected else 0)


def test_same_dispute_told_by_many_at_once_is_given_back_once(
    gateway: StandIn, paid: PaymentOrder, shop: Account
) -> None:
    dispute = gateway.take_back(str(paid.payment_id), 2000, status="lost")
    tell(gateway, CLOSED, dispute)
    dispute["status"] = "won"

    race(lambda _books: tell(gateway, REINSTATED, dispute), 6)

    assert (entries(shop), shop.available) == ([PAID, TAKEN, BACK], 20 * DOLLAR)
