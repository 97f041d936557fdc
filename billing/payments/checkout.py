"""Going to the card gateway's own page: to pay an order, or to save a card for automatic top-ups."""

from __future__ import annotations

import secrets

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import Tenant, User
from billing.models import AutomaticTopUp, PaymentOrder, SavedCard
from billing.payments import orders, stripe_api
from billing.payments.errors import Declined, PaymentsAway


def begin(order: PaymentOrder, *, back: str, payer: User) -> str:
    """Opens a Checkout session for the order, after the order was committed; returns the address of its page.

    Raises PaymentsAway or Declined if there is none; then the order has failed.
    """
    card = SavedCard.objects.filter(tenant=order.tenant_id).first()
    try:
        session = stripe_api.open_session(
            order=str(order.pk), amount=order.pay_amount, currency=order.pay_currency, name=_("CostRouter credit"),
            back=back, customer=card.customer_id if card else None, email=payer.email,
            expires=int(order.expires_at.timestamp()),
        )  # fmt: skip
    except (PaymentsAway, Declined):
        orders.end(order, PaymentOrder.State.FAILED)
        raise
    PaymentOrder.objects.filter(pk=order.pk).update(session_id=session.id)
    return session.url


def begin_saving(tenant: Tenant, *, back: str, payer: User) -> str:
    """The address of the page on which a card is saved; raises PaymentsAway or Declined."""
    card, _is_new = SavedCard.objects.get_or_create(tenant=tenant)
    if not card.customer_id:
        customer = stripe_api.create_customer(name=tenant.name, email=payer.email, once=str(card.pk))
        SavedCard.objects.filter(pk=card.pk, customer_id=None).update(customer_id=customer)
        card.refresh_from_db()
    return stripe_api.open_setup(customer=str(card.customer_id), back=back, once=secrets.token_hex(16)).url


def keep_card(*, customer_id: str, card: stripe_api.Card) -> bool:
    """Notes what a setup has saved; returns whether the customer is one of ours.

    The card that was chosen last stays, in whatever order the events come; of two of one second always the same one.
    One that was taken away stays away when its event comes again.
    """
    ours = SavedCard.objects.filter(customer_id=customer_id)
    if not ours.exists():
        return False
    same_second = Q(saved_at=card.chosen_at, method_id__gt="", method_id__lt=card.method_id)
    ours.filter(Q(saved_at=None) | Q(saved_at__lt=card.chosen_at) | same_second).update(
        method_id=card.method_id, brand=card.brand[:40], last_four=card.last_four[-4:], saved_at=card.chosen_at
    )
    return True


def forget_card(tenant: Tenant) -> None:
    """Takes the card away, here first: with it, automatic top-ups end. When it was chosen stays known."""
    card = SavedCard.objects.filter(tenant=tenant).exclude(method_id="").first()
    if card is None:
        return
    with transaction.atomic():
        SavedCard.objects.filter(pk=card.pk).update(method_id="", brand="", last_four="")
        AutomaticTopUp.objects.filter(tenant=tenant).update(is_on=False)
    stripe_api.forget_card(card.method_id)
