"""Quotas: what a tenant, a member or a key may spend in a period."""

from __future__ import annotations

from typing import Literal

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Tenant, User


class Quota(models.Model):
    """A limit of spending. Each of its periods is a balance of its own (billing/quotas.py), so nothing is ever reset.

    It is the tenant's, a member's (of all keys that the member made) or one key's.
    """

    class Period(models.TextChoices):
        DAY = "day", _("per day")
        WEEK = "week", _("per week")
        MONTH = "month", _("per month")
        TOTAL = "total", _("in total")
        SESSION = "session", _("per session")

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="quotas", verbose_name=_("tenant"))
    user = models.ForeignKey(
        User, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("member"),
        help_text=_("Empty: the whole tenant, or one key."),
    )  # fmt: skip
    api_key = models.ForeignKey(
        ApiKey, models.CASCADE, null=True, blank=True, related_name="quotas", verbose_name=_("API key")
    )
    period = models.CharField(_("period"), max_length=8, choices=Period, default=Period.MONTH)
    amount = models.BigIntegerField(_("amount"), validators=[MinValueValidator(0)])
    is_hard = models.BooleanField(
        _("hard"), default=True, help_text=_("A hard quota refuses what would pass it; a soft one only tells.")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")
        ordering = ("tenant_id", "id")
        constraints = (
            models.UniqueConstraint(
                "tenant",
                Coalesce("user", 0),
                Coalesce("api_key", 0),
                "period",
                condition=models.Q(ended_at=None),
                name="billing_quota_one_each",
                violation_error_message=_("There is a quota of this kind already."),
            ),
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="billing_quota_amount"),
            models.CheckConstraint(
                condition=models.Q(user=None) | models.Q(api_key=None), name="billing_quota_one_subject"
            ),
        )

    def __str__(self) -> str:
        return f"{self.subject}, {self.get_period_display()}"

    @property
    def about(self) -> Literal["key", "member", "tenant"]:
        """What kind of subject it has."""
        if self.api_key_id is not None:
            return "key"
        return "member" if self.user_id is not None else "tenant"

    @property
    def name(self) -> str:
        """How the API names it: `key_day`, `tenant_month`, ..."""
        return f"{self.about}_{self.period}"

    @property
    def subject(self) -> str:
        """Whose spending it limits, in words."""
        if self.api_key is not None:
            return self.api_key.name
        return self.user.get_full_name() if self.user is not None else self.tenant.name

    def clean(self) -> None:
        if self.user is not None and self.api_key is not None:
            raise ValidationError(_("A quota is a member's or a key's, not both."))
        if self.api_key is not None and self.api_key.tenant_id != self.tenant_id:
            raise ValidationError({"api_key": _("This key is another tenant's.")})
        if self.user is not None and not self.tenant.members.filter(user=self.user).exists():
            raise ValidationError({"user": _("This user is no member of the tenant.")})


class QuotaDefault(models.Model):
    """A quota that every new member, or every new key, of a tenant gets. Those that are there already get none."""

    class About(models.TextChoices):
        MEMBER = "member", _("each new member")
        KEY = "key", _("each new key")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="quota_defaults", verbose_name=_("tenant"))
    about = models.CharField(_("whose"), max_length=6, choices=About)
    period = models.CharField(_("period"), max_length=8, choices=Quota.Period, default=Quota.Period.MONTH)
    amount = models.BigIntegerField(_("amount"), validators=[MinValueValidator(0)])
    is_hard = models.BooleanField(_("hard"), default=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("default quota")
        verbose_name_plural = _("default quotas")
        ordering = ("tenant_id", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "about", "period"),
                name="billing_quotadefault_one_each",
                violation_error_message=_("There is a quota of this kind already."),
            ),
            models.CheckConstraint(condition=models.Q(amount__gte=0), name="billing_quotadefault_amount"),
        )

    def __str__(self) -> str:
        return f"{self.get_about_display()}, {self.get_period_display()}"
