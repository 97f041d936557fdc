"""What it costs: prices, balances, reservations, usage records and the ledger.

Amounts are integers in the currency's ledger unit (billing/money.py). Prices are ledger units per million tokens.
"""

from __future__ import annotations

import uuid
from typing import Any, Never

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Tenant, User


class AppendOnly(models.Model):
    """Rows that are written once. The database refuses changes too, by trigger."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ValidationError(_("This row is history and cannot be changed."))
        # Without it, a new row under an old id would be written over the old one.
        super().save(*args, **(kwargs | {"force_insert": True}))

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise ValidationError(_("This row is history and cannot be deleted."))


def _rate(label: Any, *, required: bool = False) -> models.BigIntegerField[Any, Any]:
    return models.BigIntegerField(label, null=not required, blank=not required, validators=[MinValueValidator(0)])


class Rates(AppendOnly):
    """One version of a tariff: ledger units per million tokens by kind, and a flat fee per request.

    Empty means "no price of its own": cached input, cache writes and reasoning then cost what input and output
    cost; audio and images are refused. Zero is a price.
    """

    currency = models.CharField(_("currency"), max_length=3, choices=Tenant.Currency, default=Tenant.Currency.USD)
    version = models.PositiveIntegerField(_("version"), editable=False)
    effective_from = models.DateTimeField(_("effective from"), default=timezone.now)
    input = _rate(_("input"), required=True)
    cached_input = _rate(_("cached input"))
    cache_write = _rate(_("cache write"))
    output = _rate(_("output"), required=True)
    reasoning = _rate(_("reasoning"))
    input_audio = _rate(_("input audio"))
    output_audio = _rate(_("output audio"))
    image = _rate(_("image"))
    request_fee = models.BigIntegerField(_("fee per request"), default=0, validators=[MinValueValidator(0)])
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        abstract = True


class Price(Rates):
    """What a tenant pays for a model. The version that holds is the latest whose time has come."""

    model = models.CharField(_("model"), max_length=200, help_text=_("The public name that clients send."))
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, editable=False, related_name="+")

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering = ("model", "currency", "-version")
        constraints = (
            models.UniqueConstraint(fields=("model", "currency", "version"), name="billing_price_version_once"),
            models.CheckConstraint(
                condition=models.Q(input__gte=0, output__gte=0, request_fee__gte=0), name="billing_price_not_negative"
            ),
        )

    def __str__(self) -> str:
        return f"{self.model} v{self.version} {self.currency}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding and not self.version:
            rows = Price.objects.filter(model=self.model, currency=self.currency)
            self.version = (rows.aggregate(last=models.Max("version"))["last"] or 0) + 1
        super().save(*args, **kwargs)


class Balance(models.Model):
    """The row behind a wallet (and, with a period in its key, behind a quota).

    `available` already contains the credit line and is lowered only by an update that refuses to pass below zero.
    At every moment: available + open holds = credit line + ledger entries - usage.
    """

    class Kind(models.TextChoices):
        WALLET = "wallet", _("wallet")

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="balances", verbose_name=_("tenant"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind, default=Kind.WALLET)
    currency = models.CharField(_("currency"), max_length=3, choices=Tenant.Currency)
    available = models.BigIntegerField(_("available"), default=0, editable=False)
    credit_line = models.BigIntegerField(_("credit line"), default=0, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("balance")
        verbose_name_plural = _("balances")
        constraints = (
            models.UniqueConstraint(
                fields=("tenant",), condition=models.Q(kind="wallet"), name="billing_balance_one_wallet"
            ),
            models.CheckConstraint(condition=models.Q(credit_line__gte=0), name="billing_balance_credit_line"),
        )

    def __str__(self) -> str:
        return f"{self.tenant} ({self.get_kind_display()})"


class Process(models.Model):
    """A running process that holds money for its requests; dead when its heartbeat is old (database clock)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.CharField(_("host"), max_length=120)
    pid = models.PositiveIntegerField(_("process id"))
    started_at = models.DateTimeField(_("started at"))
    heartbeat_at = models.DateTimeField(_("heartbeat at"), db_index=True)

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Reservation(models.Model):
    """Money held before the first attempt. It carries what anyone needs to settle it if its owner dies."""

    id = models.UUIDField(primary_key=True, editable=False)
    # Inserted by a statement that locks its balance's row: a constraint would only look there again.
    balance = models.ForeignKey(
        Balance, models.PROTECT, related_name="reservations", db_constraint=False, db_index=False
    )
    amount = models.BigIntegerField(_("amount"))
    owner = models.UUIDField(_("owner"), db_index=True)
    tenant_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    endpoint = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    price_id = models.BigIntegerField()
    is_stream = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    channel = models.CharField(max_length=120, default="")
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        constraints = (models.CheckConstraint(condition=models.Q(amount__gte=0), name="billing_reservation_amount"),)

    def __str__(self) -> str:
        return str(self.id)


