"""Cookies and the Content-Security-Policy as an operator sets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from costrouter.policy import OURS, with_additions

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "LANGUAGE_COOKIE_SECURE", "SESSION_COOKIE_DOMAIN",
    "CSRF_COOKIE_SAMESITE", "SESSION_COOKIE_AGE", "SECURE_HSTS_PRELOAD",
)  # fmt: skip


def read(tmp_path: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """What the settings make of these variables, as JSON of NAMES."""
    program = f"import json; from costrouter import settings as s; print(json.dumps([getattr(s, n) for n in {NAMES}]))"
    environment = {**os.environ, "COSTROUTER_VAR": str(tmp_path), **values}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({}, [False, False, False, None, "Lax", 1_209_600, False], id="defaults"),
        pytest.param(
            {"SITE_URL": "https://g.example.com"}, [True, True, True, None, "Lax", 1_209_600, False], id="https"
        ),
        pytest.param(
            {"COOKIE_SECURE": "on", "COOKIE_DOMAIN": "example.com", "COOKIE_SAMESITE": "Strict",
             "SESSION_SECONDS": "3600", "HSTS_PRELOAD": "true"},
            [True, True, True, "example.com", "Strict", 3600, True], id="all set",
        ),
    ],
)  # fmt: skip
def test_cookies_are_what_the_environment_says(tmp_path: Path, values: dict[str, str], expected: list[object]) -> None:
    assert json.loads(read(tmp_path, **values).stdout) == expected


def test_addition_that_no_browser_knows_stops_the_start_in_words(tmp_path: Path) -> None:
    done = read(tmp_path, CSP_ADDITIONS="images https://cdn.example.com")

    assert "ImproperlyConfigured: CSP_ADDITIONS: images is none of: base-uri, " in done.stderr


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        pytest.param("", {}, id="none"),
        pytest.param(" ; ", {}, id="blank"),
        pytest.param("img-src a.example https:", {"img-src": ["'self'", "data:", "a.example", "https:"]},
                     id="to ours"),
        pytest.param("font-src a.example;", {"font-src": ["'self'", "a.example"]}, id="to what is default"),
        pytest.param("frame-ancestors a.example", {"frame-ancestors": ["a.example"]}, id="instead of none"),
        pytest.param("report-uri /csp", {"report-uri": ["/csp"]}, id="reports"),
        pytest.param("img-src a.example; img-src b.example", {"img-src": ["'self'", "data:", "a.example", "b.example"]},
                     id="twice"),
    ],
)  # fmt: skip
def test_additions_stand_beside_what_pages_need(text: str, changed: dict[str, list[str]]) -> None:
    assert with_additions(text) == OURS | changed


@pytest.mark.parametrize("text", ["img-src", "img-src a.example,b.example", "IMG-SRC a.example", "sandbox allow-forms"])
def test_what_is_no_addition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"followed by sources|is none of"):
        with_additions(text)


def test_pages_have_the_additions(db: None, client: Client, settings: Settings) -> None:
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": with_additions("script-src https://stats.example.com")}

    policy = client.get("/").headers["Content-Security-Policy"]

    assert "script-src 'self' https://stats.example.com" in policy.split("; ")
