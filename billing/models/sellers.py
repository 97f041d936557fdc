"""Who sells, in which numbers its documents are counted, and which taxes it adds: data that an operator keeps."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant

COUNTRY = RegexValidator(r"^[A-Z]{2}\Z", _("Two capital letters, such as VN (ISO 3166-1)."))


class LegalEntity(models.Model):
    """A company that issues documents. What they say of it is copied into each when it becomes final."""

    class Numbering(models.TextChoices):
        ENTITY = "entity", _("one series for all tenants")
        TENANT = "tenant", _("a series for each tenant")

    name = models.CharField(_("name"), max_length=200)
    address = models.TextField(_("address"), max_length=600)
    country = models.CharField(_("country"), max_length=2, validators=[COUNTRY])
    tax_id = models.CharField(_("tax id"), max_length=40, blank=True)
    bank = models.TextField(_("bank account"), max_length=600, blank=True, help_text=_("As it stands on invoices."))
    email = models.EmailField(_("e-mail address"), blank=True)
    prefix = models.CharField(
        _("prefix of numbers"),
        max_length=8,
        unique=True,
        validators=[RegexValidator(r"^[A-Z0-9]+\Z", _("Capital letters and digits."))],
    )
    numbering = models.CharField(_("numbering"), max_length=8, choices=Numbering, default=Numbering.ENTITY)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", help_text=_("Of the dates on its documents.")
    )
    is_default = models.BooleanField(
        _("default"), default=False, help_text=_("Sells to every tenant whose billing profile names no other.")
    )

    class Meta:
        verbose_name = _("legal entity")
        verbose_name_plural = _("legal entities")
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("is_default",), condition=models.Q(is_default=True), name="billing_one_default_seller"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError for a time zone that does not exist."""
        if self.time_zone not in zoneinfo.available_timezones():
            raise ValidationError({"time_zone": _("There is no such time zone.")})

    def today(self, now: dt.datetime) -> dt.date:
        """The date that a document gets which is issued now."""
        return now.astimezone(zoneinfo.ZoneInfo(self.time_zone)).date()


class NumberSeries(models.Model):
    """The last number given out; its row is locked by whoever takes the next one (billing/invoices/numbers.py)."""

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("invoice")
        STATEMENT = "statement", _("statement")
        CREDIT_NOTE = "credit_note", _("credit note")

    entity = models.ForeignKey(LegalEntity, models.PROTECT, related_name="series", verbose_name=_("legal entity"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    year = models.PositiveSmallIntegerField(_("year"))
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("tenant"),
        help_text=_("Empty: of all tenants."),
    )  # fmt: skip
    last = models.PositiveIntegerField(_("last number"), default=0)

    class Meta:
        verbose_name = _("number series")
        verbose_name_plural = _("number series")
        ordering = ("entity", "kind", "-year", "tenant")
        constraints = (
            models.UniqueConstraint(
                fields=("entity", "kind", "year"), condition=models.Q(tenant=None), name="billing_series_of_entity"
            ),
            models.UniqueConstraint(fields=("entity", "kind", "year", "tenant"), name="billing_series_of_tenant"),
        )

    def __str__(self) -> str:
        return f"{self.entity} {self.kind} {self.year}"


class TaxRate(models.Model):
    """A tax of one jurisdiction; those that apply are chosen when a document becomes final, and copied into it."""

    jurisdiction = models.CharField(_("country of the buyer"), max_length=2, validators=[COUNTRY])
    name = models.CharField(_("name"), max_length=60)
    percent = models.DecimalField(
        _("percent"),
        max_digits=8,
        decimal_places=5,
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(100))],
    )
    starts_on = models.DateField(_("from"), default=timezone.localdate)
    ends_on = models.DateField(
        _("to"), null=True, blank=True, help_text=_("The last day; empty: until further notice.")
    )
    is_inclusive = models.BooleanField(
        _("included in prices"), default=False, help_text=_("It is extracted from the amounts instead of added.")
    )
    is_reverse_charge = models.BooleanField(
        _("reverse charge"),
        default=False,
        help_text=_("A buyer abroad with a tax id owes it; the invoice says so and adds nothing."),
    )
    is_on_statements = models.BooleanField(
        _("on statements of prepaid tenants"),
        default=False,
        help_text=_("Where usage that was paid in advance is a taxed sale. It must be included in prices."),
    )

    class Meta:
        verbose_name = _("tax rate")
        verbose_name_plural = _("tax rates")
        ordering = ("jurisdiction", "name", "-starts_on")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(ends_on=None) | models.Q(ends_on__gte=models.F("starts_on")),
                name="billing_tax_rate_ends_later",
            ),
            models.CheckConstraint(
                condition=models.Q(is_on_statements=False) | models.Q(is_inclusive=True),
                name="billing_tax_on_statements_is_inclusive",
            ),
        )

    def __str__(self) -> str:
        return f"{self.jurisdiction} {self.name} {self.percent.normalize():f} %"

    def clean(self) -> None:
        """Raises ValidationError where another rate of the name holds on one of its days: both would be added."""
        if getattr(self, "starts_on", None) is None:  # which its field says
            return
        same = TaxRate.objects.filter(
            models.Q(ends_on=None) | models.Q(ends_on__gte=self.starts_on), jurisdiction=self.jurisdiction,
            name__iexact=self.name, is_reverse_charge=self.is_reverse_charge,
        ).exclude(pk=self.pk)  # fmt: skip
        if self.ends_on is not None:
            same = same.filter(starts_on__lte=self.ends_on)
        if same.exists():
            raise ValidationError(_("Another rate of this name holds on the same days: end that one first."))
