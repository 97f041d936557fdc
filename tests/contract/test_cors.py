"""Browser apps: preflights, and answers that only pages on a key's own origins may read."""

from __future__ import annotations

import secrets
import time
from typing import Any

import httpx
import pytest

from accounts.models import ApiKey, Tenant
from tests.callers import PATH, Caller
from tests.installation import Offer
from tests.worlds import World

APP = "https://app.example"
OTHER = "https://other.example"
ASKING = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


@pytest.fixture
def app(world: World) -> Caller:
    """A caller whose key may be used by pages of one origin."""
    return world.caller(allowed_origins=[APP, "http://localhost:3000"])


def preflight(caller: Caller, origin: str, path: str = PATH, **headers: str) -> httpx.Response:
    """As a browser sends it: without a key."""
    return httpx.options(caller.installation.gateway_url + path, headers={"origin": origin, **ASKING, **headers})


def cors(response: httpx.Response) -> set[str]:
    return {name for name in response.headers if name.startswith("access-control-")}


def test_preflight_from_an_allowed_origin_is_answered(each_world: World) -> None:
    response = preflight(each_world.caller(allowed_origins=[APP]), APP)

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-allow-methods"] == "POST, OPTIONS"
    assert response.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "Origin" in response.headers["vary"]
    assert response.headers["allow"] == "POST, OPTIONS"
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origin", [OTHER, "null", "*", "https://app.example.evil", "http://app.example", APP + ":444"])
def test_preflight_from_any_other_origin_gets_nothing(app: Caller, origin: str) -> None:
    response = preflight(app, origin)

    assert response.status_code == 204
    assert cors(response) == set()


def test_options_that_is_no_preflight_gets_no_permission(app: Caller) -> None:
    response = httpx.options(app.installation.gateway_url + PATH, headers={"origin": APP})

    assert cors(response) == set()


def test_names_of_headers_that_are_none_are_not_repeated(app: Caller) -> None:
    response = preflight(app, APP, **{"access-control-request-headers": "a b;c"})

    assert "access-control-allow-headers" not in response.headers


def test_origin_counts_from_when_it_is_allowed_to_when_the_key_is_revoked(world: World) -> None:
    caller = world.caller()
    assert cors(preflight(caller, "https://late.example")) == set()
    with world.installation.database():
        ApiKey.objects.filter(pk=caller.holder.api_key.pk).update(allowed_origins=["https://late.example"])
    time.sleep(1.1)
    assert cors(preflight(caller, "https://late.example"))
    with world.installation.database():
        caller.holder.api_key.revoke()
    time.sleep(1.1)
    assert cors(preflight(caller, "https://late.example")) == set()


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answer_to_an_allowed_origin_may_be_read_with_its_headers(app: Caller, model: Offer) -> None:
    response = app.ask(model, headers={"origin": APP})

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["vary"] == "Origin"
    exposed = set(response.headers["access-control-expose-headers"].split(", "))
    assert {name for name in response.headers if name.startswith("x-")} <= exposed


def test_script_may_make_requests_one_and_read_that_an_answer_was_repeated(app: Caller, model: Offer) -> None:
    asked = preflight(app, APP, **{"access-control-request-headers": "authorization, content-type, idempotency-key"})
    headers = {"origin": APP, "idempotency-key": secrets.token_hex(16)}
    first, repeated = (app.ask(model, headers=headers) for _ in range(2))
    streams = {**headers, "idempotency-key": secrets.token_hex(16)}
    app.listen(model, headers=streams)
    used = app.client.post(PATH, json=app.body(model, stream=True), headers=streams)

    assert "idempotency-key" in asked.headers["access-control-allow-headers"]
    assert (first.status_code, repeated.headers["idempotent-replayed"], used.status_code) == (200, "true", 409)
    ours = {name for name in (*repeated.headers, *used.headers) if name.startswith(("x-", "idempotent-"))}
    assert "x-costrouter-first-request" in ours
    for response in (repeated, used):
        assert ours <= set(response.headers["access-control-expose-headers"].split(", "))


def test_stream_to_an_allowed_origin_may_be_read(app: Caller, model: Offer) -> None:
    stream = app.listen(model, headers={"origin": APP})

    assert stream.is_done
    assert stream.headers["access-control-allow-origin"] == APP
    assert stream.headers["vary"] == "Origin"


BAD: dict[str, tuple[dict[str, Any], int]] = {
    "invalid": ({"n": 0}, 400),
    "unknown model": ({"model": "no-such"}, 404),
}


@pytest.mark.parametrize(("members", "status"), BAD.values(), ids=BAD.keys())
def test_refusal_may_be_read_too(app: Caller, model: Offer, members: dict[str, Any], status: int) -> None:
    response = app.client.post(PATH, json={**app.body(model), **members}, headers={"origin": APP})

    assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, APP)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param({"allowed_networks": ["192.0.2.0/24"]}, 403, id="network"),
        pytest.param({"tenant": {"status": Tenant.Status.SUSPENDED}}, 403, id="suspended"),
    ],
)
def test_key_that_may_not_be_used_may_be_told_so(
    world: World, model: Offer, options: dict[str, Any], status: int
) -> None:
    caller = world.caller(allowed_origins=[APP], **options)

    response = caller.ask(model, headers={"origin": APP})

    assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, APP)


@pytest.mark.parametrize("origin", [OTHER, "null"])
def test_answer_to_another_origin_may_not_be_read(app: Caller, model: Offer, origin: str) -> None:
    response = app.ask(model, headers={"origin": origin})

    assert response.status_code == 200
    assert cors(response) == set()
    assert response.headers["vary"] == "Origin"


def test_only_the_requests_own_key_counts(app: Caller, caller: Caller, model: Offer) -> None:
    response = caller.ask(model, headers={"origin": APP})

    assert response.status_code == 200
    assert cors(response) == set()


def test_unknown_key_gets_no_permission(app: Caller, model: Offer) -> None:
    response = app.ask(model, headers={"origin": APP, "authorization": "Bearer sk-wrong"})

    assert response.status_code == 401
    assert cors(response) == set()


def test_other_clients_see_nothing_of_it(app: Caller, model: Offer) -> None:
    response = app.ask(model)

    assert cors(response) == set()
    assert "vary" not in response.headers
