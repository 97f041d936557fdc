"""A misconfiguration is named before the first request."""

from __future__ import annotations

import base64
import os
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from costrouter.policy import with_additions

ROOT = Path(__file__).resolve().parents[2]
SOUND = {
    "EMBEDDED": False,
    "REDIS_URL": "redis://127.0.0.1/0",
    "SITE_URL": "https://gateway.example.com",
    "TRUSTED_PROXIES": ["10.0.0.0/8"],
    "HAS_MAIL": True,
    "HAS_TLS": True,
    "SESSION_COOKIE_SECURE": True,
}

NO_TLS = {"SITE_URL": "http://gateway.example.com", "HAS_TLS": False}
CARDS = {"STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_0123456789"}


def csp(additions: str) -> dict[str, Any]:
    return {"CONTENT_SECURITY_POLICY": {"DIRECTIVES": with_additions(additions)}}


def _ids() -> set[str]:
    found = run_checks(include_deployment_checks=True)
    return {str(message.id) for message in found if str(message.id).startswith("costrouter.")}


def _set(settings: Settings, **values: Any) -> None:
    for name, value in values.items():
        setattr(settings, name, value)


def test_sound_installation_has_no_complaint(settings: Settings) -> None:
    _set(settings, **SOUND)

    assert _ids() == set()


def test_example_of_an_installation_is_fit_for_the_internet(tmp_path: Path) -> None:
    """`manage.py check --deploy` has nothing to say of .env.example with its secrets filled in."""
    example = (ROOT / ".env.example").read_text()
    values = dict(re.findall(r"^([A-Z_]+)=(.+)$", example, re.MULTILINE))
    secrets = {
        "SECRET_KEY": string.ascii_letters + string.digits,
        "KEY_PEPPERS": "k" * 48,
        "MASTER_KEYS": "k1:" + base64.b64encode(bytes(32)).decode(),
        "DATABASE_URL": "postgres://costrouter:x@127.0.0.1:5432/costrouter",
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "COSTROUTER_VAR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env={**os.environ, **values, **secrets}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({"EMBEDDED": True}, {"costrouter.W001", "costrouter.W010"}, id="redis without postgres"),
        pytest.param({"REDIS_URL": ""}, {"costrouter.W002"}, id="postgres without redis"),
        pytest.param(NO_TLS | {"SESSION_COOKIE_SECURE": False}, {"costrouter.W011"}, id="no tls"),
        pytest.param(NO_TLS, {"costrouter.W011", "costrouter.E013"}, id="cookies that nobody sends back"),
        pytest.param({"SESSION_COOKIE_SECURE": False}, {"costrouter.W015"}, id="cookies unencrypted"),
        pytest.param({"SESSION_COOKIE_SAMESITE": "None"}, {"costrouter.E012"}, id="cookies for every site"),
        pytest.param({"SESSION_COOKIE_DOMAIN": ".example.com"}, set(), id="cookies of a domain"),
        pytest.param({"SESSION_COOKIE_DOMAIN": "ample.com"}, {"costrouter.E014"}, id="cookies of another domain"),
        pytest.param({"SECURE_HSTS_PRELOAD": True}, {"costrouter.E015"}, id="preload of one host"),
        pytest.param(csp("script-src 'unsafe-inline'"), {"costrouter.W016"}, id="any script"),
        pytest.param(csp("script-src https://stats.example.com"), set(), id="scripts of a host"),
        pytest.param({"TRUSTED_PROXIES": []}, {"costrouter.W012"}, id="no proxy"),
        pytest.param({"DEBUG": True}, {"costrouter.E010"}, id="debug"),
        pytest.param({"TRUSTED_PROXIES": ["10.0.0.1/8"]}, {"costrouter.E001"}, id="proxy with host bits"),
        pytest.param({"CHANNEL_NETWORKS": ["intranet"]}, {"costrouter.E001"}, id="network that is a name"),
        pytest.param({"TRIAL_CREDIT": "5,00"}, {"costrouter.E002"}, id="credit with a comma"),
        pytest.param({"TRIAL_CREDIT": "-1"}, {"costrouter.E002"}, id="negative credit"),
        pytest.param({"TRIALS_PER_NETWORK": 0}, {"costrouter.E011"}, id="no trial credit for any network"),
        pytest.param({"TRIAL_AFTER_CONFIRMATION": False}, {"costrouter.W013"}, id="credit for made-up addresses"),
        pytest.param({"HAS_MAIL": False}, {"costrouter.W014"}, id="credit that nobody can get"),
        pytest.param({"ACCOUNT_EMAIL_VERIFICATION": "none"}, {"costrouter.W014"}, id="credit without a mail"),
        pytest.param({"HAS_MAIL": False, "TRIAL_CREDIT": "0"}, set(), id="no credit, no mail"),
        pytest.param({"HAS_MAIL": False, "SIGNUP_OPEN": False}, set(), id="nobody signs up, no mail"),
        pytest.param({"CONFIRM_ABOVE": {"USD": "much"}}, {"costrouter.E009"}, id="limit that is a word"),
        pytest.param({"GRANT_TWO_PERSONS_ABOVE": {"USD": "-1"}}, {"costrouter.E009"}, id="negative limit"),
        pytest.param({"OWNER_DEAD_SECONDS": 7.0}, {"costrouter.E003"}, id="dead before two heartbeats"),
        pytest.param({"PAGES_AT_ONCE": 0}, {"costrouter.E016"}, id="no page at all"),
        pytest.param({"MAX_OPEN_REQUESTS": 0}, {"costrouter.E016"}, id="no request at all"),
        pytest.param({"MAX_BODY_BYTES": -5}, {"costrouter.E016"}, id="bodies of less than nothing"),
        pytest.param({"HEARTBEAT_SECONDS": 0.0}, {"costrouter.E016"}, id="heartbeats without a pause"),
        pytest.param({"KEEP_ALIVE_SECONDS": -1.0}, {"costrouter.E016"}, id="comments without a pause"),
        pytest.param({"RETRY_BUDGET": 1.5}, {"costrouter.E004"}, id="retry budget above one"),
        pytest.param({"MAX_ATTEMPTS": 0}, {"costrouter.E005"}, id="no attempts"),
        pytest.param({"STRIPE_SECRET_KEY": "sk_live_x"}, {"costrouter.E006"}, id="cards without a webhook secret"),
        pytest.param(CARDS | {"STRIPE_API_BASE": "http://10.0.0.1"}, {"costrouter.E006"}, id="the key unencrypted"),
        pytest.param(CARDS | {"STRIPE_API_BASE": "http://localhost.evil"}, {"costrouter.E006"}, id="a name"),
        pytest.param(CARDS | {"STRIPE_API_BASE": "http://127.0.0.1:1"}, set(), id="a stand-in on loopback"),
        pytest.param({"TOP_UP_BONUS_PERCENT": 101}, {"costrouter.E007"}, id="more bonus than money"),
        pytest.param({"BANK_QUOTE_MINUTES": 0}, {"costrouter.E007"}, id="quotes that never hold"),
        pytest.param({"TOP_UP_MIN": {"USD": "5"}}, {"costrouter.E008"}, id="a currency without a bound"),
        pytest.param({"TOP_UP_MAX": {"USD": "x", "VND": "1"}}, {"costrouter.E008"}, id="a bound that is no number"),
    ],
)
def test_misconfiguration_is_named(settings: Settings, values: dict[str, Any], expected: set[str]) -> None:
    _set(settings, **SOUND)
    _set(settings, **values)

    assert _ids() == expected


