"""Payments: orders, what came back of them, what gateways told, and what an operator should look at."""

from __future__ import annotations

import uuid
from typing import Any, Never

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from billing.models.base import AppendOnly


class Gateway(models.TextChoices):
    """Who takes the money in. An order belongs to one for good."""

    STRIPE = "stripe", _("card (Stripe)")
    BANK = "bank", _("bank transfer")


class PaymentOrder(models.Model):
    """A top-up that somebody means to pay, and what became of it.

    What was asked for is written once: both sums, the rate between them and the gateway (PostgreSQL refuses changes by
    trigger). `pay_amount`, `received`, `refunded` and `disputed` are in the gateway's minor units, `credit_amount`,
    `bonus` and `credited` in ledger units. Changed only by `billing/payments/`.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        PAID = "paid", _("paid")
        EXPIRED = "expired", _("expired")
        FAILED = "failed", _("failed")
        PARTLY_REFUNDED = "partly_refunded", _("partly refunded")
        REFUNDED = "refunded", _("refunded")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="payment_orders", verbose_name=_("tenant"))
    gateway = models.CharField(_("gateway"), max_length=12, choices=Gateway)
    pay_currency = models.CharField(_("paid in"), max_length=3, choices=Tenant.Currency)
    pay_amount = models.BigIntegerField(_("to be paid"))
    credit_currency = models.CharField(_("credited in"), max_length=3, choices=Tenant.Currency)
    credit_amount = models.BigIntegerField(_("to be credited"))
    bonus = models.BigIntegerField(_("bonus"), default=0)
    rate = models.BigIntegerField(_("exchange rate"), null=True, blank=True)
    """Ledger units of the paid currency for one whole unit of the credited one; None where both are the same."""
    rate_source = models.CharField(_("source of the rate"), max_length=120, blank=True)
    rate_at = models.DateTimeField(_("time of the rate"), null=True, blank=True)
    is_automatic = models.BooleanField(_("automatic"), default=False)
    created_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires at"))
    memo = models.CharField(_("memo code"), max_length=12, unique=True, null=True, blank=True)
    """Of a bank transfer: what its payer writes into it."""

    state = models.CharField(_("state"), max_length=16, choices=State, default=State.OPEN)
    session_id = models.CharField(_("Checkout session"), max_length=120, unique=True, null=True, blank=True)
    payment_id = models.CharField(_("payment"), max_length=120, unique=True, null=True, blank=True)
    """The gateway's own name for the payment: a payment intent, or the reference of a transfer."""
    received = models.BigIntegerField(_("received"), default=0)
    credited = models.BigIntegerField(_("credited"), default=0)
    refunded = models.BigIntegerField(_("refunded"), default=0)
    """With refunds that are still on their way."""
    disputed = models.BigIntegerField(_("disputed"), default=0)
    """Of disputes that are open or lost."""
    paid_at = models.DateTimeField(_("paid at"), null=True, blank=True)
    look_at = models.DateTimeField(null=True, blank=True, editable=False)
    """When the job next asks the gateway about it; None: never again."""

    FROZEN = ("tenant_id", "gateway", "pay_currency", "pay_amount", "credit_currency", "credit_amount", "bonus", "rate",
              "rate_source", "rate_at", "is_automatic", "created_at", "memo")  # fmt: skip

    class Meta:
        verbose_name = _("payment order")
        verbose_name_plural = _("payment orders")
        ordering = ("-created_at",)
        indexes = (
            models.Index(fields=("tenant", "-created_at"), name="billing_order_tenant"),
            models.Index(fields=("look_at",), condition=models.Q(look_at__isnull=False), name="billing_order_look"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(pay_amount__gt=0, credit_amount__gt=0, bonus__gte=0), name="billing_order_amounts"
            ),
            models.CheckConstraint(
                condition=models.Q(refunded__gte=0, disputed__gte=0, credited__gte=0)
                & models.Q(received__gte=models.F("refunded") + models.F("disputed")),
                name="billing_order_at_most_what_was_paid",
            ),
            models.CheckConstraint(
                condition=models.Q(rate=None, pay_currency=models.F("credit_currency"))
                | models.Q(rate__gt=0, rate_at__isnull=False) & ~models.Q(pay_currency=models.F("credit_currency")),
                name="billing_order_rate_where_it_belongs",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=("open", "expired", "failed"), received=0, credited=0)
                | models.Q(state__in=("paid", "partly_refunded", "refunded"), received__gt=0, credited__gt=0),
                name="billing_order_paid_or_not",
            ),
            models.UniqueConstraint(
                fields=("tenant",),
                condition=models.Q(is_automatic=True, state="open"),
                name="billing_order_one_automatic",
            ),
        )

    def __str__(self) -> str:
        return self.memo or f"{self.id.hex[:8]}"

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise ValidationError(_("This row is history and cannot be deleted."))

    @property
    def is_paid(self) -> bool:
        return self.received > 0

    @property
    def refundable(self) -> int:
        """What was paid and has neither come back nor is asked back, in minor units."""
        return self.received - self.refunded - self.disputed


