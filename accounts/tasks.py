"""Background work of accounts; each task is safe to run twice."""

from __future__ import annotations

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from accounts import refusals


@shared_task
def clear_expired_sessions() -> None:
    call_command("clearsessions")


@shared_task
def forget_old_refusals() -> None:
    while refusals.forget_old(timezone.now()):
        pass
