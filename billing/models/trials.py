"""Trial credits: what became of each, and whose they were."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User


class Trial(models.Model):
    """The credit of a tenant that signed up, from the sign-up until it is granted or is not."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waits for a confirmed address")
        QUEUED = "queued", _("waits for its network")
        GRANTED = "granted", _("granted")
        REPEATED = "repeated", _("this person has had one")

    tenant = models.OneToOneField(Tenant, models.CASCADE, primary_key=True, related_name="trial")
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="trials")
    """Who signed up."""
    network = models.CharField(max_length=64)
    """From where (accounts/networks.py, `neighbourhood`)."""
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("trial credit")
        verbose_name_plural = _("trial credits")
        indexes = (
            models.Index(fields=("created_at",), condition=models.Q(state="queued"), name="billing_trial_queued"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(state__in=("waiting", "queued", "granted", "repeated")),
                name="billing_trial_state_known",
            ),
        )

    def __str__(self) -> str:
        return f"{self.tenant_id}: {self.state}"


class TrialPlace(models.Model):
    """One of the places that a network has for credits, and when it was last taken: for a day."""

    network = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    taken_at = models.DateTimeField()

    class Meta:
        verbose_name = _("place for a trial credit")
        verbose_name_plural = _("places for trial credits")
        constraints = (models.UniqueConstraint(fields=("network", "number"), name="billing_trial_place_once"),)

    def __str__(self) -> str:
        return f"{self.network}: {self.number}"


class TrialPerson(models.Model):
    """A mailbox that was confirmed by somebody with a trial credit; it never gets another one."""

    digest = models.CharField(max_length=64, primary_key=True)
    """accounts/mailboxes.py, `digest_of`: the address itself leaves with its user."""
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("person with a trial credit")
        verbose_name_plural = _("people with a trial credit")

    def __str__(self) -> str:
        return self.digest