class PaymentRefund(models.Model):
    """Money that goes back to its payer. `amount` is in the gateway's minor units, `taken` in ledger units."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("requested")
        APPROVED = "approved", _("approved")
        SENT = "sent", _("sent")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        REJECTED = "rejected", _("rejected")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.ForeignKey(PaymentOrder, models.PROTECT, related_name="refunds", verbose_name=_("order"))
    amount = models.BigIntegerField(_("amount"))
    taken = models.BigIntegerField(_("taken from the wallet"))
    taken_bonus = models.BigIntegerField(_("bonus taken back"), default=0)
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.REQUESTED)
    reason = models.CharField(_("reason"), max_length=300)
    may_overdraw = models.BooleanField(
        _("may overdraw"), default=False, help_text=_("Also if the wallet has spent the money already.")
    )
    is_from_gateway = models.BooleanField(_("made at the gateway"), default=False)
    requested_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("requested by")
    )
    approved_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("approved by")
    )
    external_id = models.CharField(_("the gateway's name"), max_length=120, unique=True, null=True, blank=True)
    failure = models.CharField(_("failure"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    look_at = models.DateTimeField(null=True, blank=True, editable=False)
    """When the job next takes it up; whoever moves this has it to itself until then."""

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(amount__gt=0, taken__gte=0, taken_bonus__gte=0), name="billing_refund_amounts"
            ),
        )

    def __str__(self) -> str:
        return f"{self.order} -{self.amount}"


class PaymentDispute(models.Model):
    """A payment that its payer's bank took back, and what was decided."""

    class State(models.TextChoices):
        OPEN = "open", _("open")
        WON = "won", _("won")
        LOST = "lost", _("lost")

    order = models.ForeignKey(PaymentOrder, models.PROTECT, related_name="disputes", verbose_name=_("order"))
    external_id = models.CharField(_("the gateway's name"), max_length=120, unique=True)
    claimed = models.BigIntegerField(null=True, editable=False)
    """Coins that the bank took, by the gateway's word; null in rows of a former version."""
    amount = models.BigIntegerField(_("amount"))
    """Coins of them that are set aside on the order: what was refunded is not there to be taken."""
    taken = models.BigIntegerField(_("taken from the wallet"))
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.OPEN)
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    class Meta:
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(condition=models.Q(amount__gte=0, taken__gte=0), name="billing_dispute_amounts"),
        )

    def __str__(self) -> str:
        return self.external_id


class PaymentEvent(AppendOnly):
    """An event of a gateway that was booked, in the transaction of what it changed: a replay finds it here."""

    gateway = models.CharField(_("gateway"), max_length=12, choices=Gateway)
    external_id = models.CharField(_("the gateway's name"), max_length=120)
    type = models.CharField(_("type"), max_length=80)
    order = models.ForeignKey(
        PaymentOrder, models.PROTECT, null=True, blank=True, related_name="events", verbose_name=_("order")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("payment event")
        verbose_name_plural = _("payment events")
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("gateway", "external_id"), name="billing_payment_event_once"),)

    def __str__(self) -> str:
        return self.external_id


class PaymentAlarm(models.Model):
    """What an operator has to look at: money that does not fit what we know."""

    class Kind(models.TextChoices):
        CROSSED = "crossed", _("event of another gateway")
        UNKNOWN_ORDER = "unknown_order", _("payment for an order that is not known")
        MISMATCH = "mismatch", _("payment that differs from its order")
        CONFLICT = "conflict", _("one transfer told in two ways")
        REFUND = "refund", _("refund that failed")
        DISPUTE = "dispute", _("disputed payment")
        AUTOMATIC = "automatic", _("automatic top-up that stopped")

    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    gateway = models.CharField(_("gateway"), max_length=12, choices=Gateway)
    reference = models.CharField(_("reference"), max_length=120)
    order = models.ForeignKey(
        PaymentOrder, models.PROTECT, null=True, blank=True, related_name="alarms", verbose_name=_("order")
    )
    detail = models.CharField(_("detail"), max_length=300)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    closed_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("closed by")
    )
    note = models.CharField(_("note"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("payment alarm")
        verbose_name_plural = _("payment alarms")
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("kind", "reference"), name="billing_payment_alarm_once"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reference}"
