"""The jobs of a real installation: a real worker and a real beat on the real Redis, against PostgreSQL."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery.schedules import crontab
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import Tenant
from accounts.tasks import clear_expired_sessions
from billing import balances
from billing.models import Price, Process, Reservation, UsageRecord
from bin import leash
from costrouter.celery import app

HELD = 1_000_000


@pytest.fixture
def abandoned(transactional_db: None, tenant: Tenant) -> Reservation:
    """A reservation whose owner has not been heard of for a minute."""
    minute_ago = timezone.now() - dt.timedelta(minutes=1)
    owner = Process.objects.create(host="gone", pid=1, started_at=minute_ago, heartbeat_at=minute_ago)
    price = Price.objects.create(model="demo", input=1, output=1)
    wallet = balances.open_wallet(tenant)
    type(wallet).objects.filter(pk=wallet.pk).update(available=wallet.available - HELD)
    return Reservation.objects.create(
        id=uuid.uuid4(),
        legs=[wallet.pk],
        amount=HELD,
        owner=owner.pk,
        tenant_id=tenant.pk,
        api_key_id=1,
        endpoint="chat/completions",
        model="demo",
        price_id=price.pk,
        created_at=minute_ago,
    )


@pytest.fixture
def run_celery(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., leash.Leashed]]:
    """Starts `celery -A costrouter ...` against this test's own database."""
    database = connection.settings_dict
    login = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgres://{login}/{database['NAME']}",
        "HEARTBEAT_SECONDS": "0.5",
        "OWNER_DEAD_SECONDS": "1",
    }
    started: list[leash.Leashed] = []

    def start(*words: str) -> leash.Leashed:
        command = [sys.executable, "-m", "celery", "-A", "costrouter", *words]
        started.append(leash.start(command, env=environment, log=tmp_path / f"{words[0]}.log"))
        return started[-1]

    yield start
    for process in started:
        process.stop()
    for log in sorted(tmp_path.glob("*.log")):
        print(log.read_text())  # noqa: T201


def test_every_scheduled_task_exists_and_expires_before_its_next_run() -> None:
    app.loader.import_default_modules()

    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        period = 86_400 if isinstance(entry["schedule"], crontab) else entry["schedule"]
        assert entry["options"]["expires"] <= period


@pytest.mark.skipif("sqlite" in settings.DATABASES["default"]["ENGINE"], reason="needs PostgreSQL")
def test_worker_and_beat_settle_what_a_dead_process_held(
    abandoned: Reservation, run_celery: Callable[..., leash.Leashed], tmp_path: Path
) -> None:
    run_celery("worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "INFO")
    run_celery("beat", "--schedule", str(tmp_path / "beat"), "--pidfile", "", "--loglevel", "INFO")

    _wait_until(lambda: not Reservation.objects.exists(), seconds=45)

    record = UsageRecord.objects.get()
    assert (record.id, record.outcome, record.cost) == (abandoned.id, UsageRecord.Outcome.RECOVERED, 0)
    assert balances.open_wallet(abandoned.tenant).available == 5_000_000_000
    assert list(tmp_path.glob("beat*")), "beat's file is what its health check looks at"


def test_expired_sessions_are_cleared(db: None) -> None:
    clear_expired_sessions()


def _wait_until(is_true: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
