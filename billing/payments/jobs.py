"""What goes on by itself: wallets that fill themselves, and whatever a process left half done."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Final

from django.utils import timezone

from accounts.errors import GatewayError
from billing.models import Gateway, PaymentAlarm, PaymentOrder
from billing.payments import alarms, automatic, events, gateways, orders, refunds

log = logging.getLogger(__name__)

AGAIN: Final = dt.timedelta(minutes=10)
"""Between two looks at an order that nobody has paid yet."""
_LAST: Final = dt.timedelta(days=2)
"""After an order has expired, a payment that nobody told of can still be found for so long."""
_AT_ONCE: Final = 50


def run() -> None:
    """Everything that is due; safe to run anywhere at the same time."""
    orders.expire_transfers()
    if gateways.takes_cards():
        automatic.run()
        refunds.send_due()
        look_at_orders()
    automatic.tell()


def look_at_orders() -> int:
    """Asks the gateway about open orders that no event has told of; returns how many were looked at."""
    now, looked = timezone.now(), 0
    due = PaymentOrder.objects.filter(gateway=Gateway.STRIPE, state=PaymentOrder.State.OPEN, look_at__lte=now)
    for order in due.select_related("tenant").order_by("look_at")[:_AT_ONCE]:
        mine = PaymentOrder.objects.filter(pk=order.pk, look_at=order.look_at).update(look_at=now + AGAIN)
        if not mine:
            continue
        looked += 1
        try:
            _look(order, now)
        except GatewayError as error:
            log.warning("order %s could not be looked at: %s", order.pk, error)
    return looked


def _look(order: PaymentOrder, now: dt.datetime) -> None:
    if order.session_id or order.payment_id:
        events.look(order)
    elif order.is_automatic and now < order.expires_at:
        automatic.charge(order)
    elif now >= order.expires_at:  # nobody was sent to pay it, or its charge cannot be asked for again
        _give_up(order)
    if order.expires_at + _LAST <= now:
        orders.end(order, PaymentOrder.State.EXPIRED)


def _give_up(order: PaymentOrder) -> None:
    if order.is_automatic:
        alarms.ring(
            PaymentAlarm.Kind.AUTOMATIC, gateway=order.gateway, reference=f"unknown:{order.pk}", order=order,
            detail="whether the card was charged is not known: look it up at the gateway",
        )  # fmt: skip
        automatic.fail(order, "the outcome of the charge is not known")
    else:
        orders.end(order, PaymentOrder.State.EXPIRED)
