"""Orders: what is asked for, and the one way by which one is credited."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import Tenant, User
from billing import balances, ledger
from billing.models import AutomaticTopUp, Gateway, LedgerEntry, PaymentAlarm, PaymentOrder
from billing.money import from_decimal
from billing.payments import alarms, entries, gateways, memos, rates, units
from billing.payments.errors import EventRefused, NotConfigured, PaymentRefused
from billing.payments.stripe_api import Payment

CHECKOUT: Final = dt.timedelta(hours=1)
"""How long Stripe's page takes the payment; it allows half an hour to a day."""
FIRST_LOOK: Final = dt.timedelta(minutes=5)
"""After which the job asks for a payment that no event has told of."""
State = PaymentOrder.State
UNPAID: Final = (State.OPEN, State.EXPIRED, State.FAILED)


def offered() -> list[Gateway]:
    """The gateways by which a top-up can be paid here."""
    ways = {Gateway.STRIPE: gateways.takes_cards(), Gateway.BANK: gateways.takes_transfers()}
    return [gateway for gateway, is_on in ways.items() if is_on]


def least(currency: str) -> int:
    """Ledger units of the smallest top-up (settings.TOP_UP_MIN)."""
    return from_decimal(settings_amount("TOP_UP_MIN", currency), currency)


def most(currency: str) -> int:
    """Ledger units of the largest top-up (settings.TOP_UP_MAX)."""
    return from_decimal(settings_amount("TOP_UP_MAX", currency), currency)


def settings_amount(name: str, currency: str) -> Decimal:
    return Decimal(getattr(settings, name)[currency])


def place(*, tenant: Tenant, gateway: Gateway, amount: int, created_by: User | None) -> PaymentOrder:
    """A new order of `amount` ledger units for the tenant's wallet.

    Raises PaymentRefused for an amount outside the bounds or finer than a coin, or if there is no exchange rate;
    NotConfigured for a gateway that this installation does not have.
    """
    if gateway not in offered():
        raise NotConfigured(_("This way of paying is not offered here."))
    _require_payable(amount, tenant.currency)
    if gateway == Gateway.BANK:
        return _place_transfer(tenant, amount, created_by)
    now = timezone.now()
    return PaymentOrder.objects.create(
        **_sums(tenant, amount), tenant=tenant, gateway=gateway, pay_currency=tenant.currency,
        pay_amount=units.to_coins(amount, tenant.currency), created_by=created_by, created_at=now,
        expires_at=now + CHECKOUT, look_at=now + FIRST_LOOK,
    )  # fmt: skip


def _require_payable(amount: int, currency: str) -> None:
    if not least(currency) <= amount <= most(currency):
        raise PaymentRefused(_("This amount is outside of what can be topped up at once."))
    if amount % units.coin(currency):
        raise PaymentRefused(_("This amount is finer than the smallest coin."))


def _sums(tenant: Tenant, amount: int) -> dict[str, int | str]:
    bonus = units.down_to_coin(amount * settings.TOP_UP_BONUS_PERCENT // 100, tenant.currency)
    return {"credit_currency": tenant.currency, "credit_amount": amount, "bonus": bonus}


def _place_transfer(tenant: Tenant, amount: int, created_by: User | None) -> PaymentOrder:
    """A quote in dong, which holds until it expires."""
    now = timezone.now()
    fields = {**_sums(tenant, amount), **_price(tenant.currency, amount, now)}
    return PaymentOrder.objects.create(
        **fields, tenant=tenant, gateway=Gateway.BANK, pay_currency=Tenant.Currency.VND, memo=memos.new(),
        created_by=created_by, created_at=now, expires_at=now + dt.timedelta(minutes=settings.BANK_QUOTE_MINUTES),
    )  # fmt: skip


def _price(currency: str, amount: int, now: dt.datetime) -> dict[str, object]:
    if currency == Tenant.Currency.VND:
        return {"pay_amount": units.to_coins(amount, currency)}
    rate = rates.holding(currency, Tenant.Currency.VND, now)
    if rate is None:
        raise PaymentRefused(_("There is no exchange rate for a transfer at the moment. Please pay by card."))
    return {
        "pay_amount": units.price_in(amount, currency, Tenant.Currency.VND, rate.rate),
        "rate": rate.rate,
        "rate_source": rate.source,
        "rate_at": rate.at,
    }


def credit(order: PaymentOrder, *, payment_id: str, received: int, credited: int | None = None) -> bool:
    """Books that `received` coins were paid: the order's state and its ledger entries, in one transaction.

    Credits what the order asked for unless told otherwise, and of its bonus as much as that is of what it asked for.
    Returns whether this call did it: an order is paid once. A paid top-up also ends the rest of automatic ones.
    """
    amount = order.credit_amount if credited is None else credited
    with transaction.atomic():
        automatic = AutomaticTopUp.objects.select_for_update().filter(tenant=order.tenant_id)
        list(automatic)  # locked before the order, as everywhere
        is_mine = PaymentOrder.objects.filter(pk=order.pk, state__in=UNPAID).update(
            state=State.PAID, payment_id=payment_id, received=received, credited=amount, paid_at=timezone.now(),
            look_at=None,
        )  # fmt: skip
        if not is_mine:
            return False
        wallet, name = balances.open_wallet(order.tenant), entries.reference(order)
        kind = LedgerEntry.Kind.TOP_UP
        ledger.post(balance=wallet, kind=kind, amount=amount, reference=name, contra=entries.cash(order))
        share = order.bonus * amount // order.credit_amount
        bonus = min(order.bonus, units.down_to_coin(share, order.credit_currency))
        if bonus:
            name = entries.bonus_reference(order)
            ledger.post(balance=wallet, kind=LedgerEntry.Kind.GRANT, amount=bonus, reference=name)
        automatic.update(failures=0, rests_until=None)
    return True


def require_match(order: PaymentOrder, payment: Payment) -> None:
    """Raises EventRefused, with an alarm, for a paid payment that is not exactly what the order asks for.

    Called before the transaction that books it: an alarm outlives what it refuses.
    """
    difference = _difference(order, payment)
    if difference:
        alarms.ring(
            PaymentAlarm.Kind.MISMATCH, gateway=order.gateway, reference=payment.id, detail=difference, order=order
        )
        raise EventRefused(difference)


def _difference(order: PaymentOrder, payment: Payment) -> str:
    if not payment.is_paid:
        return ""
    if (payment.amount, payment.currency) != (order.pay_amount, order.pay_currency):
        return f"{payment.amount} {payment.currency} were paid, {order.pay_amount} {order.pay_currency} asked for"
    if payment.order != str(order.pk):
        return "the payment names another order"
    if order.is_paid and order.payment_id != payment.id:
        return "this is a second payment for an order that is paid"
    return ""


def end(order: PaymentOrder, state: PaymentOrder.State) -> bool:
    """Marks an open order as expired or failed; returns whether it was open. One that is paid stays so."""
    return bool(PaymentOrder.objects.filter(pk=order.pk, state=State.OPEN).update(state=state, look_at=None))


def expire_transfers() -> int:
    """Marks quotes whose time is over; returns how many."""
    due = PaymentOrder.objects.filter(gateway=Gateway.BANK, state=State.OPEN, expires_at__lte=timezone.now())
    return due.update(state=State.EXPIRED)


def find(name: str) -> PaymentOrder | None:
    """The order of this id, as a gateway's metadata spell it."""
    try:
        id_ = uuid.UUID(name)
    except ValueError:
        return None
    return PaymentOrder.objects.select_related("tenant").filter(pk=id_).first()
