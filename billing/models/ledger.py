"""Ledger entries: what moved money and was not usage."""

from __future__ import annotations

from typing import Any, Final

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from billing.models.balances import Balance
from billing.models.base import AppendOnly


class LedgerEntry(AppendOnly):
    """A posting that is not usage: one row with both of its sides. Posted only by `ledger.post`.

    `amount` is the tenant's side, which every sum uses; `contra` names the account of the house on the other side.
    One row cannot be out of balance, and has one currency, which is its balance's.
    """

    class Kind(models.TextChoices):
        TOP_UP = "top_up", _("top-up")
        GRANT = "grant", _("grant")
        REFUND = "refund", _("refund")
        ADJUSTMENT = "adjustment", _("adjustment")
        EXPIRY = "expiry", _("expiry")
        WRITE_OFF = "write_off", _("write-off")

    class Account(models.TextChoices):
        """Whose money moves: the wallets are the tenants', all others are the house's."""

        WALLETS = "wallets", _("wallets")
        CASH = "cash", _("cash, by hand")
        CASH_STRIPE = "cash_stripe", _("cash at Stripe")
        CASH_TRANSFER = "cash_transfer", _("cash at the bank")
        PROMOTIONS = "promotions", _("promotions")
        ADJUSTMENTS = "adjustments", _("adjustments")
        EXPIRED = "expired", _("expired credit")
        WRITE_OFFS = "write_offs", _("write-offs")

    OF_INVOICES = "invoice:"
    """How references of entries begin that settle an invoice (billing/invoices/paying.py)."""

    OF_CORRECTIONS = "late-"
    """How references of entries begin that correct what a request cost (billing/corrections.py)."""

    balance = models.ForeignKey(Balance, models.PROTECT, related_name="ledger_entries", verbose_name=_("balance"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    amount = models.BigIntegerField(_("amount"))
    contra = models.CharField(_("other side"), max_length=16, choices=Account, null=True, editable=False)  # noqa: DJ001
    """Null only in rows of a process of the former version, while both run; then it is what the kind says."""
    reference = models.CharField(
        _("reference"), max_length=120, unique=True, help_text=_("What caused it; the same reference posts once.")
    )
    note = models.CharField(_("note"), max_length=300, blank=True)
    of = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, editable=False, related_name="followers", verbose_name=_("of")
    )
    """The entry that this one takes back: the grant that expired or was voided, the top-up that was refunded."""
    priority = models.SmallIntegerField(_("priority"), null=True, blank=True, editable=False)
    """Of a grant: the lower, the sooner it is spent; null is 0."""
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True, editable=False)
    """Of a grant: from this moment on it pays for nothing."""
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("created_at",), name="billing_ledger_time"),
            models.Index(
                fields=("expires_at",), condition=models.Q(expires_at__isnull=False), name="billing_ledger_expiring"
            ),
        )
        constraints = (
            models.CheckConstraint(condition=~models.Q(amount=0), name="billing_ledger_amount_not_zero"),
            models.CheckConstraint(
                condition=models.Q(contra=None)
                | models.Q(kind__in=("top_up", "refund"), contra__in=("cash", "cash_stripe", "cash_transfer"))
                | models.Q(kind="grant", contra="promotions")
                | models.Q(kind="adjustment", contra__in=("adjustments", "cash_stripe", "cash_transfer"))
                | models.Q(kind="expiry", contra="expired")
                | models.Q(kind="write_off", contra="write_offs", amount__gt=0),
                name="billing_ledger_sides_fit",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.contra = self.contra or CONTRA[self.kind]
        super().save(*args, **kwargs)

    @property
    def takes_money(self) -> bool:
        """Whether what it takes is money that was paid in, and has left already, rather than credit that was given."""
        return self.amount < 0 and (self.kind == self.Kind.REFUND or self.reference.startswith(self.OF_INVOICES))

    @property
    def debit(self) -> Account:
        """The account that the amount comes out of, as the tenants' wallets are a debt of the house."""
        return self.Account.WALLETS if self.amount < 0 else self._other_side

    @property
    def credit(self) -> Account:
        """The account that the amount goes to."""
        return self._other_side if self.amount < 0 else self.Account.WALLETS

    @property
    def _other_side(self) -> Account:
        return self.Account(self.contra or CONTRA[self.kind])


CONTRA: Final[dict[str, LedgerEntry.Account]] = {
    LedgerEntry.Kind.TOP_UP: LedgerEntry.Account.CASH,
    LedgerEntry.Kind.GRANT: LedgerEntry.Account.PROMOTIONS,
    LedgerEntry.Kind.REFUND: LedgerEntry.Account.CASH,
    LedgerEntry.Kind.ADJUSTMENT: LedgerEntry.Account.ADJUSTMENTS,
    LedgerEntry.Kind.EXPIRY: LedgerEntry.Account.EXPIRED,
    LedgerEntry.Kind.WRITE_OFF: LedgerEntry.Account.WRITE_OFFS,
}
"""The other side of each kind, where nothing else is said."""
