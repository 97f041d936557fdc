"""Refunds: money that goes back. Asked for, approved and taken from the wallet, sent, done; or given back to it.

Every step is one short transaction that leaves the refund in a state from which the next one can be taken by anybody:

    requested   its amount is set aside on the order: nobody else can ask for it
    approved    the wallet has paid; the gateway is yet to be asked (`send`, outside of any transaction)
    sent        the gateway has taken it on
    done        the payer has it                    failed      the wallet has it back
                                                    rejected    nobody has moved anything

An order's row is locked first, its wallet after it.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Final

from django.db import transaction
from django.db.models import F, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from billing import balances, ledger
from billing.ledger import InsufficientFunds
from billing.models import Balance, Gateway, LedgerEntry, PaymentAlarm, PaymentOrder, PaymentRefund
from billing.money import from_decimal
from billing.payments import alarms, entries, orders, shares, stripe_api, units
from billing.payments.errors import Declined, PaymentRefused, PaymentsAway
from billing.payments.stripe_api import Refunded

log = logging.getLogger(__name__)
State = PaymentRefund.State
LEASE: Final = dt.timedelta(minutes=2)
"""How long one process has a refund to itself: longer than the gateway is waited for."""
LATER: Final = dt.timedelta(hours=1)
_FOLLOWED: Final = {
    "pending": State.SENT, "requires_action": State.SENT, "succeeded": State.DONE,
    "failed": State.FAILED, "canceled": State.FAILED,
}  # fmt: skip


def request(order: PaymentOrder, *, amount: int, reason: str, by: User, may_overdraw: bool = False) -> PaymentRefund:
    """Asks for `amount` coins of the order back.

    Raises PaymentRefused for an order that was not paid, or for more than was paid and has not been asked back.
    """
    with transaction.atomic():
        locked = _locked(order)
        _require_refundable(locked, amount)
        return _set_aside(locked, amount, reason=reason, requested_by=by, may_overdraw=may_overdraw)


def _require_refundable(order: PaymentOrder, amount: int) -> None:
    if not order.is_paid:
        raise PaymentRefused(_("This order was not paid: there is nothing to give back."))
    if not 0 < amount <= order.refundable:
        raise PaymentRefused(_("More than was paid and has not been given back yet."))


def _set_aside(order: PaymentOrder, amount: int, **fields: object) -> PaymentRefund:
    """A refund row with its share of what was credited."""
    share = shares.of(order, amount)
    PaymentOrder.objects.filter(pk=order.pk).update(refunded=F("refunded") + amount)
    return PaymentRefund.objects.create(
        order=order, amount=amount, taken=share.taken, taken_bonus=share.bonus, **fields
    )  # fmt: skip


def needs_another(refund: PaymentRefund) -> bool:
    """Whether it is so large that another operator than who asked for it has to approve (REFUND_APPROVAL_ABOVE)."""
    currency = refund.order.pay_currency
    limit = from_decimal(orders.settings_amount("REFUND_APPROVAL_ABOVE", currency), currency)
    return units.to_ledger(refund.amount, currency) > limit


def approve(refund: PaymentRefund, *, by: User) -> None:
    """Takes the money from the wallet; what the gateway does of it follows (`send`).

    Raises PaymentRefused if it is not waiting for approval or needs somebody else's, InsufficientFunds if the wallet
    has not got the money any more and the refund may not overdraw it. Nothing was changed then.
    """
    if needs_another(refund) and refund.requested_by_id == by.pk:
        raise PaymentRefused(_("A refund of this size is approved by another operator than who asked for it."))
    with transaction.atomic():
        locked = _locked(refund.order)
        now = timezone.now()
        is_mine = PaymentRefund.objects.filter(pk=refund.pk, state=State.REQUESTED).update(
            state=State.APPROVED, approved_by=by, look_at=now
        )
        if not is_mine:
            raise PaymentRefused(_("This refund is not waiting for approval."))
        _take(locked, refund, by)


def _take(order: PaymentOrder, refund: PaymentRefund, by: User | None) -> None:
    """Out of the wallet: what was credited for it, and of its bonus as much as is there."""
    wallet = Balance.objects.select_for_update().get(pk=balances.open_wallet(order.tenant).pk)
    own = wallet.available - wallet.credit_line  # nobody is paid back out of credit
    if not refund.may_overdraw and own < refund.taken:
        raise InsufficientFunds(_("The wallet has spent this money already."))
    name = f"refund:{refund.pk}"
    if refund.taken:
        ledger.post(
            balance=wallet, kind=LedgerEntry.Kind.REFUND, amount=-refund.taken, reference=name, note=refund.reason,
            created_by=by, contra=entries.cash(order), of=entries.top_up(order),
        )  # fmt: skip
    bonus = max(0, min(refund.taken_bonus, own - refund.taken))
    PaymentRefund.objects.filter(pk=refund.pk).update(taken_bonus=bonus)
    if bonus:
        ledger.post(
            balance=wallet, kind=LedgerEntry.Kind.ADJUSTMENT, amount=-bonus, reference=f"{name}:bonus",
            note=refund.reason, created_by=by, of=entries.bonus(order),
        )  # fmt: skip


def reject(refund: PaymentRefund, *, by: User, reason: str) -> None:
    """Ends a refund that nobody has approved; raises PaymentRefused if it is past that."""
    with transaction.atomic():
        order = _locked(refund.order)
        if not _close(refund, State.REJECTED, before=(State.REQUESTED,), failure=reason, approved_by=by):
            raise PaymentRefused(_("This refund is not waiting for approval."))
        shares.release(refund)
        shares.satisfy_disputes(order)


def send(refund: PaymentRefund) -> None:
    """Has the gateway give back what the wallet has paid. No transaction is open while it is asked.

    Whoever moves `look_at` has the refund for some minutes; before anything is sent the gateway is asked whether a
    process that died has sent it already. Raises PaymentsAway if the gateway is away: `send_due` tries again.
    """
    if not _lease(refund):
        return
    order = refund.order
    if order.gateway != Gateway.STRIPE:
        return  # an operator transfers it back by hand, and says so (`sent_by_hand`)
    payment_id, name = str(order.payment_id), str(refund.pk)
    try:
        # One that was made in the gateway's dashboard does not know our name for it.
        known = (
            each for each in stripe_api.refunds(payment_id) if each.refund == name or each.id == refund.external_id
        )
        sent = next(known, None)
        if sent is None and refund.external_id is not None:
            return  # it was made, whatever the gateway lists at the moment
        sent = sent or stripe_api.refund(payment_id=payment_id, amount=refund.amount, refund=name)
    except Declined as error:
        with transaction.atomic():
            _fail(refund, error.message)
        return
    with transaction.atomic():
        follow(order, sent)


def _lease(refund: PaymentRefund) -> bool:
    now = timezone.now()
    waiting = PaymentRefund.objects.filter(pk=refund.pk, state__in=(State.APPROVED, State.SENT), look_at__lte=now)
    return bool(waiting.update(look_at=now + LEASE))


def send_due() -> int:
    """Goes on with refunds that were left on their way; returns how many it has taken up."""
    due = PaymentRefund.objects.filter(
        state__in=(State.APPROVED, State.SENT), look_at__lte=timezone.now(), order__gateway=Gateway.STRIPE
    )
    taken = 0
    for refund in due.select_related("order__tenant").order_by("look_at")[:50]:
        try:
            send(refund)
            taken += 1
        except PaymentsAway as error:
            log.warning("refund %s waits: %s", refund.pk, error)
    return taken


def sent_by_hand(refund: PaymentRefund, *, by: User, reference: str) -> None:
    """Notes that an operator has transferred it back; who approved it stays.

    Raises PaymentRefused if it is not waiting for that, or for the reference of another refund.
    """
    name = f"bank:{reference}"
    with transaction.atomic():
        order = _locked(refund.order)
        if PaymentRefund.objects.filter(external_id=name).exclude(pk=refund.pk).exists():
            raise PaymentRefused(_("This reference was used for another entry."))
        if order.gateway != Gateway.BANK or not _close(refund, State.DONE, before=(State.APPROVED,), external_id=name):
            raise PaymentRefused(_("This refund is not waiting for a transfer."))
        log.info("refund %s was transferred back by user %d", refund.pk, by.pk)
        _restate(order)


def follow(order: PaymentOrder, sent: Refunded) -> None:
    """Brings our refund to what the gateway says of it; books one that was made there. In the caller's transaction."""
    locked = _locked(order)
    refund = _known(locked, sent)
    state = _FOLLOWED.get(sent.state, State.SENT)
    if refund is None and state == State.FAILED:
        return
    if refund is None:
        refund = _book_from_gateway(locked, sent)
    if refund is None:
        return
    if state == State.FAILED:
        _fail(refund, sent.failure or sent.state)
    elif state == State.DONE:
        _close(refund, State.DONE, before=(State.REQUESTED, State.APPROVED, State.SENT), external_id=sent.id)
    else:
        PaymentRefund.objects.filter(pk=refund.pk, state__in=(State.REQUESTED, State.APPROVED, State.SENT)).update(
            state=State.SENT, external_id=sent.id, look_at=timezone.now() + LATER
        )
    _restate(locked)


