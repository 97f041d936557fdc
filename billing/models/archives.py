"""What is left in the books of usage records that were archived: the sums that their balances need to add up."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from billing.models.balances import Balance
from billing.models.base import AppendOnly


class UsageArchive(AppendOnly):
    """A table of old usage records that was taken out of the books' own (`billing/months.py`)."""

    table = models.CharField(_("table"), max_length=63, unique=True)
    ends = models.DateTimeField(_("ends"), help_text=_("Every record in it began before this moment."))
    records = models.BigIntegerField(_("records"))
    archived_at = models.DateTimeField(_("archived at"), auto_now_add=True)

    class Meta:
        verbose_name = _("archive of usage records")
        verbose_name_plural = _("archives of usage records")
        ordering = ("-ends",)

    def __str__(self) -> str:
        return self.table


class ArchivedUse(AppendOnly):
    """What an archive's records took from one balance, in ledger units."""

    archive = models.ForeignKey(UsageArchive, models.PROTECT, related_name="uses", verbose_name=_("archive"))
    balance = models.ForeignKey(Balance, models.PROTECT, related_name="+", verbose_name=_("balance"))
    cost = models.BigIntegerField(_("cost"))

    class Meta:
        verbose_name = _("archived use")
        verbose_name_plural = _("archived uses")
        constraints = (models.UniqueConstraint(fields=("archive", "balance"), name="billing_archived_use_once"),)

    def __str__(self) -> str:
        return f"{self.archive_id}: {self.balance_id}"
