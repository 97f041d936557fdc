"""Lots: money that came in, what is left of it, and what it was spent on."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from billing.models.balances import Balance
from billing.models.base import AppendOnly
from billing.models.ledger import LedgerEntry


class Lot(models.Model):
    """What one entry brought into a wallet, and how much of it has been drawn by nothing yet.

    `rest` is the lot's amount without its draws, kept so that nobody adds them up (`grants.differences` does). It lags
    behind the records by an hour at most; `grants.standing` says how it is now.
    """

    entry = models.OneToOneField(LedgerEntry, models.PROTECT, primary_key=True, related_name="lot")
    balance = models.ForeignKey(Balance, models.PROTECT, related_name="lots", verbose_name=_("balance"))
    amount = models.BigIntegerField(_("amount"))
    rest = models.BigIntegerField(_("rest"))
    is_granted = models.BooleanField(_("granted"))
    priority = models.SmallIntegerField(_("priority"), default=0)
    starts_at = models.DateTimeField(_("given at"))
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)

    class Meta:
        verbose_name = _("lot")
        verbose_name_plural = _("lots")
        ordering = ("-entry_id",)
        indexes = (
            models.Index(fields=("expires_at",), condition=models.Q(rest__gt=0), name="billing_lot_expiring"),
            models.Index(fields=("balance",), condition=models.Q(rest__gt=0), name="billing_lot_open"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(rest__gte=0, rest__lte=models.F("amount")), name="billing_lot_rest_within_amount"
            ),
        )

    def __str__(self) -> str:
        return f"{self.entry_id}"


class Draw(AppendOnly):
    """What was paid out of one lot, or by nobody yet (no lot), for one of three things.

    - a stretch of usage: everything of the tenant that settled in [`since`, `at`);
    - one request (`record`) that turned up when its stretch had been drawn;
    - a ledger entry (`entry`) that took money away.

    `of` is an earlier draw that this one moves: what nobody had paid, a later lot pays; a negative amount gives back.
    """

    balance = models.ForeignKey(Balance, models.PROTECT, related_name="draws", db_index=False)
    lot = models.ForeignKey(Lot, models.PROTECT, null=True, related_name="draws")
    amount = models.BigIntegerField()
    since = models.DateTimeField(null=True)
    at = models.DateTimeField()
    record = models.UUIDField(null=True)
    entry = models.ForeignKey(LedgerEntry, models.PROTECT, null=True, related_name="draws")
    of = models.ForeignKey("self", models.PROTECT, null=True, related_name="followers")

    class Meta:
        verbose_name = _("draw")
        verbose_name_plural = _("draws")
        indexes = (models.Index(fields=("balance", "at"), name="billing_draw_wallet"),)
        constraints = (
            models.CheckConstraint(condition=~models.Q(amount=0), name="billing_draw_not_zero"),
            models.UniqueConstraint(
                fields=("balance", "lot", "since", "at"),
                condition=models.Q(since__isnull=False, of=None),
                name="billing_draw_stretch_once",
            ),
            models.UniqueConstraint(
                fields=("record", "lot"),
                condition=models.Q(record__isnull=False, of=None),
                name="billing_draw_record_once",
            ),
            models.UniqueConstraint(
                fields=("entry", "lot"),
                condition=models.Q(entry__isnull=False, of=None),
                name="billing_draw_entry_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.amount} of {self.lot_id}"


class Drawing(models.Model):
    """How far a wallet's usage and entries have been drawn from its lots; under the lock of this row it goes on."""

    balance = models.OneToOneField(Balance, models.PROTECT, primary_key=True, related_name="drawing")
    until = models.DateTimeField()
    """What settled before this moment is drawn, but for what was in flight."""
    posted = models.BigIntegerField(default=0)
    """Entries up to this id are drawn: of one wallet they are committed in the order of their ids."""
    in_flight = models.JSONField(default=list)
    """Requests that were open then: what of them has settled before `until` is still to be drawn."""

    class Meta:
        verbose_name = _("state of the draws")
        verbose_name_plural = _("state of the draws")

    def __str__(self) -> str:
        return str(self.until)
