"""The home page, the language, and what every page of the site has in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import reverse
from django.views import defaults

from accounts.models import ApiKey, User
from tests.pages import Browser


@pytest.mark.parametrize(
    ("language", "text"), [pytest.param("en", "Sign up", id="en"), pytest.param("vi", "Đăng ký", id="vi")]
)
def test_the_home_page_speaks_the_visitors_language(db: None, language: str, text: str) -> None:
    page = Browser(headers={"accept-language": language}).open(reverse("home"))

    assert f'<html lang="{language}">' in page.text
    assert text in page.links


def test_the_language_switch_stays_on_its_page_and_is_remembered_for_a_user(alices: Browser, alice: User) -> None:
    answer = alices.open("/portal/keys/?page=1").press("Tiếng Việt")

    alice.refresh_from_db()
    assert answer.location == "/portal/keys/?page=1"
    assert alice.language == "vi"
    assert '<html lang="vi">' in alices.open(reverse("portal:overview")).text


def test_the_language_switch_never_leaves_the_site_by_a_forged_address(browser: Browser) -> None:
    answer = browser.forge(reverse("set_language"), {"language": "vi", "next": "https://evil.example/"})

    assert answer.location == "/"


@pytest.mark.parametrize(
    ("status", "answer", "heading"),
    [
        pytest.param(500, defaults.server_error, "Something broke on our side", id="500"),
        pytest.param(400, partial(defaults.bad_request, exception=Exception()), "was not understood", id="400"),
        pytest.param(403, partial(defaults.permission_denied, exception=Exception()), "not for you to do", id="403"),
        pytest.param(404, partial(defaults.page_not_found, exception=Exception()), "does not exist", id="404"),
    ],
)
def test_errors_have_our_look(
    rf: RequestFactory, status: int, answer: Callable[[HttpRequest], HttpResponse], heading: str
) -> None:
    response = answer(rf.get("/somewhere/"))

    assert response.status_code == status
    assert heading in response.content.decode()
    assert "css/site.css" in response.content.decode()


def test_a_forged_form_without_token_is_refused_in_our_look(alices: Browser) -> None:
    answer = alices.post(reverse("portal:key_create"), {"name": "forged"})

    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()
    assert ApiKey.objects.count() == 0


def test_pages_load_nothing_inline_and_nothing_from_elsewhere(alices: Browser) -> None:
    page = alices.open(reverse("portal:overview"))

    assert "script-src 'self'" in page.response["content-security-policy"]
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page.text) == []
    assert re.findall(r"\sstyle=|<style|\son[a-z]+=", page.text) == []
    assert re.findall(r'(?:src|href)="https?://', page.text) == []
