"""Refunds: out of the wallet first, then to the payer; never more than was paid; back where the gateway refuses."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import User
from billing import grants, ledger
from billing.invoices import paying
from billing.invoices.finalising import InvoiceConflict
from billing.ledger import InsufficientFunds
from billing.models import Gateway, LedgerEntry, PaymentOrder, PaymentRefund
from billing.payments import orders, refunds, stripe_api
from billing.payments.errors import PaymentRefused, PaymentsAway
from tests.billing.invoices.customers import customer, seller
from tests.billing.payments.conftest import DOLLAR, alarms, entries, member, ordered, tell
from tests.bookkeeping import Account
from tests.payers import StandIn

PAID = ("top_up", 20 * DOLLAR)


def refund(order: PaymentOrder, amount: int, by: User, **options: Any) -> PaymentRefund:
    """Asked for, approved and sent."""
    made = refunds.request(order, amount=amount, reason="asked for it", by=by, **options)
    refunds.approve(made, by=by)
    made.refresh_from_db()
    refunds.send(made)
    made.refresh_from_db()
    return made


def state(order: PaymentOrder) -> tuple[str, int]:
    order.refresh_from_db()
    return order.state, order.refunded


def test_whole_refund_takes_all_that_was_credited(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    made = refund(paid, 2000, clerk)

    assert (made.state, made.taken, made.approved_by) == ("done", 20 * DOLLAR, clerk)
    assert entries(shop) == [PAID, ("refund", -20 * DOLLAR)]
    assert LedgerEntry.objects.get(kind="refund", balance=shop.wallet).reference == f"refund:{made.pk}"
    assert state(paid) == ("refunded", 2000)
    assert [(each["amount"], each["payment_intent"]) for each in gateway.refunds()] == [(2000, paid.payment_id)]


def test_card_that_paid_an_invoice_a_second_time_gets_its_money_back(gateway: StandIn, clerk: User) -> None:
    """Noted as paid while no order was there: the invoice is settled once, and what is left is the card's."""
    seller()
    one = customer(postpaid=True)
    ledger.set_credit_line(balance=one.wallet, credit_line=20 * DOLLAR)
    one.spend(20 * DOLLAR)
    invoice = one.final()
    paying.pay(invoice.pk, reason="bank 77", by=clerk)
    shop = Account(one.tenant, one.wallet, one.price())
    order = ordered(shop, member(shop))
    tell(gateway, "payment_intent.succeeded", gateway.pay(str(order.session_id)))
    order.refresh_from_db()

    made = refund(order, 2000, clerk)

    invoice.refresh_from_db()
    assert (made.state, invoice.state, shop.available) == ("done", "paid", 20 * DOLLAR)
    assert entries(shop) == [PAID, PAID, ("refund", -20 * DOLLAR)]
    with pytest.raises(InvoiceConflict):
        paying.pay_once(invoice.pk, reason="nothing is left", by=clerk)


def test_partial_refunds_add_up_to_the_unit(settings: Settings, gateway: StandIn, shop: Account, payer: User,
                                            clerk: User) -> None:  # fmt: skip
    settings.TOP_UP_BONUS_PERCENT = 7
    order = ordered(shop, payer, 10 * DOLLAR)
    tell(gateway, "payment_intent.succeeded", gateway.pay(str(order.session_id)))
    order.refresh_from_db()

    made = [refund(order, amount, clerk) for amount in (333, 333, 334)]

    assert [each.taken for each in made] == [3_330_000_000, 3_330_000_000, 3_340_000_000]
    assert sum(each.taken_bonus for each in made) == 700_000_000
    assert shop.available == 0
    assert state(order) == ("refunded", 1000)


def test_e14_refund_is_taken_from_its_own_top_up_and_from_the_gateways_cash(
    gateway: StandIn, paid: PaymentOrder, shop: Account, payer: User, clerk: User
) -> None:
    older = ledger.post(
        balance=shop.wallet, kind=LedgerEntry.Kind.GRANT, amount=DOLLAR, reference=f"older:{shop.tenant.pk}"
    )
    refund(paid, 500, clerk)
    grants.draw(shop.wallet, timezone.now() + dt.timedelta(minutes=5))

    top_up, taken = (LedgerEntry.objects.get(balance=shop.wallet, kind=kind) for kind in ("top_up", "refund"))
    assert (top_up.contra, taken.contra, taken.of) == ("cash_stripe", "cash_stripe", top_up)
    assert (grants.left_of(top_up), grants.left_of(older)) == (15 * DOLLAR, DOLLAR)
    assert grants.differences(of=shop.wallet) == []


