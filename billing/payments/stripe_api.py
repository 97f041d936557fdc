"""Stripe's objects as values. The only module that knows the `stripe` package, and that talks to the network.

Never called inside a transaction. Raises PaymentsAway where asking again may help, Declined where Stripe has said no
for good. Names of fields are those of https://docs.stripe.com/api.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

import stripe
from django.conf import settings

from billing.payments.errors import BadSignature, Declined, NotConfigured, PaymentsAway

ORDER: Final = "costrouter_order"
"""Under which a payment's metadata carry our order's id, so that it is found whatever was lost."""
REFUND: Final = "costrouter_refund"
TOLERANCE: Final = 300
"""Seconds between Stripe's signing of an event and its arrival."""
_TIMEOUT: Final = 15.0
_RETRIES: Final = 1
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    type: str
    object: dict[str, Any]
    """As the event tells it: which object it is about. What is true of it is asked for."""


@dataclass(frozen=True, slots=True)
class Session:
    """A Checkout session. `state` is open, complete or expired; `url` is where the payer goes."""

    id: str
    mode: str
    state: str
    url: str
    order: str
    payment_id: str
    customer_id: str
    setup_id: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment intent. `amount` is what was received, in coins; `order` is what its metadata name."""

    id: str
    state: str
    amount: int
    currency: str
    order: str

    @property
    def is_paid(self) -> bool:
        return self.state == "succeeded"

    @property
    def has_failed(self) -> bool:
        return self.state in {"requires_payment_method", "requires_action", "canceled"}


@dataclass(frozen=True, slots=True)
class Refunded:
    """A refund at Stripe. `state` is pending, requires_action, succeeded, failed or canceled."""

    id: str
    amount: int
    state: str
    refund: str
    """Our refund's id; empty for one that was made in Stripe's own dashboard."""
    failure: str


@dataclass(frozen=True, slots=True)
class Disputed:
    id: str
    payment_id: str
    amount: int
    state: str
    reason: str
    returned: int
    """Coins of it that its bank has given back."""

    @property
    def is_returned(self) -> bool:
        return self.returned >= self.amount


@dataclass(frozen=True, slots=True)
class Card:
    """`chosen_at` is when its owner typed it in, to the second."""

    method_id: str
    brand: str
    last_four: str
    chosen_at: dt.datetime


def read_event(body: bytes, signature: str) -> Event:
    """The event in a webhook's body; raises BadSignature unless Stripe has just signed exactly these bytes."""
    if not settings.STRIPE_WEBHOOK_SECRET.strip():
        raise NotConfigured("No webhook secret is set.")
    try:
        stripe.WebhookSignature.verify_header(body, signature, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE)
        event = _client().construct_event_without_verification(body)
        return Event(event.id, event.type, event.data.object.to_dict())
    except (stripe.SignatureVerificationError, ValueError, AttributeError, KeyError) as error:
        raise BadSignature("This is no event that Stripe has signed for us.") from error


def open_session(
    *, order: str, amount: int, currency: str, name: str, back: str, customer: str | None, email: str, expires: int
) -> Session:
    """A Checkout session that pays so many coins. The same order always gets the same session."""
    metadata = {ORDER: order}
    params: dict[str, Any] = {
        "mode": "payment",
        "payment_method_types": ["card"],
        # Another currency than the order's would be another sum.
        "adaptive_pricing": {"enabled": False},
        "line_items": [{
            "quantity": 1,
            "price_data": {
                "currency": currency.lower(), "unit_amount": amount, "product_data": {"name": name},
            },
        }],
        "client_reference_id": order,
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata},
        "expires_at": expires,
        "success_url": back,
        "cancel_url": back,
        **({"customer": customer} if customer else {"customer_email": email}),
    }  # fmt: skip
    return _asked(lambda client: _session(client.v1.checkout.sessions.create(params, _once(order))))  # type: ignore[arg-type]


def open_setup(*, customer: str, back: str, once: str) -> Session:
    """A Checkout session that saves a card of this customer."""
    params: dict[str, Any] = {
        "mode": "setup", "payment_method_types": ["card"], "customer": customer,
        "success_url": back, "cancel_url": back,
    }  # fmt: skip
    return _asked(lambda client: _session(client.v1.checkout.sessions.create(params, _once(once))))  # type: ignore[arg-type]


def session(id_: str) -> Session:
    return _asked(lambda client: _session(client.v1.checkout.sessions.retrieve(id_)))


def create_customer(*, name: str, email: str, once: str) -> str:
    """The id of a customer of this name."""
    return _asked(lambda client: client.v1.customers.create({"name": name, "email": email}, _once(once)).id)


def set_up_card(setup_id: str) -> Card:
    """The card that a setup saved."""

    def read(client: stripe.StripeClient) -> Card:
        method = client.v1.setup_intents.retrieve(setup_id).payment_method
        return _card(client.v1.payment_methods.retrieve(_id(method)))

    return _asked(read)


def forget_card(method_id: str) -> None:
    _asked(lambda client: client.v1.payment_methods.detach(method_id))