@pytest.mark.parametrize("url", ["gateway.example.com", "ftp://gateway.example.com", "https://", ""])
def test_site_that_no_browser_opens_is_named(settings: Settings, url: str) -> None:
    _set(settings, **SOUND)
    settings.SITE_URL = url

    assert "costrouter.E017" in _ids()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        pytest.param("MAX_BODY_BYTES", "20 MiB", "a whole number", id="unit"),
        pytest.param("DRAIN_SECONDS", "soon", "a number", id="word"),
        pytest.param("DRAIN_SECONDS", "inf", "a number", id="for ever"),
        pytest.param("OWNER_DEAD_SECONDS", "15s", "a number", id="number with a unit"),
        pytest.param("ADMIN_SECOND_FACTOR", "enabled", "true or false", id="word for true that is none"),
        pytest.param("CONFIRM_ABOVE", "1000", "written otherwise", id="amount without its currency"),
        pytest.param("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR", id="level"),
        pytest.param("EMAIL_VERIFICATION", "sometimes", "one of none, optional, mandatory", id="verification"),
        pytest.param("SECRET_KEY", "short", "32 characters", id="secret"),
    ],
)
def test_value_that_is_none_is_told_in_one_sentence(tmp_path: Path, name: str, value: str, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT, env={**os.environ, "COSTROUTER_VAR": str(tmp_path), name: value},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith(f"manage.py: {name} ")
    assert words in done.stderr
