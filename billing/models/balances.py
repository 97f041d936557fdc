"""Balances: the rows that money is held on."""

from __future__ import annotations

from typing import Any, Never

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant


class Balance(models.Model):
    """The row behind a wallet (and, with a period in its key, behind a quota).

    `available` already contains the credit line and is lowered only by an update that refuses to pass below zero.
    At every moment: available + open holds = credit line + ledger entries - usage.
    """

    class Kind(models.TextChoices):
        WALLET = "wallet", _("wallet")
        QUOTA = "quota", _("quota")

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="balances", verbose_name=_("tenant"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind, default=Kind.WALLET)
    quota = models.ForeignKey(
        "billing.Quota", models.PROTECT, null=True, blank=True, related_name="balances", verbose_name=_("quota")
    )
    starts_at = models.DateTimeField(_("begins"), null=True, blank=True, editable=False)
    """Of a quota's period."""
    # A quota in total has no end.
    ends_at = models.DateTimeField(_("ends"), null=True, blank=True, editable=False)
    session = models.CharField(_("session"), max_length=40, default="", blank=True, editable=False)
    """Of a quota per session: the digest of its name; such a period has no end."""
    notified = models.PositiveSmallIntegerField(null=True, editable=False)
    """Of a quota's period: the highest threshold in percent that was mailed (billing/notices.py)."""
    currency = models.CharField(_("currency"), max_length=3, choices=Tenant.Currency)
    available = models.BigIntegerField(_("available"), default=0, editable=False)
    credit_line = models.BigIntegerField(_("credit line"), default=0, editable=False)
    closed_through = models.DateTimeField(_("closed through"), null=True, blank=True, editable=False)
    """Of a wallet: what settles is of this moment or later, for what was before is closed (billing/invoices/)."""
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("balance")
        verbose_name_plural = _("balances")
        indexes = (models.Index(fields=("ends_at",), condition=models.Q(kind="quota"), name="billing_balance_periods"),)
        constraints = (
            models.UniqueConstraint(
                fields=("tenant",), condition=models.Q(kind="wallet"), name="billing_balance_one_wallet"
            ),
            models.UniqueConstraint(
                fields=("quota", "starts_at"),
                condition=models.Q(kind="quota", session=""),
                name="billing_balance_one_period",
            ),
            models.UniqueConstraint(
                fields=("quota", "session"), condition=~models.Q(session=""), name="billing_balance_one_session"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="wallet", quota=None) | models.Q(kind="quota", quota__isnull=False),
                name="billing_balance_kind_known",
            ),
            models.CheckConstraint(condition=models.Q(credit_line__gte=0), name="billing_balance_credit_line"),
        )

    def __str__(self) -> str:
        return f"{self.tenant} ({self.get_kind_display() if self.quota is None else self.quota})"

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        """Reservations and usage records name balances by id, which no foreign key protects."""
        raise ValidationError(_("A balance cannot be deleted: the history of its tenant names it."))
