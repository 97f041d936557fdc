"""Running processes and their heartbeats, by the database's clock."""

from __future__ import annotations

import datetime as dt
import os
import socket
import uuid

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from billing.models import Process


def register() -> str:
    """Writes this process down; its id, in hex, owns the reservations it makes."""
    owner = uuid.uuid4()
    _write_down(owner)
    return owner.hex


def beat(owner: str) -> None:
    """Says that this process lives, also where its row is gone: the database may have been restored."""
    if not Process.objects.filter(pk=owner).update(heartbeat_at=Now()):
        _write_down(uuid.UUID(owner))


def _write_down(owner: uuid.UUID) -> None:
    Process.objects.create(
        id=owner, host=socket.gethostname()[:120], pid=os.getpid(), started_at=Now(), heartbeat_at=Now()
    )


def leave(owner: str) -> None:
    """An orderly end: whatever it still held may be recovered at once."""
    Process.objects.filter(pk=owner).delete()


def live() -> QuerySet[Process]:
    """The processes whose heartbeat is fresh."""
    return Process.objects.filter(heartbeat_at__gte=Now() - dt.timedelta(seconds=settings.OWNER_DEAD_SECONDS))


def forget_dead() -> None:
    """Removes the rows of processes that have been silent for a day."""
    Process.objects.filter(heartbeat_at__lt=Now() - dt.timedelta(days=1)).delete()
