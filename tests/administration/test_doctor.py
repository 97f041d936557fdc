"""`manage.py doctor` says in words what is wrong with an installation."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from pytest_django.fixtures import Settings

from administration import doctor
from administration.doctor import State

pytestmark = pytest.mark.django_db


def test_every_part_is_looked_at_and_a_sound_one_exits_with_0(settings: Settings) -> None:
    settings.REDIS_URL = ""
    said = io.StringIO()
    try:
        call_command("doctor", stdout=said)
    except CommandError as error:
        pytest.fail(f"{error}\n{said.getvalue()}")

    assert [line.split(":")[0][7:] for line in said.getvalue().splitlines()] == list(doctor.EXAMINATIONS)


def test_what_is_wrong_is_counted_and_exits_with_1(settings: Settings) -> None:
    settings.REDIS_URL = ""
    MigrationRecorder(connection).record_unapplied("accounts", "0003_refused_calls")
    said = io.StringIO()

    with pytest.raises(CommandError, match="1 of 12 parts"):
        call_command("doctor", stdout=said)
    assert "WRONG  Migrations: The database is older than this version" in said.getvalue()


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
