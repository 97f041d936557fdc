"""The path that was probably meant; the common ones are told over HTTP in tests/contract/test_paths.py."""

from __future__ import annotations

import time

import pytest

from routing.api.paths import ENDPOINTS, nearest
from routing.api.urls import urlpatterns


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/v1/images/edits/all", "/v1/videos", "/v1/files",
     "/favicon.ico", "/robots.txt", "/wp-login.php", "/v1/" + "chat/completions" * 30],
)  # fmt: skip
def test_what_resembles_nothing_gets_no_hint(path: str) -> None:
    assert nearest(path) is None


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/chat", "/v1/chat/completions"),
        ("/v1/chat/complete", "/v1/chat/completions"),
        ("/v1beta/openai/chat/completions", "/v1/chat/completions"),
        ("/v1/model", "/v1/models"),
        ("/v1/credit", "/v1/credits"),
        ("/models/<script>", "/v1/models"),
        ("/Models/Lab/Small", "/v1/models/Lab/Small"),
    ],
)
def test_what_resembles_an_endpoint_gets_its_path(path: str, meant: str) -> None:
    assert nearest(path) == meant


def test_every_endpoint_can_be_meant() -> None:
    served = {str(pattern.pattern) for pattern in urlpatterns}
    plain = {path.removeprefix("v1/") for path in served if path.startswith("v1/") and "<" not in path}
    assert plain == set(ENDPOINTS)


def test_no_path_takes_long() -> None:
    began = time.process_time()
    for path in ("/" * 60_000, "/a" * 128, "/" + "x" * 60_000, "/models" * 36):
        nearest(path)
    assert time.process_time() - began < 1
