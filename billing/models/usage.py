"""Usage records: what one request used and cost. Their counts are the table of usage kinds (billing/kinds.py)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Tenant
from billing.kinds import KINDS, Usage
from billing.models.base import AppendOnly
from billing.models.prices import Price


class UsageRecord(AppendOnly):
    """What one request used and cost. Names are copied as text: history survives a rename.

    Written for every request, so it carries only the keys and indexes that earn their cost (ADR 0004): its legs come
    from the reservation it replaces, for which they were locked.
    """

    input_tokens: int
    output_tokens: int

    class Outcome(models.TextChoices):
        SUCCESS = "success", _("success")
        CLIENT_GONE = "client_gone", _("client gone")
        UPSTREAM_ERROR = "upstream_error", _("upstream error")
        TIMEOUT = "timeout", _("timeout")
        REFUSED = "refused", _("refused upstream")
        RECOVERED = "recovered", _("recovered")
        INTERNAL_ERROR = "internal_error", _("internal error")

    class Source(models.TextChoices):
        UPSTREAM = "upstream", _("reported by the upstream")
        ESTIMATED = "estimated", _("estimated")
        NONE = "none", _("nothing used")

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey(
        Tenant,
        models.PROTECT,
        related_name="usage_records",
        db_constraint=False,
        db_index=False,
        verbose_name=_("tenant"),
    )
    legs = models.JSONField(default=list)
    """The ids of the balances that the cost was taken from, each of them the whole of it."""
    api_key = models.ForeignKey(
        ApiKey,
        models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("API key"),
    )
    endpoint = models.CharField(_("endpoint"), max_length=40)
    requested_model = models.CharField(_("requested model"), max_length=200)
    model = models.CharField(_("model"), max_length=200)
    price = models.ForeignKey(
        Price, models.PROTECT, related_name="+", db_constraint=False, db_index=False, verbose_name=_("price")
    )
    currency = models.CharField(_("currency"), max_length=3)
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome)
    status = models.PositiveSmallIntegerField(_("HTTP status"))
    error_code = models.CharField(_("error code"), max_length=64, default="", blank=True)
    is_stream = models.BooleanField(_("streamed"), default=False)
    usage_source = models.CharField(_("usage source"), max_length=12, choices=Source)
    cost = models.BigIntegerField(_("cost"))
    held = models.BigIntegerField(_("held"))
    claimed_cost = models.BigIntegerField(
        _("claimed cost"),
        help_text=_("What the usage would cost; more than the cost if hold and balance together could not pay for it."),
    )
    provider_cost = models.BigIntegerField(_("provider cost"), null=True, blank=True)
    provider_currency = models.CharField(_("provider currency"), max_length=3, default="", blank=True)
    reported_cost = models.BigIntegerField(
        _("reported cost"),
        null=True,
        blank=True,
        help_text=_("What the upstream itself said that the answer cost, in nano-dollars."),
    )
    channel = models.CharField(_("channel"), max_length=120, default="", blank=True)
    upstream_model = models.CharField(_("upstream model"), max_length=200, default="", blank=True)
    attempts = models.JSONField(_("attempts"), default=list)
    decision = models.JSONField(_("routing decision"), default=dict)
    started_at = models.DateTimeField(_("started at"))
    first_byte_ms = models.PositiveIntegerField(_("first byte (ms)"), null=True, blank=True)
    duration_ms = models.PositiveIntegerField(_("duration (ms)"))
    settled_at = models.DateTimeField(_("settled at"))

    class Meta:
        verbose_name = _("usage record")
        verbose_name_plural = _("usage records")
        ordering = ("-started_at",)
        indexes = (
            models.Index(fields=("tenant", "-started_at"), name="billing_usage_tenant_time"),
            models.Index(fields=("tenant", "settled_at"), name="billing_usage_tenant_settled"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(cost__gte=0), name="billing_usage_cost_not_negative"),
            models.CheckConstraint(
                condition=models.Q(cost__lte=models.F("claimed_cost")), name="billing_usage_cost_within_claim"
            ),
        )

    def __str__(self) -> str:
        return str(self.id)

    @property
    def usage(self) -> Usage:
        """The counts that the record was priced by."""
        return Usage(**{kind.name: getattr(self, kind.column) for kind in KINDS})

    @property
    def taken_beyond(self) -> int:
        """What was taken when it settled, because the usage passed its hold; ledger units."""
        return max(0, self.cost - self.held)

    @property
    def written_off(self) -> int:
        """What neither the hold nor the balances could pay; ledger units."""
        return self.claimed_cost - self.cost


for _kind in KINDS:
    UsageRecord.add_to_class(_kind.column, models.BigIntegerField(_kind.column.replace("_", " "), default=0))
