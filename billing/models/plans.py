"""Price plans: what kinds of customers pay instead of the list."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant


class PricePlan(models.Model):
    """Prices of its own, or the list's with a markup. A tenant is on one plan, or pays the list.

    What a plan's tenants pay is always a price row: the list's versions are copied with the markup (billing/plans.py),
    so that a record's price tells what it was priced by, whatever becomes of the markup.
    """

    name = models.CharField(_("name"), max_length=80, unique=True)
    description = models.CharField(_("description"), max_length=300, blank=True, default="")
    markup = models.DecimalField(
        _("markup"),
        max_digits=7,
        decimal_places=3,
        default=Decimal(0),
        validators=[MinValueValidator(Decimal(-100)), MaxValueValidator(Decimal(9999))],
        help_text=_("In percent of the list price; negative is a discount. Prices entered for the plan go before it."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("price plan")
        verbose_name_plural = _("price plans")
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=models.Q(markup__gte=-100), name="billing_plan_markup_not_below_free"),
        )

    def __str__(self) -> str:
        return self.name


class TenantPlan(models.Model):
    """The plan that a tenant is on."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="price_plan", verbose_name=_("tenant"))
    plan = models.ForeignKey(PricePlan, models.PROTECT, related_name="tenants", verbose_name=_("price plan"))
    since = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("plan of a tenant")
        verbose_name_plural = _("plans of tenants")

    def __str__(self) -> str:
        return f"{self.tenant}: {self.plan}"
