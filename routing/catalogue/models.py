"""Where it goes: channels, the public catalogue of models, and the routes between them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.models import Rates, Withdrawal
from routing.catalogue import options, vault
from routing.endpoints.chat import CHAT
from routing.providers import ADAPTERS
from routing.providers import choices as provider_choices
from routing.wire import addresses
from routing.wire.addresses import ForbiddenAddress

_SECONDS = (MinValueValidator(0.1), MaxValueValidator(3600))


class Channel(models.Model):
    """One upstream endpoint with its credentials."""

    class Status(models.TextChoices):
        ENABLED = "enabled", _("enabled")
        DISABLED = "disabled", _("disabled")

    class DisconnectPolicy(models.TextChoices):
        CANCEL = "cancel", _("cancel the upstream")
        DRAIN = "drain", _("read on to the end")

    name = models.CharField(_("name"), max_length=120, unique=True)
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    provider = models.CharField(_("provider"), max_length=40, choices=provider_choices)
    base_url = models.CharField(_("base URL"), max_length=500)
    sealed_secret = models.BinaryField(_("secret"), blank=True, default=b"", editable=False)
    secret_last_four = models.CharField(_("secret ends in"), max_length=4, blank=True, editable=False)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.ENABLED)
    priority = models.IntegerField(_("priority"), default=0, help_text=_("Higher tiers are tried first."))
    weight = models.PositiveIntegerField(_("weight"), default=1, help_text=_("Shares ties within a tier."))
    connect_timeout = models.FloatField(_("connect timeout (s)"), default=5, validators=_SECONDS)
    first_byte_timeout = models.FloatField(_("first-byte timeout (s)"), default=60, validators=_SECONDS)
    idle_timeout = models.FloatField(_("idle timeout (s)"), default=60, validators=_SECONDS)
    total_timeout = models.FloatField(_("total timeout (s)"), default=900, validators=_SECONDS)
    disconnect_policy = models.CharField(
        _("when the client leaves"), max_length=8, choices=DisconnectPolicy, default=DisconnectPolicy.CANCEL
    )
    concurrency = models.PositiveIntegerField(_("concurrent requests per process"), null=True, blank=True)
    options = models.JSONField(
        _("options"), null=True, blank=True, help_text=_("What the provider’s dialect can be told, as JSON.")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=("enabled", "disabled")), name="routing_channel_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(disconnect_policy__in=("cancel", "drain")), name="routing_channel_policy_known"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError for a base URL that no request could or may be sent to."""
        try:
            origin = addresses.parse(self.base_url)
            if origin.address is not None:
                addresses.checked([origin.address], origin.scheme, addresses.networks(settings.CHANNEL_NETWORKS))
        except ForbiddenAddress as refusal:
            raise ValidationError({"base_url": gettext(str(refusal))}) from refusal
        if (origin.scheme == "fake") != (self.provider == "fake"):
            raise ValidationError({"base_url": _("The fake provider has fake:// URLs, and it alone.")})
        self._check_options()

    def _check_options(self) -> None:
        """Raises ValidationError for options that the provider has not got."""
        if self.provider not in ADAPTERS:
            return  # which is another field's fault
        fault = options.fault(self.provider, self.options or {})
        if fault:
            raise ValidationError({"options": fault})

    @property
    def secret(self) -> str:
        """The upstream credential; empty if there is none. Raises vault.SealBroken."""
        return vault.unseal(bytes(self.sealed_secret), bound_to=self._seal_name) if self.sealed_secret else ""

    def set_secret(self, secret: str) -> None:
        """Seals a new credential into this row (not saved yet); an empty one clears it."""
        self.sealed_secret = vault.seal(secret, bound_to=self._seal_name) if secret else b""
        self.secret_last_four = secret[-4:] if len(secret) >= 12 else ""

    @property
    def _seal_name(self) -> str:
        return f"channel:{self.uid}:secret"


class CatalogueModel(models.Model):
    """A public model name that clients send, and what it can do."""

    name = models.CharField(
        _("name"),
        max_length=200,
        unique=True,
        validators=[RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9._:/@+-]*\Z")],
    )
    description = models.CharField(_("description"), max_length=500, blank=True)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    context_window = models.PositiveIntegerField(_("context window (tokens)"), default=128_000)
    output_limit = models.PositiveIntegerField(_("output limit (tokens)"), default=16_384)
    default_output = models.PositiveIntegerField(
        _("default output cap (tokens)"),
        default=4_096,
        help_text=_("The cap that is held and sent where the client sets none."),
    )
    prompt_overhead = models.PositiveIntegerField(
        _("prompt overhead (tokens)"),
        default=256,
        help_text=_("What the upstream's chat template may add to a prompt; part of every hold."),
    )
    supports_tools = models.BooleanField(_("tools"), default=True)
    supports_images = models.BooleanField(_("images"), default=False)
    supports_json_schema = models.BooleanField(_("JSON schema"), default=True)
    endpoints = models.JSONField(
        _("endpoints"), null=True, blank=True, help_text=_("What it is called for; nothing chosen means chat.")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def served(self) -> frozenset[str]:
        """The names of the endpoints that it is called for; it answers at those that can be said in them, too."""
        return frozenset(self.endpoints or (CHAT.name,))


class Route(models.Model):
    """One model served by one channel under its upstream name."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="routes", verbose_name=_("channel"))
    model = models.ForeignKey(CatalogueModel, models.CASCADE, related_name="routes", verbose_name=_("model"))
    upstream_name = models.CharField(_("upstream name"), max_length=200)
    is_enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        verbose_name = _("route")
        verbose_name_plural = _("routes")
        ordering = ("model__name", "channel__name")
        constraints = (
            models.UniqueConstraint(fields=("channel", "model", "upstream_name"), name="routing_route_once"),
        )

    def __str__(self) -> str:
        return f"{self.model} @ {self.channel}"


class CostPrice(Rates):
    """What a route costs the operator; the version that holds is the latest whose time has come."""

    route = models.ForeignKey(Route, models.PROTECT, related_name="cost_prices", verbose_name=_("route"))

    class Meta:
        verbose_name = _("cost price")
        verbose_name_plural = _("cost prices")
        ordering = ("route", "-version")
        constraints = (
            models.UniqueConstraint(fields=("route", "version"), name="routing_costprice_version_once"),
            models.CheckConstraint(
                condition=models.Q(input__gte=0, output__gte=0, request_fee__gte=0),
                name="routing_costprice_not_negative",
            ),
        )
        indexes = (
            models.Index(fields=["route", "effective_from", "version"], name="routing_costprice_of_route"),
            models.Index(fields=["effective_from"], name="routing_costprice_coming"),
        )

    def __str__(self) -> str:
        return f"{self.route} v{self.version}"

    def versions(self) -> models.QuerySet[CostPrice]:
        return CostPrice.objects.filter(route=self.route)


class CostPriceWithdrawal(Withdrawal):
    price = models.OneToOneField(CostPrice, models.PROTECT, related_name="withdrawal", verbose_name=_("cost price"))

    class Meta:
        verbose_name = _("withdrawn cost price")
        verbose_name_plural = _("withdrawn cost prices")

    def __str__(self) -> str:
        return str(self.price)


class CatalogueVersion(models.Model):
    """One row whose number moves, by database trigger, with every change of what the snapshot holds."""

    number = models.BigIntegerField(default=1)

    class Meta:
        verbose_name = _("catalogue version")
        verbose_name_plural = _("catalogue versions")

    def __str__(self) -> str:
        return str(self.number)
