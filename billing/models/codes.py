"""Redemption codes: batches of them, and the codes, of which only the digests are kept."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from billing.models.balances import Balance
from billing.models.ledger import LedgerEntry


class CodeBatch(models.Model):
    """Codes of one kind, made at once by an operator."""

    MOST = 5000

    label = models.CharField(_("label"), max_length=80)
    amount = models.BigIntegerField(_("amount"), editable=False)
    currency = models.CharField(_("currency"), max_length=3, choices=Tenant.Currency)
    number = models.PositiveIntegerField(
        _("number of codes"), validators=[MinValueValidator(1), MaxValueValidator(MOST)]
    )
    per_tenant = models.PositiveIntegerField(
        _("codes per tenant"),
        default=1,
        validators=[MinValueValidator(1)],
        help_text=_("How many one tenant may redeem."),
    )
    expires_at = models.DateTimeField(
        _("codes expire at"), null=True, blank=True, help_text=_("Empty: they can be redeemed until they are revoked.")
    )
    grant_days = models.PositiveIntegerField(
        _("days of the credit"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text=_("How long the credit lasts once it is redeemed; empty: for ever."),
    )
    priority = models.SmallIntegerField(
        _("priority"), default=0, help_text=_("Credit with a lower number is spent first.")
    )
    created_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, editable=False, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    needs_approval = models.BooleanField(_("needs approval"), default=False, db_default=False, editable=False)
    """It is worth so much that its codes can be redeemed once another operator than who made them has approved it."""
    approved_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, editable=False, related_name="+", verbose_name=_("approved by")
    )
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("batch of codes")
        verbose_name_plural = _("batches of codes")
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="billing_codebatch_amount_positive"),
            models.CheckConstraint(
                condition=models.Q(approved_by=None) | ~models.Q(approved_by=models.F("created_by")),
                name="billing_codebatch_two_persons",
            ),
        )

    def __str__(self) -> str:
        return self.label

    @property
    def is_waiting(self) -> bool:
        """Whether another operator has to approve it before any of its codes is worth something."""
        return self.needs_approval and self.approved_by_id is None


class Code(models.Model):
    """One code; it is redeemed once, by the update that finds it unredeemed."""

    batch = models.ForeignKey(CodeBatch, models.PROTECT, related_name="codes")
    digest = models.CharField(max_length=64, unique=True)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, related_name="redeemed_codes")
    entry = models.OneToOneField(LedgerEntry, models.PROTECT, null=True, related_name="code")
    redeemed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("code")
        verbose_name_plural = _("codes")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(redeemed_at=None, tenant=None, entry=None)
                | models.Q(redeemed_at__isnull=False, tenant__isnull=False, entry__isnull=False),
                name="billing_code_redeemed_whole",
            ),
        )

    def __str__(self) -> str:
        return f"code {self.pk}"


class CodeTry(models.Model):
    """That something was typed for a wallet which was no good code; kept for an hour (billing/codes.py)."""

    balance = models.ForeignKey(Balance, models.CASCADE, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("wrong code")
        verbose_name_plural = _("wrong codes")
        indexes = (models.Index(fields=("balance", "at"), name="billing_code_try"),)

    def __str__(self) -> str:
        return f"{self.balance_id}"
