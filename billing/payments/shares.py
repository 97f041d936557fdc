"""How an order's money is divided among what goes back, to the unit: refunds, and disputes, which come first.

A bank takes its money whatever is set aside for refunds: those that only wait give way to it, and what the gateway
refuses to refund, because it is disputed, is the dispute's. The callers have locked the order.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F, Sum
from django.utils import timezone

from billing import balances, ledger
from billing.models import LedgerEntry, PaymentDispute, PaymentOrder, PaymentRefund
from billing.payments import entries, units

_Refund, _Dispute = PaymentRefund.State, PaymentDispute.State


@dataclass(frozen=True, slots=True)
class Share:
    """Of what was credited for an order, and of its bonus; ledger units."""

    taken: int
    bonus: int


def of(order: PaymentOrder, amount: int) -> Share:
    """The share of `amount` coins that go back; the last ones have the whole rest."""
    gone = order.refunds.exclude(state__in=(_Refund.FAILED, _Refund.REJECTED)).aggregate(
        taken=Sum("taken", default=0), bonus=Sum("taken_bonus", default=0)
    )
    disputed = order.disputes.exclude(state=_Dispute.WON).aggregate(taken=Sum("taken", default=0))["taken"]
    given = entries.bonus(order)
    bonus = given.amount if given is not None else 0
    left, bonus_left = order.credited - gone["taken"] - disputed, bonus - gone["bonus"]
    if amount == order.refundable:
        return Share(left, bonus_left)
    return Share(
        min(left, units.share(amount, order.received, order.credited)),
        min(bonus_left, units.share(amount, order.received, bonus)),
    )


def make_room(order: PaymentOrder, amount: int, why: str) -> None:
    """Rejects refunds that wait for approval, the newest first, until `amount` coins fit."""
    for waiting in order.refunds.filter(state=_Refund.REQUESTED):
        if amount <= order.refundable:
            return
        PaymentRefund.objects.filter(pk=waiting.pk).update(
            state=_Refund.REJECTED, closed_at=timezone.now(), look_at=None, failure=why
        )
        release(waiting)
        order.refresh_from_db()


def release(refund: PaymentRefund) -> None:
    """What was set aside for a refund can be asked for again."""
    PaymentOrder.objects.filter(pk=refund.order_id).update(refunded=F("refunded") - refund.amount)


def satisfy_disputes(order: PaymentOrder) -> None:
    """Takes from the wallet what is free of the order, as far as disputes have not got all that the bank took."""
    lacking = order.disputes.exclude(state=_Dispute.WON).filter(claimed__gt=F("amount"))
    for dispute in lacking.order_by("pk"):
        order.refresh_from_db()
        amount = min((dispute.claimed or 0) - dispute.amount, order.refundable)
        if amount:
            _take(order, dispute, amount)


def _take(order: PaymentOrder, dispute: PaymentDispute, amount: int) -> None:
    """May overdraw the wallet: the money has left. The first entry has the dispute's name alone."""
    taken = of(order, amount).taken
    name = f"dispute:{dispute.pk}" + (f":{dispute.amount}" if dispute.amount else "")
    PaymentDispute.objects.filter(pk=dispute.pk).update(amount=F("amount") + amount, taken=F("taken") + taken)
    PaymentOrder.objects.filter(pk=order.pk).update(disputed=F("disputed") + amount)
    if taken:
        ledger.post(
            balance=balances.open_wallet(order.tenant), kind=LedgerEntry.Kind.REFUND, amount=-taken, reference=name,
            contra=entries.cash(order), of=entries.top_up(order),
        )  # fmt: skip
