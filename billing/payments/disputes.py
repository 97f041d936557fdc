"""Disputes: a payer's bank takes a payment back. The money leaves the wallet until the bank has given it back.

That may be long after the dispute was lost. What a dispute has taken it gives back once, and then it is over: a bank
that takes the money once more opens another one.
"""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from billing import balances, ledger
from billing.models import LedgerEntry, PaymentAlarm, PaymentDispute, PaymentOrder
from billing.payments import alarms, entries, shares
from billing.payments.stripe_api import Disputed

State = PaymentDispute.State
_WITHDRAWN: Final = frozenset({"needs_response", "under_review", "won", "lost"})
"""Of https://docs.stripe.com/api/disputes/object#dispute_object-status: before, it is an inquiry and no money moves."""


def follow(order: PaymentOrder, disputed: Disputed) -> None:
    """Books what the gateway says of a dispute, in the caller's transaction: taken once, given back once."""
    locked = PaymentOrder.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=order.pk)
    dispute = PaymentDispute.objects.filter(external_id=disputed.id).first()
    if dispute is None and disputed.state not in _WITHDRAWN:
        return
    dispute = dispute or _take(locked, disputed)
    if disputed.is_returned:
        _give_back(locked, dispute)
    elif disputed.state == "lost":
        _lose(locked, dispute, disputed)


def _take(order: PaymentOrder, disputed: Disputed) -> PaymentDispute:
    """Takes what was credited for the amount in question; what has been refunded already cannot be taken twice.

    What a refund has that fails later is taken then.
    """
    dispute = PaymentDispute.objects.create(
        order=order, external_id=disputed.id, claimed=disputed.amount, amount=0, taken=0, reason=disputed.reason[:60]
    )
    shares.make_room(order, disputed.amount, "disputed")
    shares.satisfy_disputes(order)
    dispute.refresh_from_db()
    _ring(order, disputed.id, f"{disputed.amount} {order.pay_currency}: {disputed.reason}")
    return dispute


def _give_back(order: PaymentOrder, dispute: PaymentDispute) -> None:
    """What it has taken; of that others get what they lack, since their banks have it."""
    if not _close(dispute, State.WON, before=(State.OPEN, State.LOST)):
        return
    PaymentOrder.objects.filter(pk=order.pk).update(disputed=F("disputed") - dispute.amount)
    if dispute.taken:
        ledger.post(
            balance=balances.open_wallet(order.tenant), kind=LedgerEntry.Kind.ADJUSTMENT, amount=dispute.taken,
            reference=f"dispute:{dispute.pk}:won", contra=entries.cash(order),
        )  # fmt: skip
    shares.satisfy_disputes(order)


def _lose(order: PaymentOrder, dispute: PaymentDispute, disputed: Disputed) -> None:
    """Its money stays away. What does not fit that is for a person to look at, and moves nothing."""
    if dispute.state == State.WON:
        _ring(order, f"{disputed.id}:lost", "lost after it was won")
    elif disputed.returned:
        part = f"{disputed.returned} of {disputed.amount} {order.pay_currency} were given back"
        _ring(order, f"{disputed.id}:part", part)
    _close(dispute, State.LOST, before=(State.OPEN,))


def _close(dispute: PaymentDispute, state: PaymentDispute.State, *, before: tuple[str, ...]) -> bool:
    rows = PaymentDispute.objects.filter(pk=dispute.pk, state__in=before)
    return bool(rows.update(state=state, closed_at=timezone.now()))


def _ring(order: PaymentOrder, reference: str, detail: str) -> None:
    transaction.on_commit(
        lambda: alarms.ring(
            PaymentAlarm.Kind.DISPUTE, gateway=order.gateway, reference=reference, detail=detail, order=order
        )
    )
