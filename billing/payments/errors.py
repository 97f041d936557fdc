"""Why a payment's step is refused.

GatewayError (costrouter's)
    PaymentRefused          the message says what does not fit; nothing was changed
        NotConfigured       this installation does not take such payments
        EventRefused        an event that contradicts our order; alarmed
        BadSignature        nobody that we know has sent it
    PaymentsAway            the gateway cannot be reached or is in trouble; to be tried again
    Declined                the gateway's final no
"""

from __future__ import annotations

from accounts.errors import GatewayError


class PaymentRefused(GatewayError):
    status = 409
    type = "invalid_request_error"
    code = "payment_refused"


class NotConfigured(PaymentRefused):
    status = 404


class EventRefused(PaymentRefused):
    status = 400


class BadSignature(PaymentRefused):
    status = 400


class PaymentsAway(GatewayError):
    status = 503
    code = "payments_away"
    retriable = True


class Declined(GatewayError):
    """`payment_id` is the gateway's name for what it declined, where it made one."""

    status = 402
    code = "payment_declined"

    def __init__(self, message: str, *, payment_id: str = "") -> None:
        super().__init__(message)
        self.payment_id = payment_id
