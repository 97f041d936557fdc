"""The Celery app of a real installation: one worker and one beat, on Redis."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")

app = Celery("costrouter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
