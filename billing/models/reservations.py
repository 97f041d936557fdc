"""Reservations, and the processes that own them."""

from __future__ import annotations

import uuid

import msgspec
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from billing.kinds import Usage


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
    """Money held before the first attempt. It carries what anyone needs to settle it if its owner dies.

    It has no foreign key that the database checks: the statement that inserts it has just locked its balances.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    legs = models.JSONField(default=list)
    """The ids of the balances that `amount` was taken from, each of them the whole of it, in rising order."""
    amount = models.BigIntegerField(_("amount"))
    owner = models.UUIDField(_("owner"), db_index=True)
    tenant = models.ForeignKey(
        Tenant,
        models.PROTECT,
        related_name="reservations",
        db_constraint=False,
        db_index=False,
        verbose_name=_("tenant"),
    )
    api_key_id = models.BigIntegerField()
    endpoint = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    price_id = models.BigIntegerField()
    is_stream = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    channel = models.CharField(max_length=120, default="")
    usage = models.JSONField(default=dict)
    """What the last progress said; kinds that were not used are left out."""

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        constraints = (models.CheckConstraint(condition=models.Q(amount__gte=0), name="billing_reservation_amount"),)

    def __str__(self) -> str:
        return str(self.id)

    @property
    def noted_usage(self) -> Usage:
        """What was used as far as progress was written down."""
        return msgspec.convert(self.usage, Usage)
