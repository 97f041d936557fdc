"""Automatic top-ups: a wallet that runs low is filled from the saved card, within what its owner allowed.

One order is open at a time (a unique row says so), a month's orders never pass the ceiling, and after a declined charge
the wallet rests, longer each time, until it stops and its owners are told.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import GatewayError
from accounts.models import Member, Tenant, User
from billing import balances, letters
from billing.invoices import calendar
from billing.models import AutomaticTopUp, Gateway, PaymentAlarm, PaymentOrder, SavedCard
from billing.payments import alarms, gateways, orders, stripe_api, units
from billing.payments.errors import Declined, PaymentRefused

log = logging.getLogger(__name__)

RESTS: Final = (dt.timedelta(hours=1), dt.timedelta(hours=4), dt.timedelta(hours=16))
"""After the first, second and third declined charge in a row; the next one stops it."""
LEASE: Final = dt.timedelta(minutes=2)
"""How long one process has a charge to itself: longer than the gateway is waited for."""
REPEATABLE: Final = dt.timedelta(hours=20)
"""How long a charge may be asked for again by the same name; Stripe remembers it for a day."""
_SPENT: Final = ("open", "paid", "partly_refunded", "refunded")
_AT_ONCE: Final = 50


def set_up(
    tenant: Tenant, *, is_on: bool, threshold: int, amount: int, monthly_ceiling: int, by: User
) -> AutomaticTopUp:
    """Keeps what the tenant wants, in ledger units; whatever rest there was is over.

    Raises PaymentRefused for amounts that cannot be paid, a ceiling below one charge, or without a saved card.
    """
    if not orders.least(tenant.currency) <= amount <= orders.most(tenant.currency):
        raise PaymentRefused(_("This amount is outside of what can be topped up at once."))
    if amount % units.coin(tenant.currency):
        raise PaymentRefused(_("This amount is finer than the smallest coin."))
    if monthly_ceiling < amount:
        raise PaymentRefused(_("The monthly ceiling is less than one top-up."))
    if is_on and not SavedCard.objects.filter(tenant=tenant).exclude(method_id="").exists():
        raise PaymentRefused(_("Save a card first."))
    wanted = {"is_on": is_on, "threshold": threshold, "amount": amount, "monthly_ceiling": monthly_ceiling,
              "failures": 0, "rests_until": None, "is_mail_due": False, "changed_by": by,
              "changed_at": timezone.now()}  # fmt: skip
    row, _is_new = AutomaticTopUp.objects.update_or_create(tenant=tenant, defaults=wanted)
    return row


def run() -> int:
    """Charges for every wallet that has run low; returns how many orders were made. Safe to run anywhere at once."""
    if not gateways.takes_cards():
        return 0
    made = 0
    for top_up in _due(timezone.now()):  # all: a wallet whose month's ceiling is reached stays among them
        order = start(top_up)
        if order is None:
            continue
        made += 1
        try:
            charge(order)
        except GatewayError as error:
            log.warning("order %s waits: %s", order.pk, error)
        if made == _AT_ONCE:
            break
    return made


def _due(now: dt.datetime) -> QuerySet[AutomaticTopUp]:
    wallet = balances.wallets().filter(tenant=OuterRef("tenant_id"))
    open_ = PaymentOrder.objects.filter(is_automatic=True, state="open").values("tenant_id")
    return (
        AutomaticTopUp.objects.filter(Q(rests_until=None) | Q(rests_until__lte=now), is_on=True)
        .filter(tenant__status=Tenant.Status.ACTIVE, tenant__saved_card__method_id__gt="")
        .exclude(tenant_id__in=open_)
        .annotate(available=Subquery(wallet.values("available")[:1]))
        .filter(available__lt=F("threshold"))
        .select_related("tenant")
        .order_by("pk")
    )


def start(top_up: AutomaticTopUp) -> PaymentOrder | None:
    """A new order that closes the whole gap, if the wallet is still low and the ceiling leaves room; else None."""
    now = timezone.now()
    try:
        with transaction.atomic():
            locked = AutomaticTopUp.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=top_up.pk)
            amount = _amount(locked, now)
            if amount is None:
                return None
            return PaymentOrder.objects.create(
                tenant=locked.tenant, gateway=Gateway.STRIPE, is_automatic=True, created_at=now,
                pay_currency=locked.tenant.currency, pay_amount=units.to_coins(amount, locked.tenant.currency),
                credit_currency=locked.tenant.currency, credit_amount=amount, expires_at=now + REPEATABLE,
                look_at=now + LEASE,
            )  # fmt: skip
    except IntegrityError:
        return None  # somebody else's is open


def _amount(top_up: AutomaticTopUp, now: dt.datetime) -> int | None:
    """Ledger units to charge: what was agreed, more if the gap is wider, less if the month's ceiling is near."""
    is_resting = top_up.rests_until is not None and top_up.rests_until > now
    available = balances.open_wallet(top_up.tenant).available
    if not top_up.is_on or is_resting or available >= top_up.threshold:
        return None
    currency = top_up.tenant.currency
    wanted = max(top_up.amount, units.up_to_coin(top_up.threshold - available, currency))
    room = top_up.monthly_ceiling - charged_this_month(top_up.tenant, now)
    amount = min(wanted, room - room % units.coin(currency), orders.most(currency))
    return amount if amount >= orders.least(currency) else None