def payment(id_: str) -> Payment:
    return _asked(lambda client: _payment(client.v1.payment_intents.retrieve(id_)))


def charge(*, order: str, amount: int, currency: str, customer: str, method: str) -> Payment:
    """Charges a saved card with nobody there. Asked again for the same order, it is the same charge."""
    params: dict[str, Any] = {
        "amount": amount, "currency": currency.lower(), "customer": customer, "payment_method": method,
        "payment_method_types": ["card"], "off_session": True, "confirm": True, "metadata": {ORDER: order},
    }  # fmt: skip
    return _asked(lambda client: _payment(client.v1.payment_intents.create(params, _once(order))))  # type: ignore[arg-type]


def cancel(payment_id: str) -> Payment:
    """Calls a payment off that was not completed."""
    return _asked(lambda client: _payment(client.v1.payment_intents.cancel(payment_id)))


def refunds(payment_id: str) -> list[Refunded]:
    """Every refund of the payment, whoever made it."""
    return _asked(
        lambda client: [
            _refunded(each) for each in client.v1.refunds.list({"payment_intent": payment_id}).auto_paging_iter()
        ]
    )


def refund(*, payment_id: str, amount: int, refund: str) -> Refunded:
    """Gives so many coins of the payment back. Asked again for the same refund, it is the same one."""
    return _asked(
        lambda client: _refunded(
            client.v1.refunds.create(
                {"payment_intent": payment_id, "amount": amount, "metadata": {REFUND: refund}}, _once(refund)
            )
        )
    )


def dispute(id_: str) -> Disputed:
    return _asked(lambda client: _disputed(client.v1.disputes.retrieve(id_)))


@cache
def _client_of(secret: str, base: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        secret,
        base_addresses={"api": base},
        max_network_retries=_RETRIES,
        http_client=stripe.RequestsClient(timeout=_TIMEOUT),
    )


def _client() -> stripe.StripeClient:
    if not settings.STRIPE_SECRET_KEY:
        raise NotConfigured("This installation takes no card payments.")
    return _client_of(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


def _asked(question: Callable[[stripe.StripeClient], Result]) -> Result:
    """Stripe's answer, or its refusal in our words. What only a person can mend is tried again like an outage."""
    try:
        return question(_client())
    except stripe.CardError as error:
        raise Declined(error.user_message or "The card was declined.", payment_id=_failed_payment(error)) from error
    except stripe.IdempotencyError as error:
        raise PaymentsAway(f"Stripe remembers another request by this name: {error.user_message}") from error
    except stripe.InvalidRequestError as error:
        raise Declined(error.user_message or "Stripe refused the request.") from error
    except stripe.StripeError as error:
        raise PaymentsAway(f"Stripe is away: {type(error).__name__}") from error


def _failed_payment(error: stripe.CardError) -> str:
    intent = error.error.payment_intent if error.error is not None else None
    return intent.id if intent is not None else ""


def _once(name: str) -> Any:
    """https://docs.stripe.com/api/idempotent_requests: the name is remembered for a day at least."""
    return {"idempotency_key": name}


def _id(value: Any) -> str:
    """Of a field that holds an object or, mostly, only its id."""
    return "" if value is None else str(getattr(value, "id", value))


def _metadata(value: Any, name: str) -> str:
    found = getattr(value, "metadata", None)
    return str(found[name]) if found and name in found else ""


def _session(value: stripe.checkout.Session) -> Session:
    return Session(
        value.id, value.mode, value.status or "", value.url or "", _metadata(value, ORDER),
        _id(value.payment_intent), _id(value.customer), _id(value.setup_intent),
    )  # fmt: skip


def _payment(value: stripe.PaymentIntent) -> Payment:
    # A succeeded payment without the figure (older API versions leave it out) was received whole.
    received = getattr(value, "amount_received", None)
    amount = value.amount if received is None else received
    return Payment(value.id, value.status, amount, value.currency.upper(), _metadata(value, ORDER))


def _refunded(value: stripe.Refund) -> Refunded:
    failure = str(getattr(value, "failure_reason", None) or "")
    return Refunded(value.id, value.amount, value.status or "pending", _metadata(value, REFUND), failure)


def _disputed(value: stripe.Dispute) -> Disputed:
    return Disputed(
        value.id, _id(value.payment_intent), value.amount, value.status, value.reason, _returned(value)
    )  # fmt: skip


def _returned(value: stripe.Dispute) -> int:
    """All of a dispute that was won, else what was reinstated: banks also do that after a dispute was lost.

    Balance transactions are in the currency of the account. Where that is not the payment's, their sum is at another
    rate: what came back then is all of it.
    """
    back = [each for each in getattr(value, "balance_transactions", None) or () if each.amount > 0]
    if value.status == "won" or any(each.currency != value.currency for each in back):
        return value.amount
    return min(value.amount, sum(int(each.amount) for each in back))


def _card(value: stripe.PaymentMethod) -> Card:
    card = value.card
    chosen_at = dt.datetime.fromtimestamp(value.created, dt.UTC)
    return Card(value.id, str(getattr(card, "brand", "") or ""), str(getattr(card, "last4", "") or ""), chosen_at)
