"""`manage.py doctor` says in words what is wrong with an installation."""

from __future__ import annotations

import contextlib
import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from pytest_django.fixtures import Settings

from administration import doctor
from administration.doctor import State

pytestmark = pytest.mark.django_db


def told() -> tuple[list[str], list[str]]:
    """The parts that were looked at, and what is wrong but for the tests' own server, which trusts no disk."""
    said = io.StringIO()
    with contextlib.suppress(CommandError):
        call_command("doctor", stdout=said)
    lines = said.getvalue().splitlines()
    return [line[7:].split(":")[0] for line in lines], [
        line for line in lines if line.startswith("WRONG") and "Durability" not in line
    ]


def test_every_part_is_looked_at(settings: Settings) -> None:
    settings.REDIS_URL = ""

    assert told() == (list(doctor.EXAMINATIONS), [])


def test_what_is_wrong_is_named_and_exits_with_1(settings: Settings) -> None:
    settings.REDIS_URL = ""
    MigrationRecorder(connection).record_unapplied("accounts", "0003_refused_calls")

    (wrong,) = told()[1]
    assert wrong.startswith("WRONG  Migrations: The database is older than this version: accounts 0003_refused_calls")
    with pytest.raises(CommandError, match="parts are not well"):
        call_command("doctor", stdout=io.StringIO())


@pytest.mark.parametrize(
    ("values", "state", "words"),
    [
        pytest.param({"ALLOWED_HOSTS": ["other.example.com"]}, State.WRONG, "ALLOWED_HOSTS", id="another host"),
        pytest.param({"TRUSTED_PROXIES": []}, State.WRONG, "TRUSTED_PROXIES is empty", id="no proxy"),
        pytest.param({"SITE_URL": "http://gateway.example.com"}, State.WRONG, "unencrypted", id="no TLS"),
        pytest.param({"CSRF_TRUSTED_ORIGINS": []}, State.NOTE, "CSRF_TRUSTED_ORIGINS", id="no origin"),
        pytest.param({"ALLOWED_HOSTS": [".example.com"]}, State.WELL, "People reach", id="a whole domain"),
        pytest.param({}, State.WELL, "People reach", id="sound"),
    ],
)
def test_addresses_that_do_not_fit_together(
    settings: Settings, values: dict[str, object], state: State, words: str
) -> None:
    sound = {"SITE_URL": "https://gateway.example.com", "ALLOWED_HOSTS": ["gateway.example.com"],
             "CSRF_TRUSTED_ORIGINS": ["https://gateway.example.com"], "TRUSTED_PROXIES": ["10.0.0.0/8"]}  # fmt: skip
    for name, value in {**sound, **values}.items():
        setattr(settings, name, value)

    found = doctor.addresses()

    assert (found.state, words in found.words) == (state, True)


def test_server_that_is_away_is_told_in_words(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    found = doctor.examined(doctor.shared_limits)

    assert found.state is State.WRONG
    assert found.words.startswith("does not answer: ")


@pytest.mark.parametrize(
    ("is_there", "state"), [pytest.param(True, State.WELL, id="there"), pytest.param(False, State.WRONG, id="away")]
)
def test_throttles_are_not_well_while_redis_is_away(
    settings: Settings, redis_url: str, is_there: bool, state: State
) -> None:
    location = redis_url if is_there else "redis://127.0.0.1:1/0"
    options = {"socket_connect_timeout": 1}
    settings.CACHES = {
        "default": {"BACKEND": "accounts.shared_cache.SharedCache", "LOCATION": location, "OPTIONS": options}
    }

    assert doctor.page_throttles().state is state
