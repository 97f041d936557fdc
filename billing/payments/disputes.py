"""Disputes: a payer's bank takes a payment back. The money leaves the wallet meanwhile, for good if it is lost."""

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
    """Books what the gateway says of a dispute, in the caller's transaction: taken once, given back once if won."""
    if disputed.state not in _WITHDRAWN:
        return
    locked = PaymentOrder.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=order.pk)
    dispute = PaymentDispute.objects.filter(external_id=disputed.id).first() or _take(locked, disputed)
    if disputed.state == "won":
        _give_back(locked, dispute)
    elif disputed.state == "lost":
        _close(dispute, State.LOST)


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
    detail = f"{disputed.amount} {order.pay_currency}: {disputed.reason}"
    transaction.on_commit(
        lambda: alarms.ring(
            PaymentAlarm.Kind.DISPUTE, gateway=order.gateway, reference=disputed.id, detail=detail, order=order
        )
    )
    return dispute


def _give_back(order: PaymentOrder, dispute: PaymentDispute) -> None:
    if not _close(dispute, State.WON):
        return
    PaymentOrder.objects.filter(pk=order.pk).update(disputed=F("disputed") - dispute.amount)
    if dispute.taken:
        ledger.post(
            balance=balances.open_wallet(order.tenant), kind=LedgerEntry.Kind.ADJUSTMENT, amount=dispute.taken,
            reference=f"dispute:{dispute.pk}:won", contra=entries.cash(order),
        )  # fmt: skip


def _close(dispute: PaymentDispute, state: PaymentDispute.State) -> bool:
    open_ = PaymentDispute.objects.filter(pk=dispute.pk, state=State.OPEN)
    return bool(open_.update(state=state, closed_at=timezone.now()))
