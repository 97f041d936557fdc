# ruff: noqa: E402 - Django is set up before anything of ours is imported
"""The Celery app of a real installation: workers and one beat, on Redis.

Tasks are five lines that call a function of their app. The embedded default runs the same functions from the
process's own scheduler, so nothing of money waits for a worker.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from celery import Celery, signals
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")

from costrouter import starts

starts.set_up()

from django.conf import settings

from costrouter.checks import check_values

starts.require(check_values(None))

app = Celery("costrouter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

with contextlib.suppress(OSError):  # a worker needs no such folder; beat says itself what it cannot write
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)


@signals.celeryd_init.connect
@signals.beat_init.connect
def require_broker(**_: Any) -> None:
    """Ends a worker or beat that has no queue: it would wait in its own memory, and look as if it worked."""
    if not app.conf.broker_url.startswith("memory:"):
        return
    sys.exit(
        "There is no REDIS_URL, by which workers hear of tasks and beat tells them. Set the web processes' own, or run "
        "neither: without Redis the web processes do the same jobs by themselves."
    )


# A run that no worker took in time is dropped: the next one does the same.
app.conf.beat_schedule = {
    "settle-dead-owners": {
        "task": "billing.tasks.settle_dead_owners",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "run-payments": {
        "task": "billing.tasks.run_payments",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "forget-dead-processes": {
        "task": "billing.tasks.forget_dead_processes",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "make-months-ahead": {
        "task": "billing.tasks.make_months_ahead",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "make-invoices": {
        "task": "billing.tasks.make_invoices",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "expire-grants": {
        "task": "billing.tasks.expire_grants",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "grant-queued-trials": {
        "task": "billing.tasks.grant_queued_trials",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "draw-lots": {
        "task": "billing.tasks.draw_lots",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "send-alerts": {
        "task": "billing.tasks.send_alerts",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "reconcile": {
        "task": "billing.tasks.reconcile",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "forget-expired-keys": {
        "task": "billing.tasks.forget_expired_keys",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "forget-old-refusals": {
        "task": "accounts.tasks.forget_old_refusals",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "clear-expired-sessions": {
        "task": "accounts.tasks.clear_expired_sessions",
        "schedule": crontab(hour="3", minute="17"),
        "options": {"expires": 3600},
    },
}
# The schedule's file is written after every task, so that its age tells whether beat lives (docker-compose.yml).
app.conf.beat_sync_every = 1
