"""What reconciliation found: its runs, and the breaks, which stay open until a person has understood them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User


class Reconciliation(models.Model):
    """One run over all books. A row is written when it is through."""

    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"), default=timezone.now)
    compared = models.JSONField(_("compared"), default=dict)
    """How many figures each check compared, by its name."""
    found = models.PositiveIntegerField(_("breaks found"))

    class Meta:
        verbose_name = _("reconciliation")
        verbose_name_plural = _("reconciliations")
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M}"


class Break(models.Model):
    """Two figures that should be one and are not. It never mends itself: a person closes it, with a reason."""

    check_name = models.CharField(_("check"), max_length=40)
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, null=True, blank=True, related_name="breaks", verbose_name=_("tenant")
    )
    subject = models.CharField(_("subject"), max_length=200)
    expected = models.BigIntegerField(_("expected"))
    found = models.BigIntegerField(_("found"))
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    closed_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("closed by")
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("break in the books")
        verbose_name_plural = _("breaks in the books")
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("check_name", "subject"), condition=models.Q(closed_at=None), name="billing_break_one_open"
            ),
        )

    def __str__(self) -> str:
        return f"{self.check_name}: {self.subject}"

    @property
    def difference(self) -> int:
        return self.found - self.expected
