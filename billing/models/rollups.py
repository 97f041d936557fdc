"""Roll-ups: usage records added up by the hour, for pages. They can be dropped and made again (billing/rollups.py)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Tenant
from billing.kinds import KINDS


class UsageRollup(models.Model):
    """What was used in one hour by a tenant's key of a model over a route; by the time at which requests settled.

    Of tenants whose zone is not a whole number of hours from UTC it is a quarter of an hour, so that days add up.
    """

    starts_at = models.DateTimeField(_("begins"))
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    api_key = models.ForeignKey(ApiKey, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False)
    model = models.CharField(_("model"), max_length=200)
    channel = models.CharField(_("channel"), max_length=120)
    upstream_model = models.CharField(_("upstream model"), max_length=200)
    currency = models.CharField(_("currency"), max_length=3)
    provider_currency = models.CharField(_("provider currency"), max_length=3)
    requests = models.BigIntegerField(_("requests"))
    cost = models.BigIntegerField(_("cost"))
    claimed_cost = models.BigIntegerField(_("claimed cost"))
    provider_cost = models.BigIntegerField(_("provider cost"))

    class Meta:
        verbose_name = _("roll-up")
        verbose_name_plural = _("roll-ups")
        indexes = (
            models.Index(fields=("tenant", "starts_at"), name="billing_rollup_tenant"),
            models.Index(fields=("api_key", "starts_at"), name="billing_rollup_key"),
            models.Index(fields=("starts_at",), name="billing_rollup_time"),
        )

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} {self.model}"


for _kind in KINDS:
    UsageRollup.add_to_class(_kind.column, models.BigIntegerField(_kind.column.replace("_", " "), default=0))


class RollupRefinement(models.Model):
    """That a tenant's roll-ups are quarters of an hour, or become so: there is one as long as its zone needs them."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="+", verbose_name=_("tenant"))
    goes_on_at = models.DateTimeField(_("done until"), null=True)
    """From where on they are still to be made again; None once all of them are quarters."""

    class Meta:
        verbose_name = _("refinement of roll-ups")
        verbose_name_plural = _("refinements of roll-ups")

    def __str__(self) -> str:
        return str(self.goes_on_at)


class RollupState(models.Model):
    """One row: until when the roll-ups have everything. What settled later is read from the records."""

    complete_until = models.DateTimeField()

    class Meta:
        verbose_name = _("state of the roll-ups")
        verbose_name_plural = _("state of the roll-ups")

    def __str__(self) -> str:
        return str(self.complete_until)