def charged_this_month(tenant: Tenant, now: dt.datetime) -> int:
    """Ledger units of automatic orders in the tenant's calendar month that were paid or still may be."""
    begins = calendar.begin_of(calendar.month_of(now, tenant.time_zone), tenant.time_zone)
    rows = PaymentOrder.objects.filter(tenant=tenant, is_automatic=True, created_at__gte=begins, state__in=_SPENT)
    return int(rows.aggregate(Sum("credit_amount"))["credit_amount__sum"] or 0)


def charge(order: PaymentOrder) -> None:
    """Charges the saved card for an open order, and books the answer. No transaction is open while Stripe is asked.

    Raises PaymentsAway if Stripe is away; the order stays open, and asking again by its name is the same charge.
    """
    card = SavedCard.objects.filter(tenant=order.tenant_id).first()
    if card is None or not card.method_id or not card.customer_id:
        fail(order, "there is no saved card")
        return
    try:
        payment = stripe_api.charge(
            order=str(order.pk), amount=order.pay_amount, currency=order.pay_currency, customer=card.customer_id,
            method=card.method_id,
        )  # fmt: skip
        if payment.has_failed:  # the card's bank wants its owner there, who is not
            stripe_api.cancel(payment.id)
    except Declined as error:
        fail(order, error.message)
        return
    PaymentOrder.objects.filter(pk=order.pk, payment_id=None).update(payment_id=payment.id)
    orders.require_match(order, payment)
    if payment.has_failed:
        fail(order, f"the charge was not completed: {payment.state}")
    elif payment.is_paid:
        orders.credit(order, payment_id=payment.id, received=payment.amount)


def fail(order: PaymentOrder, why: str) -> bool:
    """Ends an automatic order that was declined: the wallet rests, or stops for good. Returns whether it was open."""
    with transaction.atomic():
        top_up = AutomaticTopUp.objects.select_for_update().filter(tenant=order.tenant_id).first()
        if not orders.end(order, PaymentOrder.State.FAILED):
            return False
        if top_up is not None:
            _rest(top_up, order, why)
    return True


def _rest(top_up: AutomaticTopUp, order: PaymentOrder, why: str) -> None:
    top_up.failures += 1
    has_stopped = top_up.failures > len(RESTS)
    if has_stopped:
        top_up.is_on, top_up.is_mail_due, top_up.rests_until = False, True, None
        alarms.ring(
            PaymentAlarm.Kind.AUTOMATIC, gateway=order.gateway, reference=str(order.pk), order=order,
            detail=f"stopped after {top_up.failures} declined charges: {why}",
        )  # fmt: skip
    else:
        top_up.rests_until = timezone.now() + RESTS[top_up.failures - 1]
    top_up.save(update_fields=("failures", "is_on", "is_mail_due", "rests_until"))


def tell() -> int:
    """Mails the owners of wallets that no longer fill themselves; returns of how many. Who marks it first mails."""
    told = 0
    for top_up in AutomaticTopUp.objects.filter(is_mail_due=True).select_related("tenant")[:_AT_ONCE]:
        mine = AutomaticTopUp.objects.filter(pk=top_up.pk, is_mail_due=True).update(is_mail_due=False)
        owners = letters.members(top_up.tenant, (Member.Role.OWNER,))
        if mine and letters.tell(owners, "automatic", {}, tenant=top_up.tenant):
            told += 1
        elif mine:
            AutomaticTopUp.objects.filter(pk=top_up.pk).update(is_mail_due=True)
    return told
