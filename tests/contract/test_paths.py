"""Paths and methods: HEAD and OPTIONS, what is not there, and base URLs that are nearly right."""

from __future__ import annotations

import httpx
import pytest

from tests.callers import PATH, Caller
from tests.envelopes import assert_error, assert_refused
from tests.installation import Offer

READ = ["/v1/models", "/v1/models/any", "/v1/key", "/v1/credits", "/v1/generation"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"])
def test_completions_are_only_posted(caller: Caller, method: str) -> None:
    with caller.nothing_changes():
        response = caller.client.request(method, PATH)

    assert_refused(response, 405, "method_not_supported", param=None)
    assert response.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_is_read_is_only_read(caller: Caller, method: str, path: str) -> None:
    response = caller.client.request(method, path, json={})

    assert_refused(response, 405, "method_not_supported", param=None)
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/key", "/v1/credits", "/v1/models/no-such", "/v1/nothing"])
def test_head_is_get_without_its_body(caller: Caller, path: str) -> None:
    whole, head = caller.client.get(path), caller.client.head(path)

    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    names = set(whole.headers) - {"date"}
    assert set(head.headers) - {"date"} == names


def test_head_where_there_is_no_get_is_refused_without_a_body(caller: Caller) -> None:
    response = caller.client.head(PATH)

    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST, OPTIONS", b"")


@pytest.mark.parametrize(("path", "allowed"), [(PATH, "POST, OPTIONS"), ("/v1/models", "GET, HEAD, OPTIONS")])
def test_options_tells_the_methods_to_everybody(caller: Caller, path: str, allowed: str) -> None:
    response = httpx.options(caller.installation.gateway_url + path)

    assert (response.status_code, response.content, response.headers["allow"]) == (204, b"", allowed)
    assert response.headers["x-request-id"]
    assert "content-length" not in response.headers


# --- what is not there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/chat",
        "/v1/chat/completion",
        "/v1/chat/completions/x",
        "/v1/chat/completions%00",
        "/v1/CHAT/completions",
        "/v1/../v1/nothing",
        "/v1/engines/x/completions",
        "/nothing",
        "/<script>alert(1)</script>",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_path_is_refused(caller: Caller, model: Offer, method: str, path: str) -> None:
    url = httpx.URL(caller.installation.gateway_url).copy_with(raw_path=path.encode())
    with caller.nothing_changes():
        response = caller.client.request(method, url, json=caller.body(model))

    error = assert_error(response, 404, "invalid_request_error", "unknown_url", param=None)
    assert "<" not in error["message"]


@pytest.mark.parametrize("path", ["/v1beta", "/v1beta/", "/v1beta/nothing", "/v1beta/models/x:nothing"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_unknown_path_of_googles_format_is_refused_in_it(caller: Caller, path: str, accept: str) -> None:
    response = caller.client.get(path, headers={"accept": accept})

    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    assert response.json()["error"]["status"] == "NOT_FOUND"


MEANT: dict[str, str] = {
    "/chat/completions": "/v1/chat/completions",
    "/V1/chat/completions": "/v1/chat/completions",
    "/api/v1/chat/completions": "/v1/chat/completions",
    "/openai/v1/chat/completions": "/v1/chat/completions",
    "/v1/v1/chat/completions": "/v1/chat/completions",
    "/v1//chat/completions": "/v1/chat/completions",
    "/v1/chat/completions/": "/v1/chat/completions",
    "/v1/chat/completion": "/v1/chat/completions",
    "/openai/deployments/gpt-4o/chat/completions": "/v1/chat/completions",
    "/models": "/v1/models",
    "/v1/v1/models": "/v1/models",
    "/v1/models/": "/v1/models",
    "/models/lab/small:free": "/v1/models/lab/small:free",
    "/api/v1/key": "/v1/key",
    "/api/v1/auth/key": "/v1/key",
    "/api/v1/credits": "/v1/credits",
    "/api/v1/generation": "/v1/generation",
}


@pytest.mark.parametrize(("path", "meant"), MEANT.items(), ids=MEANT.keys())
def test_path_that_is_nearly_right_is_told_the_right_one(caller: Caller, path: str, meant: str) -> None:
    url = httpx.URL(caller.installation.gateway_url).copy_with(raw_path=path.encode())
    for response in (caller.client.get(url), caller.client.post(url, json={})):
        error = assert_refused(response, 404, "unknown_url", param=None)
        assert error["message"].endswith(f"Did you mean {meant}?")


@pytest.mark.parametrize("path", ["/nothing", "/pictures", "/portal/nothing", "/static/nothing.json"])
def test_any_unknown_path_is_json_for_who_asks_for_json(caller: Caller, path: str) -> None:
    response = caller.client.get(path, headers={"accept": "application/json"})

    assert response.status_code == 404
    assert response.headers["content-type"].startswith("application/json") or path.startswith("/static/")


@pytest.mark.parametrize("path", ["/", "/portal/", "/accounts/login/", "/admin/"])
def test_page_that_takes_no_json_is_no_path_of_the_api(caller: Caller, path: str) -> None:
    with caller.nothing_changes():
        response = caller.client.post(path, json={})

    assert_refused(response, 404, "unknown_url", param=None)


@pytest.mark.parametrize("path", ["/chat/completions", "/models", "/nothing"])
def test_browser_keeps_its_page(caller: Caller, path: str) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

    response = caller.client.get(path, headers={"accept": accept})

    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/accounts/login/", "/en/docs/openapi.yaml", "/vi/docs/openapi.yaml"])
def test_page_that_is_there_is_served_to_who_asks_for_json(caller: Caller, path: str) -> None:
    assert caller.client.get(path, headers={"accept": "application/json"}).status_code == 200


def test_the_official_sdk_shows_the_hint(caller: Caller) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=caller.installation.gateway_url, api_key=caller.secret, max_retries=0)

    with client, pytest.raises(openai.NotFoundError) as caught:
        client.models.list()

    assert "Did you mean /v1/models?" in str(caught.value)
