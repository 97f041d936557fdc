"""Prices: versioned tariffs, written once. Their rates are the table of usage kinds (billing/kinds.py)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.validators import MinValueValidator
from django.db import IntegrityError, models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from billing import terms
from billing.kinds import KINDS, Kind
from billing.models.base import AppendOnly
from billing.models.plans import PricePlan
from billing.prices import Tariff

_MOST_ATTEMPTS = 5


class Rates(AppendOnly):
    """One version of a tariff: ledger units per million by kind of usage, and a flat fee per request.

    Empty means "no rate of its own": the kind then costs what the kind that contains it costs. Zero is a price.
    """

    input: int
    output: int
    currency = models.CharField(_("currency"), max_length=3, choices=Tenant.Currency, default=Tenant.Currency.USD)
    version = models.PositiveIntegerField(_("version"), editable=False)
    effective_from = models.DateTimeField(_("effective from"), default=timezone.now)
    request_fee = models.BigIntegerField(_("fee per request"), default=0, validators=[MinValueValidator(0)])
    terms = models.JSONField(_("terms"), null=True, blank=True, default=None)
    """What deviates above a length of input or in hours of the day (billing/terms.py)."""
    source = models.CharField(_("source"), max_length=60, null=True, blank=True, default=None, editable=False)  # noqa: DJ001
    """Whose list it was taken over from (routing/catalogue/vendors.py); empty if somebody entered it."""
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        abstract = True

    def versions(self) -> models.QuerySet[Any]:
        """The rows that are versions of the same price."""
        raise NotImplementedError

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Numbers a new row. Two operators may be about to save the same number: the second one takes the next."""
        numbers_itself = self._state.adding and not self.version
        for attempts_left in reversed(range(_MOST_ATTEMPTS if numbers_itself else 1)):
            try:
                with transaction.atomic():
                    if numbers_itself:
                        self.version = (self.versions().aggregate(last=models.Max("version"))["last"] or 0) + 1
                    return super().save(*args, **kwargs)
            except IntegrityError:
                if not attempts_left:
                    raise
        return None

    @property
    def tariff(self) -> Tariff:
        """The immutable value behind the row."""
        own = {kind.rate: getattr(self, kind.rate) for kind in KINDS} | {terms.FEE: self.request_fee}
        return terms.tariff_of(self.pk, self.currency, own, terms.loaded(self.terms))

    def take_back(self, by: User | None) -> None:
        """Withdraws this one row; whether it may be is not asked here (billing/plans.py)."""
        withdrawals: type[Any] = self._meta.get_field("withdrawal").related_model  # type: ignore[assignment]
        withdrawals.objects.get_or_create(price=self, defaults={"created_by": by})

    def tariff_at(self, moment: dt.datetime) -> Tariff:
        """The same, as it held for a request that began at this moment."""
        return self.tariff.at(moment.timestamp())


def _rate(kind: Kind) -> models.BigIntegerField[Any, Any]:
    may_be_empty = not kind.is_required
    return models.BigIntegerField(
        _(kind.label), null=may_be_empty, blank=may_be_empty, validators=[MinValueValidator(0)]
    )


for _kind in KINDS:
    Rates.add_to_class(_kind.rate, _rate(_kind))


class PriceQuerySet(models.QuerySet["Price"]):
    def in_use(self) -> PriceQuerySet:
        """Without what was withdrawn before it took effect."""
        return self.filter(withdrawal=None)


class Price(Rates):
    """What a tenant pays for a model. The version that holds is the latest whose time has come.

    Versions are numbered per model and currency, those of plans among them.
    """

    model = models.CharField(_("model"), max_length=200, help_text=_("The public name that clients send."))
    plan = models.ForeignKey(
        PricePlan, models.PROTECT, null=True, blank=True, db_constraint=False, db_index=False, related_name="prices",
        verbose_name=_("price plan"),
        help_text=_("Empty: the list, which tenants without a plan pay."),
    )  # fmt: skip
    copy_of = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, db_constraint=False, db_index=False, editable=False,
        related_name="copies", verbose_name=_("copy of"),
    )  # fmt: skip
    """The list's version that a plan follows, with its markup; empty if somebody entered the price."""
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, editable=False, related_name="+")

    objects = PriceQuerySet.as_manager()

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
        # Which version is in force, without reading those before (routing/catalogue/snapshot.py). The list has an index
        # of its own: PostgreSQL does not take "is empty" for a value that an order may skip.
        indexes = (
            models.Index(
                fields=["model", "currency", "effective_from", "version"],
                condition=models.Q(plan=None),
                name="billing_price_of_list",
            ),
            models.Index(
                fields=["plan", "model", "currency", "effective_from", "version"], name="billing_price_of_plan"
            ),
            models.Index(fields=["effective_from"], name="billing_price_coming"),
        )

    def __str__(self) -> str:
        return f"{self.model} v{self.version} {self.currency}"

    def versions(self) -> models.QuerySet[Price]:
        return Price.objects.filter(model=self.model, currency=self.currency)


class Withdrawal(AppendOnly):
    """A version was taken back before it took effect."""

    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, editable=False, related_name="+")
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        abstract = True


class PriceWithdrawal(Withdrawal):
    price = models.OneToOneField(Price, models.PROTECT, related_name="withdrawal", verbose_name=_("price"))

    class Meta:
        verbose_name = _("withdrawn price")
        verbose_name_plural = _("withdrawn prices")

    def __str__(self) -> str:
        return str(self.price)