class UsageRecord(AppendOnly):
    """What one request used and cost. Names are copied as text: history survives a rename.

    Written for every request, so it carries only the keys and indexes that earn their cost (ADR 0004): its
    balance comes from the reservation it replaces, whose own keys were checked.
    """

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
    balance = models.ForeignKey(
        Balance, models.PROTECT, related_name="usage_records", db_constraint=False, db_index=False
    )
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
    input_tokens = models.BigIntegerField(_("input tokens"), default=0)
    cached_input_tokens = models.BigIntegerField(_("cached input tokens"), default=0)
    cache_write_tokens = models.BigIntegerField(_("cache write tokens"), default=0)
    output_tokens = models.BigIntegerField(_("output tokens"), default=0)
    reasoning_tokens = models.BigIntegerField(_("reasoning tokens"), default=0)
    input_audio_tokens = models.BigIntegerField(_("input audio tokens"), default=0)
    output_audio_tokens = models.BigIntegerField(_("output audio tokens"), default=0)
    images = models.BigIntegerField(_("images"), default=0)
    cost = models.BigIntegerField(_("cost"))
    held = models.BigIntegerField(_("held"))
    claimed_cost = models.BigIntegerField(
        _("claimed cost"), help_text=_("What the reported usage would cost; more than the cost if it passed the hold.")
    )
    provider_cost = models.BigIntegerField(_("provider cost"), null=True, blank=True)
    provider_currency = models.CharField(_("provider currency"), max_length=3, default="", blank=True)
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
            models.Index(fields=("balance", "settled_at"), name="billing_usage_balance_time"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(cost__gte=0), name="billing_usage_cost_not_negative"),
            models.CheckConstraint(
                condition=models.Q(cost__lte=models.F("held")), name="billing_usage_cost_within_hold"
            ),
        )

    def __str__(self) -> str:
        return str(self.id)

    @property
    def public_id(self) -> str:
        return f"chatcmpl-{self.id.hex}"


class LedgerEntry(AppendOnly):
    """A posting that is not usage. Posted only by `ledger.post`."""

    class Kind(models.TextChoices):
        TOP_UP = "top_up", _("top-up")
        GRANT = "grant", _("grant")
        REFUND = "refund", _("refund")
        ADJUSTMENT = "adjustment", _("adjustment")
        EXPIRY = "expiry", _("expiry")

    balance = models.ForeignKey(Balance, models.PROTECT, related_name="ledger_entries", verbose_name=_("balance"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    amount = models.BigIntegerField(_("amount"))
    reference = models.CharField(
        _("reference"), max_length=120, unique=True, help_text=_("What caused it; the same reference posts once.")
    )
    note = models.CharField(_("note"), max_length=300, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        ordering = ("-id",)
        constraints = (models.CheckConstraint(condition=~models.Q(amount=0), name="billing_ledger_amount_not_zero"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"