def test_refund_that_fails_comes_back_from_the_gateways_cash(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    made = refund(paid, 500, clerk)
    sent = next(each for each in gateway.refunds())
    sent["status"] = "failed"
    tell(gateway, "refund.failed", sent)

    back = LedgerEntry.objects.get(reference=f"refund:{made.pk}:back")
    assert (back.kind, back.amount, back.contra) == ("adjustment", 5 * DOLLAR, "cash_stripe")


def test_partial_refund_leaves_the_rest_refundable(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    refund(paid, 500, clerk)

    assert state(paid) == ("partly_refunded", 500)
    assert (paid.refundable, shop.available) == (1500, 15 * DOLLAR)


@pytest.mark.parametrize("amount", [2001, 0, -1])
def test_p7_refund_above_what_was_paid_is_refused(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User, amount: int
) -> None:
    with pytest.raises(PaymentRefused):
        refunds.request(paid, amount=amount, reason="too much", by=clerk)

    assert (state(paid), entries(shop), gateway.refunds()) == (("paid", 0), [PAID], [])
    assert not paid.refunds.exists()


def test_p7_refund_above_what_is_left_is_refused(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    refunds.request(paid, amount=1500, reason="waits for approval", by=clerk)

    with pytest.raises(PaymentRefused):
        refunds.request(paid, amount=501, reason="too much", by=clerk)

    assert (state(paid), entries(shop)) == (("paid", 1500), [PAID])


def test_p7_database_refuses_more_than_was_paid(gateway: StandIn, paid: PaymentOrder) -> None:
    with pytest.raises(IntegrityError):
        PaymentOrder.objects.filter(pk=paid.pk).update(refunded=2001)
    with pytest.raises(IntegrityError):
        PaymentOrder.objects.filter(pk=paid.pk).update(refunded=1500, disputed=501)


def test_p7_large_refund_is_approved_by_another_operator(
    settings: Settings, gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User, boss: User
) -> None:
    settings.REFUND_APPROVAL_ABOVE = {"USD": "19.99", "VND": "1"}
    made = refunds.request(paid, amount=2000, reason="large", by=clerk)
    with pytest.raises(PaymentRefused):
        refunds.approve(made, by=clerk)
    made.refresh_from_db()
    assert (made.state, entries(shop)) == ("requested", [PAID])

    refunds.approve(made, by=boss)

    made.refresh_from_db()
    assert (made.state, made.approved_by, entries(shop)) == ("approved", boss, [PAID, ("refund", -20 * DOLLAR)])


def test_p7_refund_at_the_limit_needs_nobody_else(
    settings: Settings, gateway: StandIn, paid: PaymentOrder, clerk: User
) -> None:
    settings.REFUND_APPROVAL_ABOVE = {"USD": "20", "VND": "1"}
    assert refund(paid, 2000, clerk).state == "done"


def test_rejected_refund_can_be_asked_for_again(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User, boss: User
) -> None:
    made = refunds.request(paid, amount=2000, reason="no", by=clerk)

    refunds.reject(made, by=boss, reason="not agreed")

    made.refresh_from_db()
    assert (made.state, made.failure, state(paid), entries(shop)) == ("rejected", "not agreed", ("paid", 0), [PAID])
    assert refund(paid, 2000, clerk).state == "done"


@pytest.mark.parametrize("step", ["approve", "reject"])
def test_refund_that_was_decided_is_not_decided_again(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User, boss: User, step: str
) -> None:
    made = refund(paid, 500, clerk)
    options = {"reason": "late"} if step == "reject" else {}

    with pytest.raises(PaymentRefused):
        getattr(refunds, step)(made, by=boss, **options)

    assert (state(paid), entries(shop)) == (("partly_refunded", 500), [PAID, ("refund", -5 * DOLLAR)])


def test_p7_refund_that_the_gateway_refuses_is_given_back(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    gateway.give_back(str(paid.payment_id), 2000)  # in the dashboard, and nobody has told us

    made = refund(paid, 500, clerk)

    assert (made.state, "greater than unrefunded" in made.failure) == ("failed", True)
    assert entries(shop) == [PAID, ("refund", -5 * DOLLAR), ("adjustment", 5 * DOLLAR)]
    assert (state(paid), alarms(paid)) == (("paid", 0), ["refund"])


def test_refund_that_fails_later_is_given_back_once(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    made = refund(paid, 2000, clerk)
    (sent,) = gateway.refunds()
    sent |= {"status": "failed", "failure_reason": "expired_or_canceled_card"}

    for _time in range(2):
        tell(gateway, "refund.failed", sent)

    made.refresh_from_db()
    assert (made.state, made.failure) == ("failed", "expired_or_canceled_card")
    assert entries(shop) == [PAID, ("refund", -20 * DOLLAR), ("adjustment", 20 * DOLLAR)]
    assert state(paid) == ("paid", 0)


def test_pending_refund_is_done_when_the_gateway_says_so(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    made = refunds.request(paid, amount=2000, reason="slow", by=clerk)
    refunds.approve(made, by=clerk)
    sent = gateway.give_back(str(paid.payment_id), 2000, status="pending", refund=str(made.pk))
    tell(gateway, "refund.created", sent)
    made.refresh_from_db()
    assert (made.state, made.external_id, state(paid)) == ("sent", sent["id"], ("paid", 2000))
    assert made.look_at is not None
    assert dt.timedelta(minutes=59) < made.look_at - timezone.now() <= dt.timedelta(hours=1)

    sent["status"] = "succeeded"
    tell(gateway, "refund.updated", sent)

    made.refresh_from_db()
    assert (made.state, state(paid)) == ("done", ("refunded", 2000))
    assert entries(shop) == [PAID, ("refund", -20 * DOLLAR)]


def test_dashboard_refund_of_what_is_left_lets_a_waiting_one_stand(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    waiting = refunds.request(paid, amount=500, reason="waits", by=clerk)

    tell(gateway, "refund.created", gateway.give_back(str(paid.payment_id), 1500))

    waiting.refresh_from_db()
    assert (waiting.state, state(paid)) == ("requested", ("partly_refunded", 2000))


@pytest.mark.parametrize("type_", ["charge.refunded", "refund.created"])
def test_refund_made_in_the_dashboard_is_booked_once(
    gateway: StandIn, paid: PaymentOrder, shop: Account, type_: str
) -> None:
    sent = gateway.give_back(str(paid.payment_id), 800)

    for _time in range(2):
        tell(gateway, type_, {"id": "ch_1", "object": "charge", "payment_intent": paid.payment_id})
    tell(gateway, "refund.updated", sent)

    made = paid.refunds.get()
    assert (made.state, made.is_from_gateway, made.external_id) == ("done", True, sent["id"])
    assert entries(shop) == [PAID, ("refund", -8 * DOLLAR)]
    assert state(paid) == ("partly_refunded", 800)


@pytest.mark.parametrize("name", ["", "of another installation"], ids=["no name", "another name"])
def test_refund_that_bears_no_name_of_ours_is_booked_once(
    gateway: StandIn, paid: PaymentOrder, shop: Account, name: str
) -> None:
    sent = gateway.give_back(str(paid.payment_id), 800, refund=name)

    for _time in range(2):
        tell(gateway, "refund.created", sent)

    assert (entries(shop), state(paid)) == ([PAID, ("refund", -8 * DOLLAR)], ("partly_refunded", 800))


def test_reason_of_a_failed_refund_is_cut_to_its_column(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    made = refund(paid, 2000, clerk)
    (sent,) = gateway.refunds()
    sent |= {"status": "failed", "failure_reason": "x" * 400}

    tell(gateway, "refund.failed", sent)

    made.refresh_from_db()
    assert (made.state, made.failure) == ("failed", "x" * 300)


@pytest.mark.parametrize(
    ("ends", "amount", "left", "state_of_order"),
    [("succeeded", 800, [("refund", -8 * DOLLAR)], ("partly_refunded", 800)),
     ("succeeded", 2000, [("refund", -20 * DOLLAR)], ("refunded", 2000)),
     ("failed", 800, [("refund", -8 * DOLLAR), ("adjustment", 8 * DOLLAR)], ("paid", 0))],
    ids=["a part", "all", "in vain"],
)  # fmt: skip
def test_dashboard_refund_that_takes_its_time_is_looked_at_and_not_made_again(
    gateway: StandIn, paid: PaymentOrder, shop: Account, ends: str, amount: int, left: list[tuple[str, int]],
    state_of_order: tuple[str, int],
) -> None:  # fmt: skip
    """Stripe's balance was too low for it, say: it waits there for days."""
    sent = gateway.give_back(str(paid.payment_id), amount, status="pending")
    tell(gateway, "refund.created", sent)
    made = paid.refunds.get()
    _lease_is_over(made)
    assert refunds.send_due() == 1
    assert (len(gateway.refunds()), state(paid)) == (1, ("paid", amount))

    sent["status"] = ends
    _lease_is_over(made)
    assert refunds.send_due() == 1

    assert (entries(shop), len(gateway.refunds())) == ([PAID, *left], 1)
    assert state(paid) == state_of_order


def test_refund_that_the_gateway_does_not_list_for_a_moment_is_not_made_again(
    gateway: StandIn, paid: PaymentOrder, shop: Account
) -> None:
    sent = gateway.give_back(str(paid.payment_id), 800, status="pending")
    tell(gateway, "refund.created", sent)
    made = paid.refunds.get()
    del gateway.objects[sent["id"]]
    _lease_is_over(made)

    assert refunds.send_due() == 1

    made.refresh_from_db()
    assert (made.state, gateway.refunds(), entries(shop)) == ("sent", [], [PAID, ("refund", -8 * DOLLAR)])


def test_dashboard_refund_overdraws_because_the_money_has_left(
    gateway: StandIn, paid: PaymentOrder, shop: Account
) -> None:
    _spend(shop, 18 * DOLLAR)

    tell(gateway, "refund.created", gateway.give_back(str(paid.payment_id), 2000))

    assert shop.available == -18 * DOLLAR


def test_dashboard_refund_makes_waiting_ones_give_way(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    waiting = refunds.request(paid, amount=1500, reason="waits", by=clerk)

    tell(gateway, "refund.created", gateway.give_back(str(paid.payment_id), 2000))

    waiting.refresh_from_db()
    assert (waiting.state, state(paid)) == ("rejected", ("refunded", 2000))
    assert entries(shop) == [PAID, ("refund", -20 * DOLLAR)]


def test_e13_unpaid_order_is_not_refunded(gateway: StandIn, order: PaymentOrder, shop: Account, clerk: User) -> None:
    with pytest.raises(PaymentRefused):
        refunds.request(order, amount=1, reason="never paid", by=clerk)

    assert (state(order), entries(shop), order.refunds.count()) == (("open", 0), [], 0)


def test_e14_refund_of_what_was_spent_is_refused(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    _spend(shop, DOLLAR)
    made = refunds.request(paid, amount=2000, reason="spent", by=clerk)

    with pytest.raises(InsufficientFunds):
        refunds.approve(made, by=clerk)

    made.refresh_from_db()
    assert (made.state, shop.available, gateway.refunds()) == ("requested", 19 * DOLLAR, [])


def test_nobody_is_paid_back_out_of_credit(gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User) -> None:
    """The money is spent; that the wallet may go below zero does not bring it back."""
    ledger.set_credit_line(balance=shop.wallet, credit_line=20 * DOLLAR)
    _spend(shop, DOLLAR)
    made = refunds.request(paid, amount=2000, reason="spent", by=clerk)

    with pytest.raises(InsufficientFunds):
        refunds.approve(made, by=clerk)

    made.refresh_from_db()
    assert (made.state, shop.available) == ("requested", 39 * DOLLAR)


def test_refund_overdraws_where_the_operator_says_so(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    _spend(shop, DOLLAR)

    made = refund(paid, 2000, clerk, may_overdraw=True)

    assert (made.state, shop.available) == ("done", -DOLLAR)


def paid_with_bonus(settings: Settings, gateway: StandIn, shop: Account, payer: User) -> PaymentOrder:
    """An order of 20 dollars that brought two more."""
    settings.TOP_UP_BONUS_PERCENT = 10
    order = ordered(shop, payer)
    tell(gateway, "payment_intent.succeeded", gateway.pay(str(order.session_id)))
    order.refresh_from_db()
    return order


def test_bonus_is_taken_back_as_far_as_it_is_there(
    settings: Settings, gateway: StandIn, shop: Account, payer: User, clerk: User
) -> None:
    order = paid_with_bonus(settings, gateway, shop, payer)
    _spend(shop, DOLLAR * 3 // 2)

    made = refund(order, 2000, clerk)

    assert (made.taken, made.taken_bonus, shop.available) == (20 * DOLLAR, DOLLAR // 2, 0)


def test_bonus_that_was_taken_comes_back_with_a_refund_that_fails(
    settings: Settings, gateway: StandIn, shop: Account, payer: User, clerk: User
) -> None:
    order = paid_with_bonus(settings, gateway, shop, payer)
    refund(order, 2000, clerk)
    assert shop.available == 0
    (sent,) = gateway.refunds()

    sent["status"] = "failed"
    tell(gateway, "refund.failed", sent)

    assert entries(shop)[-2:] == [("adjustment", 20 * DOLLAR), ("adjustment", 2 * DOLLAR)]
    assert shop.available == 22 * DOLLAR


def test_dashboard_refund_that_failed_before_it_was_told_changes_nothing(
    gateway: StandIn, paid: PaymentOrder, shop: Account
) -> None:
    tell(gateway, "refund.failed", gateway.give_back(str(paid.payment_id), 500, status="failed"))

    assert (entries(shop), state(paid), paid.refunds.count()) == ([PAID], ("paid", 0), 0)


# --- a process that dies between two steps ---------------------------------------------------------------------------


def test_refund_waits_while_the_gateway_is_away(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    made = refunds.request(paid, amount=2000, reason="away", by=clerk)
    refunds.approve(made, by=clerk)
    made.refresh_from_db()
    gateway.is_away = True
    with pytest.raises(PaymentsAway):
        refunds.send(made)
    gateway.is_away = False
    assert refunds.send_due() == 0  # somebody may still be at it

    _lease_is_over(made)
    assert refunds.send_due() == 1

    made.refresh_from_db()
    assert (made.state, entries(shop)) == ("done", [PAID, ("refund", -20 * DOLLAR)])


def test_refund_that_was_sent_by_a_process_that_died_is_not_sent_again(
    gateway: StandIn, paid: PaymentOrder, shop: Account, clerk: User
) -> None:
    made = refunds.request(paid, amount=1000, reason="died", by=clerk)
    refunds.approve(made, by=clerk)
    sent = stripe_api.refund(payment_id=str(paid.payment_id), amount=1000, refund=str(made.pk))
    gateway._remembered.clear()  # and the gateway has forgotten the request's name meanwhile

    assert refunds.send_due() == 1

    made.refresh_from_db()
    assert (made.state, made.external_id, len(gateway.refunds())) == ("done", sent.id, 1)


def test_refund_of_a_transfer_is_made_by_hand(
    gateway: StandIn, bank: None, rate: Any, shop: Account, payer: User, clerk: User, boss: User
) -> None:
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)
    orders.credit(quote, payment_id="bank:FT1", received=quote.pay_amount)
    quote.refresh_from_db()
    made = refund(quote, quote.pay_amount, clerk)
    assert (made.state, entries(shop)) == ("approved", [PAID, ("refund", -20 * DOLLAR)])

    refunds.sent_by_hand(made, by=boss, reference="FT2")
    with pytest.raises(PaymentRefused, match="not waiting for a transfer"):
        refunds.sent_by_hand(made, by=clerk, reference="FT9")

    made.refresh_from_db()
    quote.refresh_from_db()
    assert (made.state, made.external_id, made.approved_by, quote.state) == (
        "done", "bank:FT2", clerk, "refunded",
    )  # fmt: skip


def test_one_transfer_back_is_noted_for_one_refund(
    gateway: StandIn, bank: None, rate: Any, shop: Account, payer: User, clerk: User
) -> None:
    quote = orders.place(tenant=shop.tenant, gateway=Gateway.BANK, amount=20 * DOLLAR, created_by=payer)
    orders.credit(quote, payment_id="bank:FT3", received=quote.pay_amount)
    quote.refresh_from_db()
    one, other = (refund(quote, 1000, clerk) for _time in range(2))
    refunds.sent_by_hand(one, by=clerk, reference="FT4")

    with pytest.raises(PaymentRefused):
        refunds.sent_by_hand(other, by=clerk, reference="FT4")

    other.refresh_from_db()
    assert other.state == "approved"


def _spend(shop: Account, amount: int) -> None:
    ledger.post(
        balance=shop.wallet, kind=LedgerEntry.Kind.ADJUSTMENT, amount=-amount, reference=f"spent:{shop.wallet.pk}"
    )


def _lease_is_over(made: PaymentRefund) -> None:
    before = timezone.now() - dt.timedelta(seconds=1)
    PaymentRefund.objects.filter(pk=made.pk).update(look_at=before)
