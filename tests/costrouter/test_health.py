"""Whether a process lives and can serve, and that it serves no schema but its own."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from pytest_django.fixtures import Settings

from accounts import database, schema
from costrouter.health import Health, look
from routing.api.doors import Doors
from routing.catalogue.models import Channel

pytestmark = pytest.mark.django_db


@pytest.fixture
def recorder() -> MigrationRecorder:
    return MigrationRecorder(connection)


def test_all_is_well() -> None:
    assert look() == {"database": "ok", "migrations": "ok", "keys": "ok"}


def test_older_schema_is_refused_and_named(recorder: MigrationRecorder) -> None:
    recorder.record_unapplied("accounts", "0003_refused_calls")

    with pytest.raises(schema.WrongSchema, match="older than this version: accounts 0003_refused_calls not applied"):
        schema.require_own()
    assert look()["migrations"] == "another version's"


def test_newer_schema_is_refused_and_named(recorder: MigrationRecorder) -> None:
    recorder.record_applied("billing", "9999_of_tomorrow")

    with pytest.raises(schema.WrongSchema, match=r"newer than this version, .* billing 9999_of_tomorrow"):
        schema.require_own()


def test_migration_of_an_app_that_is_not_ours_any_more_is_no_newer_schema(recorder: MigrationRecorder) -> None:
    recorder.record_applied("axes", "0001_initial")

    schema.require_own()


def test_secret_that_the_master_keys_do_not_open_is_not_ready(settings: Settings) -> None:
    channel = Channel(name="sealed", provider="openai", base_url="https://api.example.com/v1")
    channel.set_secret("sk-of-the-vendor")
    channel.save()
    settings.MASTER_KEYS = {"other": bytes(32)}

    assert look()["keys"] == "MASTER_KEYS do not open a channel's secret"


def answered(health: Health, path: str) -> tuple[int, Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(health.answer(path, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_process_that_stops_lives_but_is_not_ready() -> None:
    doors = Doors(10)
    health = Health(doors)
    doors.is_leaving = True

    assert answered(health, "/health/live") == (200, {"status": "ok", "checks": {"process": "ok"}})
    assert answered(health, "/health/ready") == (503, {"status": "unavailable", "checks": {"process": "stopping"}})


def test_nobody_is_told_that_all_is_well_before_it_was_looked_at() -> None:
    """Also not who asks while another's look waits for a database that does not answer."""
    is_over, sent = threading.Event(), list[Any]()
    for _thread in range(2):
        database.REPORTERS.submit(is_over.wait, 20)

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask_at_once() -> None:
        health = Health(Doors(10))
        async with asyncio.timeout(10):
            await asyncio.gather(*(health.answer("/health/ready", send) for _balancer in range(3)))

    try:
        asyncio.run(ask_at_once())
    finally:
        is_over.set()

    assert [message["status"] for message in sent if "status" in message] == [503] * 3
