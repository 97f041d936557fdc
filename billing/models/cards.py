"""Saved cards, and the automatic top-ups that are charged to them."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User


class SavedCard(models.Model):
    """The tenant as the card gateway knows it, and the card that may be charged without anybody there.

    The card itself is with the gateway; here are its names and what people recognise it by.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.OneToOneField(Tenant, models.PROTECT, related_name="saved_card", verbose_name=_("tenant"))
    customer_id = models.CharField(_("customer"), max_length=120, unique=True, null=True, blank=True)
    method_id = models.CharField(_("payment method"), max_length=120, blank=True)
    brand = models.CharField(_("brand"), max_length=40, blank=True)
    last_four = models.CharField(_("last four"), max_length=4, blank=True)
    saved_at = models.DateTimeField(_("saved at"), null=True, blank=True)

    class Meta:
        verbose_name = _("saved card")
        verbose_name_plural = _("saved cards")

    def __str__(self) -> str:
        return f"{self.brand} {self.last_four}"


class AutomaticTopUp(models.Model):
    """When a wallet fills itself from the saved card. Amounts are ledger units of the wallet's currency."""

    tenant = models.OneToOneField(Tenant, models.PROTECT, related_name="automatic_top_up", verbose_name=_("tenant"))
    is_on = models.BooleanField(_("on"), default=False)
    threshold = models.BigIntegerField(_("threshold"))
    amount = models.BigIntegerField(_("amount"))
    monthly_ceiling = models.BigIntegerField(_("monthly ceiling"))
    failures = models.PositiveSmallIntegerField(_("failures in a row"), default=0)
    rests_until = models.DateTimeField(_("rests until"), null=True, blank=True)
    is_mail_due = models.BooleanField(default=False, editable=False)
    """It has stopped, and its owners have not been told yet."""
    changed_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("changed by")
    )
    changed_at = models.DateTimeField(_("changed at"), default=timezone.now)

    class Meta:
        verbose_name = _("automatic top-up")
        verbose_name_plural = _("automatic top-ups")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(threshold__gte=0, amount__gt=0, monthly_ceiling__gte=models.F("amount")),
                name="billing_automatic_amounts",
            ),
        )

    def __str__(self) -> str:
        return str(self.tenant)
