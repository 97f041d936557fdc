"""What the card gateway tells us. An event is a hint: what is true is read again from the gateway, and booked.

So replays, events out of order and events that got lost change nothing: each leads to the same reading. What was read
is booked in one transaction with the event's id, so that an event is only taken for seen if it took effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Never

from django.db import IntegrityError, transaction

from billing.models import Gateway, PaymentAlarm, PaymentEvent, PaymentOrder
from billing.payments import alarms, automatic, checkout, disputes, orders, refunds, stripe_api
from billing.payments.errors import EventRefused
from billing.payments.stripe_api import Card, Disputed, Event, Payment, Refunded, Session

_SESSIONS: Final = frozenset({
    "checkout.session.completed", "checkout.session.expired", "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
})  # fmt: skip
_PAYMENTS: Final = frozenset({
    "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled",
})  # fmt: skip
_REFUNDS: Final = frozenset({
    "charge.refunded", "charge.refund.updated", "refund.created", "refund.updated", "refund.failed",
})  # fmt: skip
_DISPUTES: Final = frozenset({
    "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
})  # fmt: skip
Kind = PaymentAlarm.Kind


class Outcome(Enum):
    BOOKED = "booked"
    SEEN = "seen"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Truth:
    """What the gateway says of a payment now. `named` is the order that the payment itself names."""

    named: str = ""
    session: Session | None = None
    payment: Payment | None = None
    refunds: list[Refunded] = field(default_factory=list)
    dispute: Disputed | None = None
    card: Card | None = None


def receive(body: bytes, signature: str) -> Outcome:
    """Books a webhook's event.

    Raises BadSignature for one that Stripe did not sign, EventRefused (with an alarm) for one that contradicts our
    order, PaymentsAway if its payment cannot be read; then the gateway sends it again.
    """
    event = stripe_api.read_event(body, signature)
    if PaymentEvent.objects.filter(gateway=Gateway.STRIPE, external_id=event.id).exists():
        return Outcome.SEEN
    truth = read(event)
    if truth is None:
        return Outcome.IGNORED
    if truth.session is not None and truth.card is not None:
        return _book_card(event, truth.session, truth.card)
    order = _order(event, truth)
    if order is None:
        return Outcome.IGNORED
    return _book(event, order, truth)


def read(event: Event) -> Truth | None:
    """Asks the gateway about the event's object; None if it is nothing of ours. No transaction is open here."""
    name = str(event.object.get("id", ""))
    if event.type in _SESSIONS:
        return _of_session(stripe_api.session(name))
    if event.type in _PAYMENTS:
        payment = stripe_api.payment(name)
        return Truth(named=payment.order, payment=payment)
    if event.type in _DISPUTES:
        dispute = stripe_api.dispute(name)
        payment = stripe_api.payment(dispute.payment_id)
        return Truth(payment.order, payment=payment, refunds=stripe_api.refunds(payment.id), dispute=dispute)
    if event.type in _REFUNDS and event.object.get("payment_intent"):
        payment = stripe_api.payment(str(event.object["payment_intent"]))
        return Truth(named=payment.order, payment=payment, refunds=stripe_api.refunds(payment.id))
    return None


def look(order: PaymentOrder) -> None:
    """Reads an order's payment and books what is true, as an event would: for orders whose events got lost."""
    if order.session_id:
        truth = _of_session(stripe_api.session(order.session_id))
    elif order.payment_id:
        truth = Truth(payment=stripe_api.payment(order.payment_id))
    else:
        return
    if truth.payment is not None:
        orders.require_match(order, truth.payment)
    with transaction.atomic():
        _apply(order, truth)


def _of_session(session: Session) -> Truth:
    if session.mode == "setup":
        card = stripe_api.set_up_card(session.setup_id) if session.state == "complete" else None
        return Truth(session=session, card=card)
    payment = stripe_api.payment(session.payment_id) if session.payment_id else None
    return Truth(named=session.order, session=session, payment=payment)


def _order(event: Event, truth: Truth) -> PaymentOrder | None:
    """The order that the payment names; None for a payment that names none, which is not ours."""
    if not truth.named:
        return None
    order = orders.find(truth.named)
    if order is None:
        _refuse(Kind.UNKNOWN_ORDER, event.id, f"{event.type} names order {truth.named[:60]}, which is not here")
    if order.gateway != Gateway.STRIPE:
        _refuse(Kind.CROSSED, event.id, f"{event.type} names an order that is paid by {order.gateway}", order)
    if truth.payment is not None:
        orders.require_match(order, truth.payment)
    return order


def _refuse(kind: PaymentAlarm.Kind, reference: str, detail: str, order: PaymentOrder | None = None) -> Never:
    alarms.ring(kind, gateway=Gateway.STRIPE, reference=reference, detail=detail, order=order)
    raise EventRefused(detail)


def _book(event: Event, order: PaymentOrder, truth: Truth) -> Outcome:
    try:
        with transaction.atomic():
            _note(event, order)
            _apply(order, truth)
    except IntegrityError:
        if _is_noted(event):  # by another delivery at the same time
            return Outcome.SEEN
        raise
    return Outcome.BOOKED


def _book_card(event: Event, session: Session, card: Card) -> Outcome:
    with transaction.atomic():
        if not checkout.keep_card(customer_id=session.customer_id, card=card):
            return Outcome.IGNORED
        PaymentEvent.objects.get_or_create(
            gateway=Gateway.STRIPE, external_id=event.id, defaults={"type": event.type[:80]}
        )
    return Outcome.BOOKED


def _note(event: Event, order: PaymentOrder) -> None:
    PaymentEvent.objects.create(gateway=Gateway.STRIPE, external_id=event.id, type=event.type[:80], order=order)


def _is_noted(event: Event) -> bool:
    return PaymentEvent.objects.filter(gateway=Gateway.STRIPE, external_id=event.id).exists()


def _apply(order: PaymentOrder, truth: Truth) -> None:
    """Brings the order to what is true, in the caller's transaction. What is booked already stays as it is."""
    payment = truth.payment
    if payment is not None and payment.is_paid:
        orders.credit(order, payment_id=payment.id, received=payment.amount)
    elif truth.session is not None and truth.session.state == "expired":
        orders.end(order, PaymentOrder.State.EXPIRED)
    elif order.is_automatic and payment is not None and payment.has_failed:
        automatic.fail(order, "the card was declined")
    for refunded in truth.refunds:
        refunds.follow(order, refunded)
    if truth.dispute is not None:
        disputes.follow(order, truth.dispute)
        for refunded in truth.refunds:  # one that the dispute left no room for has some now if it was won
            refunds.follow(order, refunded)
