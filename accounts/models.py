"""Who is calling: users, tenants, their members and their API keys; and the calls that were refused."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Coalesce, Lower, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address; Django's own commands need these two methods."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in with an e-mail address. Staff are operators; everybody else works in a tenant."""

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        VIETNAMESE = "vi", "Tiếng Việt"

    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("name"), max_length=150, blank=True)
    language = models.CharField(_("language"), max_length=5, choices=Language, default=Language.ENGLISH)
    is_staff = models.BooleanField(_("operator"), default=False, help_text=_("May sign in to the administration."))
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = (models.UniqueConstraint(Lower("email"), name="accounts_user_email_any_case"),)

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.name or self.email


class RateLimits(models.Model):
    """Limits per minute and in flight; empty means unlimited."""

    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    tokens_per_minute = models.PositiveIntegerField(
        _("tokens per minute"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    concurrency = models.PositiveIntegerField(
        _("concurrent requests"), null=True, blank=True, validators=[MinValueValidator(1)]
    )

    class Meta:
        abstract = True


class Tenant(RateLimits):
    """The paying organisation and the unit of isolation."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        SUSPENDED = "suspended", _("suspended")

    class Currency(models.TextChoices):
        USD = "USD", "USD"
        VND = "VND", "VND"

    name = models.CharField(_("name"), max_length=120)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.ACTIVE)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency, default=Currency.USD)
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    says_payment_required = models.BooleanField(
        _("402 when the money is used up"),
        default=False,
        db_default=False,
        help_text=_("What the wallet cannot pay for is refused with the status 402 Payment Required instead of 429."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=("active", "suspended")), name="accounts_tenant_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(currency__in=("USD", "VND")), name="accounts_tenant_currency_known"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError for a time zone that does not exist: pages and invoices could not be made."""
        if self.time_zone not in zoneinfo.available_timezones():
            raise ValidationError({"time_zone": _("There is no such time zone.")})


class Member(models.Model):
    """A user's role in a tenant."""

    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        ADMIN = "admin", _("admin")
        DEVELOPER = "developer", _("developer")
        BILLING = "billing", _("billing")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="members", verbose_name=_("tenant"))
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", verbose_name=_("user"))
    role = models.CharField(_("role"), max_length=12, choices=Role)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = (
            models.UniqueConstraint(fields=("tenant", "user"), name="accounts_member_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=("owner", "admin", "developer", "billing")),
                name="accounts_member_role_known",
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"

    @property
    def can_manage_keys(self) -> bool:
        return self.role in {self.Role.OWNER, self.Role.ADMIN, self.Role.DEVELOPER}

    @property
    def can_manage_quotas(self) -> bool:
        return self.role in {self.Role.OWNER, self.Role.ADMIN}

    @property
    def can_manage_billing(self) -> bool:
        """How the tenant pays and is billed: codes, alerts, cards that are charged with nobody there, the profile."""
        return self.role in {self.Role.OWNER, self.Role.ADMIN}

    @property
    def can_pay(self) -> bool:
        return self.role in {self.Role.OWNER, self.Role.ADMIN, self.Role.BILLING}


class ApiKey(RateLimits):
    """A tenant's secret. Only its digest is kept; the secret itself is shown once, when it is issued."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        PAUSED = "paused", _("paused")
        REVOKED = "revoked", _("revoked")

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="api_keys", verbose_name=_("tenant"))
    created_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("created by")
    )
    name = models.CharField(_("name"), max_length=80)
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    prefix = models.CharField(_("prefix"), max_length=16, editable=False)
    last_four = models.CharField(_("last four"), max_length=4, editable=False)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.ACTIVE)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    allowed_models = models.JSONField(
        _("allowed models"), default=list, blank=True, help_text=_("Public model names; empty allows all.")
    )
    allowed_networks = models.JSONField(
        _("allowed networks"), default=list, blank=True, help_text=_("CIDR networks; empty allows all.")
    )
    allowed_origins = models.JSONField(
        _("allowed origins"),
        default=list,
        blank=True,
        help_text=_("Web origins whose scripts may use the key; empty allows none."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=("active", "paused", "revoked")), name="accounts_apikey_status_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        """The key as people may see it again: its prefix and its last four characters."""
        return f"{self.prefix}…{self.last_four}"

    def is_usable(self, now: dt.datetime) -> bool:
        return self.status == self.Status.ACTIVE and (self.expires_at is None or now < self.expires_at)

    def pause(self) -> None:
        self._move(self.Status.PAUSED)

    def resume(self) -> None:
        self._move(self.Status.ACTIVE)

    def revoke(self) -> None:
        """For good: a revoked key never comes back."""
        if self.status != self.Status.REVOKED:
            self.revoked_at = timezone.now()
            self._move(self.Status.REVOKED)

    def _move(self, status: Status) -> None:
        """Writes the status where the key is not revoked yet, whatever this instance believed."""
        changed = type(self).objects.filter(pk=self.pk).exclude(status=self.Status.REVOKED)
        if changed.update(status=status, revoked_at=self.revoked_at):
            self.status = status
        else:
            self.refresh_from_db(fields=("status", "revoked_at"))


class RefusedCall(models.Model):
    """One kind of refusal within one minute: how often an API key got an error before any upstream was asked.

    The other columns are of the last of them. Nothing of a body is here but the model that was asked for. Without a
    tenant: the calls of keys that nobody has, all together.
    """

    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        null=True,
        related_name="refused_calls",
        db_constraint=False,  # what was counted before a row went is written after it
        db_index=False,
        verbose_name=_("tenant"),
    )
    api_key = models.ForeignKey(
        ApiKey,
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("API key"),
    )
    code = models.CharField(_("error code"), max_length=64)
    minute = models.DateTimeField(_("minute"))
    count = models.BigIntegerField(_("calls"))
    at = models.DateTimeField(_("last at"))
    status = models.PositiveSmallIntegerField(_("HTTP status"))
    message = models.CharField(_("message"), max_length=300)
    param = models.CharField(_("field"), max_length=300, blank=True)
    model = models.CharField(_("model"), max_length=300, blank=True)
    path = models.CharField(_("path"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("refused call")
        verbose_name_plural = _("refused calls")
        indexes = (
            models.Index(fields=("tenant", "minute"), name="accounts_refused_tenant_minute"),
            models.Index(fields=("minute",), name="accounts_refused_minute"),
            # All of what the list of kinds adds up, in its order: 100,000 rows in 40 ms on SQLite instead of 250.
            models.Index(fields=("tenant", "api_key", "code", "minute", "count"), name="accounts_refused_kinds"),
        )
        constraints = (
            models.UniqueConstraint(
                Coalesce("tenant", 0, output_field=models.BigIntegerField()),
                Coalesce("api_key", 0, output_field=models.BigIntegerField()),
                "code",
                "minute",
                name="accounts_refused_once",
            ),
            models.CheckConstraint(condition=models.Q(count__gte=1), name="accounts_refused_count_positive"),
        )

    def __str__(self) -> str:
        return f"{self.status} {self.code}"


class KeyChange(models.Model):
    """That something changed of what processes keep of a key, or of all of a tenant's keys: of which, and not what.

    Triggers write it, in the transaction that changes (migrations/_key_changes.py); accounts/key_changes.py reads it.
    """

    # Of rows that may be gone.
    tenant_id = models.BigIntegerField(null=True)
    api_key_id = models.BigIntegerField(null=True)
    cleared = models.BigIntegerField(null=True)
    """Of a row about no key: what has a lower number than this is gone, whoever has not read it yet."""
    xact = models.BigIntegerField(db_index=True)
    """The transaction that wrote it, on PostgreSQL."""
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("change of keys")
        verbose_name_plural = _("changes of keys")

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.api_key_id}"
