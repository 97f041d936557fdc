"""What people ask of a wallet: to be told when it runs low, and postings that wait for a second person."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing.models.balances import Balance
from billing.models.ledger import LedgerEntry


class BalanceAlert(models.Model):
    """Below which amount a tenant wants to be told, and which side of it was told last."""

    balance = models.OneToOneField(Balance, models.PROTECT, primary_key=True, related_name="alert")
    threshold = models.BigIntegerField(_("alert below"))
    is_below = models.BooleanField(default=False)
    """What the last mail said; before the first one: above."""

    class Meta:
        verbose_name = _("balance alert")
        verbose_name_plural = _("balance alerts")
        constraints = (models.CheckConstraint(condition=models.Q(threshold__gt=0), name="billing_alert_positive"),)

    def __str__(self) -> str:
        return f"{self.balance_id}: {self.threshold}"


class PostingRequest(models.Model):
    """A posting, or a credit line, so large that another operator has to approve it.

    `amount` is what would be posted, or the line that would be granted; ledger units.
    """

    CREDIT_LINE = "credit_line"
    KINDS = (*LedgerEntry.Kind.choices, (CREDIT_LINE, _("credit line")))

    class Status(models.TextChoices):
        WAITING = "waiting", _("waiting")
        POSTED = "posted", _("posted")
        REJECTED = "rejected", _("rejected")

    balance = models.ForeignKey(Balance, models.PROTECT, related_name="posting_requests", verbose_name=_("balance"))
    kind = models.CharField(_("kind"), max_length=12, choices=KINDS)
    amount = models.BigIntegerField(_("amount"))
    reference = models.CharField(_("reference"), max_length=120, unique=True)
    note = models.CharField(_("reason"), max_length=300)
    priority = models.SmallIntegerField(_("priority"), null=True)
    expires_at = models.DateTimeField(_("expires at"), null=True)
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.WAITING)
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    created_at = models.DateTimeField(_("requested at"), default=timezone.now)
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("decided by"))
    decided_at = models.DateTimeField(_("decided at"), null=True)

    class Meta:
        verbose_name = _("posting request")
        verbose_name_plural = _("posting requests")
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("created_by")),
                name="billing_postingrequest_two_persons",
            ),
            models.CheckConstraint(
                condition=models.Q(status="waiting", decided_by=None)
                | models.Q(status__in=("posted", "rejected"), decided_by__isnull=False),
                name="billing_postingrequest_decided_by_somebody",
            ),
        )

    def __str__(self) -> str:
        return self.reference

    @property
    def is_credit_line(self) -> bool:
        return self.kind == self.CREDIT_LINE
