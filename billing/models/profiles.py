"""Billing profiles: whom a tenant's documents are addressed to, and how it is billed."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Member, Tenant, User
from billing.models.sellers import COUNTRY, LegalEntity


class BillingProfile(models.Model):
    """One for each tenant that entered something; without one it is prepaid, and its name stands on its documents."""

    class Billed(models.TextChoices):
        PREPAID = "prepaid", _("prepaid: a statement each month")
        POSTPAID = "postpaid", _("post-paid: an invoice each month")

    tenant = models.OneToOneField(Tenant, models.CASCADE, related_name="billing_profile", verbose_name=_("tenant"))
    name = models.CharField(_("name on invoices"), max_length=200)
    address = models.TextField(_("address"), max_length=600, blank=True)
    country = models.CharField(
        _("country"), max_length=2, blank=True, validators=[COUNTRY], help_text=_("Two letters, such as VN.")
    )
    tax_id = models.CharField(_("tax id"), max_length=40, blank=True)
    email = models.EmailField(
        _("e-mail address for invoices"), blank=True, help_text=_("Empty: owners and billing members get them.")
    )
    language = models.CharField(
        _("language of invoices"), max_length=5, choices=User.Language, default=User.Language.ENGLISH
    )
    billed = models.CharField(_("billed"), max_length=8, choices=Billed, default=Billed.PREPAID)
    threshold = models.BigIntegerField(
        _("invoice at"), null=True, blank=True, validators=[MinValueValidator(1)],
        help_text=_("Ledger units of unbilled usage; an invoice is drafted as soon as they are passed."),
    )  # fmt: skip
    tax_exemption = models.CharField(
        _("tax exemption"), max_length=80, blank=True, help_text=_("The certificate's number; no tax is added.")
    )
    entity = models.ForeignKey(
        LegalEntity, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("sold by"),
        help_text=_("Empty: the default legal entity."),
    )  # fmt: skip

    class Meta:
        verbose_name = _("billing profile")
        verbose_name_plural = _("billing profiles")
        ordering = ("tenant_id",)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, tenant: Tenant) -> BillingProfile:
        """The tenant's, or an unsaved one that says what holds without."""
        found = cls.objects.filter(tenant=tenant).select_related("entity").first()
        return found or cls(tenant=tenant, name=tenant.name, language=_language_of_owner(tenant))


def _language_of_owner(tenant: Tenant) -> str:
    owners = tenant.members.filter(role=Member.Role.OWNER).order_by("pk")
    return owners.values_list("user__language", flat=True).first() or User.Language.ENGLISH
