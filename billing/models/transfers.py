"""Bank transfers: exchange rates as data, and the money that arrived."""

from __future__ import annotations

from typing import Any, Never

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from billing.models.base import AppendOnly
from billing.models.payments import PaymentOrder


class ExchangeRate(AppendOnly):
    """What one unit of a currency costs in another one, from a moment on, and who says so."""

    currency = models.CharField(_("one unit of"), max_length=3, choices=Tenant.Currency, default=Tenant.Currency.USD)
    in_currency = models.CharField(_("costs in"), max_length=3, choices=Tenant.Currency, default=Tenant.Currency.VND)
    rate = models.BigIntegerField(_("exchange rate"))
    """Ledger units of `in_currency`."""
    source = models.CharField(_("source"), max_length=120, help_text=_("Such as a bank's selling rate."))
    at = models.DateTimeField(_("time of the rate"), default=timezone.now)
    created_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("exchange rate")
        verbose_name_plural = _("exchange rates")
        ordering = ("-at", "-id")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(rate__gt=0) & ~models.Q(currency=models.F("in_currency")), name="billing_rate_sound"
            ),
        )

    def __str__(self) -> str:
        return f"{self.currency}/{self.in_currency}"


class BankTransfer(models.Model):
    """Money that the bank says has arrived, in the currency's minor units; matched with an order or waiting for it."""

    class State(models.TextChoices):
        MATCHED = "matched", _("matched")
        UNMATCHED = "unmatched", _("waiting for an operator")
        RETURNED = "returned", _("returned")

    class Doubt(models.TextChoices):
        NO_MEMO = "no_memo", _("no memo code in it")
        UNKNOWN_MEMO = "unknown_memo", _("no order has its memo code")
        LATE = "late", _("after the order had expired")
        UNDER = "under", _("less than the order asks for")
        OVER = "over", _("more than the order asks for")
        TWICE = "twice", _("its order was paid already")

    reference = models.CharField(_("reference"), max_length=120, unique=True)
    amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3, choices=Tenant.Currency)
    text = models.CharField(_("text"), max_length=300, blank=True)
    order = models.ForeignKey(
        PaymentOrder, models.PROTECT, null=True, blank=True, related_name="transfers", verbose_name=_("order")
    )
    state = models.CharField(_("state"), max_length=12, choices=State)
    doubt = models.CharField(_("doubt"), max_length=16, choices=Doubt, blank=True)
    note = models.CharField(_("note"), max_length=300, blank=True)
    handled_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("handled by")
    )
    handled_at = models.DateTimeField(_("handled at"), null=True, blank=True)
    arrived_at = models.DateTimeField(_("arrived at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("bank transfer")
        verbose_name_plural = _("bank transfers")
        ordering = ("-id",)
        constraints = (models.CheckConstraint(condition=models.Q(amount__gt=0), name="billing_transfer_amount"),)

    def __str__(self) -> str:
        return self.reference

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise ValidationError(_("This row is history and cannot be deleted."))