def _known(order: PaymentOrder, sent: Refunded) -> PaymentRefund | None:
    rows = list(order.refunds.filter(external_id=sent.id)[:1])
    if not rows and sent.refund:
        rows = [row for row in order.refunds.all() if str(row.pk) == sent.refund]
    return rows[0] if rows else None


def _book_from_gateway(order: PaymentOrder, sent: Refunded) -> PaymentRefund | None:
    """A refund that somebody made in the gateway's dashboard: the money has left, so the wallet may be overdrawn.

    What still waits for approval gives way to it. What a dispute has already is not taken once more: then None, with an
    alarm, until the dispute is won.
    """
    waiting = order.refunds.filter(state=State.REQUESTED).aggregate(total=Sum("amount", default=0))["total"]
    if sent.amount > order.refundable + waiting:
        detail = f"{sent.amount} {order.pay_currency} were refunded at the gateway, beyond what is left of the payment"
        _ring(order, sent.id, detail)
        return None
    shares.make_room(order, sent.amount, "refunded at the gateway")
    refund = _set_aside(
        order, sent.amount, reason="made at the gateway", is_from_gateway=True, may_overdraw=True, external_id=sent.id,
        state=State.SENT,
    )  # fmt: skip
    _take(order, refund, None)
    return refund


def _fail(refund: PaymentRefund, failure: str) -> None:
    """The payer does not get it, so the wallet gets it back, less what is disputed; in the caller's transaction."""
    order = _locked(refund.order)
    if not _close(refund, State.FAILED, before=(State.APPROVED, State.SENT, State.DONE), failure=failure[:300]):
        return
    refund.refresh_from_db()
    shares.release(refund)
    wallet, name = balances.open_wallet(order.tenant), f"refund:{refund.pk}"
    kind, cash = LedgerEntry.Kind.ADJUSTMENT, entries.cash(order)
    if refund.taken:
        ledger.post(balance=wallet, kind=kind, amount=refund.taken, reference=f"{name}:back", contra=cash)
    if refund.taken_bonus:
        ledger.post(balance=wallet, kind=kind, amount=refund.taken_bonus, reference=f"{name}:bonus:back")
    shares.satisfy_disputes(order)
    _restate(order)
    _ring(order, str(refund.pk), failure)


def _ring(order: PaymentOrder, reference: str, detail: str) -> None:
    alarms.ring(PaymentAlarm.Kind.REFUND, gateway=order.gateway, reference=reference, detail=detail, order=order)


def _close(refund: PaymentRefund, state: PaymentRefund.State, *, before: tuple[str, ...], **fields: object) -> bool:
    open_ = PaymentRefund.objects.filter(pk=refund.pk, state__in=before)
    return bool(open_.update(state=state, closed_at=timezone.now(), look_at=None, **fields))


def _restate(order: PaymentOrder) -> None:
    """The order's state after a refund was done or has failed."""
    done = order.refunds.filter(state=State.DONE).aggregate(Sum("amount"))["amount__sum"] or 0
    states = PaymentOrder.State
    state = states.PAID if not done else states.REFUNDED if done == order.received else states.PARTLY_REFUNDED
    PaymentOrder.objects.filter(Q(pk=order.pk), ~Q(received=0)).update(state=state)


def _locked(order: PaymentOrder) -> PaymentOrder:
    """The order as it is now, to oneself until the transaction ends."""
    return PaymentOrder.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=order.pk)
