"""Ledger entries: what moved money and was not usage."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing.models.balances import Balance
from billing.models.base import AppendOnly


class LedgerEntry(AppendOnly):
    """A posting that is not usage. Posted only by `ledger.post`."""

    class Kind(models.TextChoices):
        TOP_UP = "top_up", _("top-up")
        GRANT = "grant", _("grant")
        REFUND = "refund", _("refund")
        ADJUSTMENT = "adjustment", _("adjustment")
        EXPIRY = "expiry", _("expiry")

    balance = models.ForeignKey(Balance, models.PROTECT, related_name="ledger_entries", verbose_name=_("balance"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    amount = models.BigIntegerField(_("amount"))
    reference = models.CharField(
        _("reference"), max_length=120, unique=True, help_text=_("What caused it; the same reference posts once.")
    )
    note = models.CharField(_("note"), max_length=300, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        ordering = ("-id",)
        constraints = (models.CheckConstraint(condition=~models.Q(amount=0), name="billing_ledger_amount_not_zero"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"
