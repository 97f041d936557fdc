"""Corrections: that a request's late outcome has come, so that it is booked once."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.base import AppendOnly


class Correction(AppendOnly):
    """The late outcome of one request; what was taken for it stands in the ledger as well, unless it was nothing."""

    record = models.UUIDField(_("usage record"), primary_key=True, editable=False)
    """The record's id; no foreign key, because records are divided by month."""
    due = models.BigIntegerField(_("due"))
    """Ledger units that the request costs beyond its record; negative where it costs less."""
    taken = models.BigIntegerField(_("taken"))
    """What the wallet could pay of it."""
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("correction")
        verbose_name_plural = _("corrections")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(taken__lte=models.F("due")), name="billing_correction_within_due"
            ),
        )  # fmt: skip

    def __str__(self) -> str:
        return str(self.record)
