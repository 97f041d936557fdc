"""What background work leaves behind: which slot of a job was taken, and what waits for a person."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant


class JobRun(models.Model):
    """One run of a job; the unique slot keeps two schedulers from running it twice (billing/jobs.py)."""

    name = models.CharField(_("name"), max_length=40)
    slot = models.CharField(_("slot"), max_length=40)
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    outcome = models.CharField(_("outcome"), max_length=300, default="")

    class Meta:
        verbose_name = _("job run")
        verbose_name_plural = _("job runs")
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("name", "slot"), name="billing_job_run_once"),)

    def __str__(self) -> str:
        return f"{self.name} {self.slot}"


class ParkedTenant(models.Model):
    """A tenant whose documents wait, and why. The next good run of the same step takes it out again."""

    class Step(models.TextChoices):
        CLOSE = "close", _("closing the month")
        FINALISE = "finalise", _("finalising")
        MAIL = "mail", _("sending mail")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="parked", verbose_name=_("tenant"))
    step = models.CharField(_("step"), max_length=12, choices=Step)
    reason = models.CharField(_("reason"), max_length=500)
    since = models.DateTimeField(_("since"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=1)

    class Meta:
        verbose_name = _("parked tenant")
        verbose_name_plural = _("parked tenants")
        ordering = ("-since",)
        constraints = (models.UniqueConstraint(fields=("tenant", "step"), name="billing_parked_once"),)

    def __str__(self) -> str:
        return f"{self.tenant}: {self.step}"
