"""What holds for every endpoint of the registry alike: refusals in its clients' own form, and books that add up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Endpoint
from tests import generating
from tests import upstream as up
from tests.callers import Caller
from tests.contract import test_messages
from tests.contract.test_quotas import grant
from tests.envelopes import assert_error, assert_final
from tests.faults import CANARY
from tests.installation import DOLLAR, SINGLE, Offer, Shape, Tariff
from tests.worlds import World

# --- the table -------------------------------------------------------------------------------------------------------

Refusal = Callable[[httpx.Response, int, str, str], Any]
"""Asserts that an answer is a refusal with this status, OpenAI's type of it and its code."""


def in_openais_form(response: httpx.Response, status: int, kind: str, code: str) -> None:
    assert_error(response, status, kind, code)


def in_anthropics_form(response: httpx.Response, status: int, kind: str, code: str) -> None:
    kinds = {"server_error": "api_error", "insufficient_quota": "billing_error"}
    own = "not_found_error" if status == 404 else kinds[kind]
    test_messages.assert_refused(response, status, own, code)


def in_googles_form(response: httpx.Response, status: int, kind: str, code: str) -> None:
    own = {502: "UNAVAILABLE", 402: "FAILED_PRECONDITION", 429: "RESOURCE_EXHAUSTED", 404: "NOT_FOUND"}[status]
    param = "model" if status == 404 else None
    generating.assert_refused(response, status, own, code.upper(), param)
    assert CANARY not in response.text


OTHERS: Final = Shape(
    endpoints=tuple(
        name for name in ENDPOINTS if name not in {"chat.completions", "responses", "messages", "generate"}
    ),
    price=Tariff(image=40_000 * DOLLAR, second=100 * DOLLAR, character=15 * DOLLAR),
)
"""Serves whatever chat's format cannot say."""
UNPRICED: Final = Shape(endpoints=tuple(ENDPOINTS), price=None)


@dataclass(frozen=True, slots=True)
class Row:
    """How an endpoint's clients are refused, and the model that serves it here."""

    refused: Refusal = in_openais_form
    shape: Shape = OTHERS


ROWS: Final[dict[str, Row]] = {
    "chat.completions": Row(shape=SINGLE),
    "responses": Row(shape=SINGLE),
    "messages": Row(in_anthropics_form, SINGLE),
    "generate": Row(in_googles_form, SINGLE),
    "completions": Row(),
    "embeddings": Row(),
    "rerank": Row(),
    "moderations": Row(),
    "images.generations": Row(),
    "audio.speech": Row(),
    "audio.transcriptions": Row(),
    "audio.translations": Row(),
}


def test_every_endpoint_has_a_row() -> None:
    assert ROWS.keys() == ENDPOINTS.keys()


every_endpoint = pytest.mark.parametrize("name", ENDPOINTS)

# --- asking ----------------------------------------------------------------------------------------------------------


def send(caller: Caller, endpoint: Endpoint, model: Offer) -> httpx.Response:
    """The smallest request there is, on a connection of its own."""
    root = caller.installation.gateway_url
    if endpoint.name == "generate":
        url = f"{root}/v1beta{endpoint.path.format(model_id=model.name)}"
        return httpx.post(url, json=endpoint.smallest, headers=caller.authorization)
    url, members = f"{root}/v1{endpoint.path}", {"model": model.name, **endpoint.smallest}
    if file := members.pop("file", None):
        sent = {"file": (file.name, file.data, file.media_type)}
        return httpx.post(url, data=members, files=sent, headers=caller.authorization)
    return httpx.post(url, json=members, headers=caller.authorization)


@pytest.fixture(scope="module", autouse=True)
def _models(shared_world: World) -> None:
    """All that this module needs, at once: each lot takes a moment until the gateway knows it."""
    shared_world.installation.stock({SINGLE: 40, OTHERS: 80, UNPRICED: 12})


# --- the upstream's fault --------------------------------------------------------------------------------------------

_CUT: Final = up.head(200, [("content-type", "application/json"), ("content-length", "5000")])
FAULTS: Final[dict[str, up.Reply]] = {
    "500": up.plain(500, {"error": {"message": f"Down at {CANARY}", "type": "server_error", "code": None}}),
    "not JSON": up.plain(200, f"<html>{CANARY}</html>".encode(), content_type="text/html"),
    "reset": up.Reply((), up.End.RESET),
    "cut in the middle": up.Reply((_CUT, json.dumps({"id": CANARY}).encode()[:-1]), up.End.RESET),
}


@every_endpoint
@pytest.mark.parametrize("fault", FAULTS)
def test_upstreams_fault_is_refused_once_recorded_and_free(world: World, caller: Caller, name: str, fault: str) -> None:
    row = ROWS[name]
    model = world.offer(row.shape)
    caller.upstream.on(model.upstream, FAULTS[fault])
    before = caller.available

    response = send(caller, ENDPOINTS[name], model)

    row.refused(response, 502, "server_error", "upstream_error")
    record = caller.only_record()
    assert (record.endpoint, record.outcome, record.cost) == (name, "upstream_error", 0)
    assert caller.available == before


# --- the client's purse ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(shared_world: World) -> Caller:
    """An app with money and a quota of nothing."""
    caller = shared_world.caller()
    grant(caller, amount=0, period="total")
    return caller


@every_endpoint
def test_empty_wallet_is_refused_and_changes_nothing(world: World, name: str) -> None:
    poor, model = world.caller(funds="0"), world.offer(ROWS[name].shape)
    with poor.nothing_changes():
        response = send(poor, ENDPOINTS[name], model)
    ROWS[name].refused(response, 429, "insufficient_quota", "insufficient_quota")


@every_endpoint
def test_empty_wallet_is_refused_with_the_status_that_its_tenant_has_chosen(world: World, name: str) -> None:
    poor, model = world.caller(funds="0", tenant={"says_payment_required": True}), world.offer(ROWS[name].shape)
    with poor.nothing_changes():
        response = send(poor, ENDPOINTS[name], model)
    ROWS[name].refused(response, 402, "insufficient_quota", "insufficient_quota")
    assert_final(response)


@every_endpoint
def test_spent_quota_is_refused_and_changes_nothing(world: World, limited: Caller, name: str) -> None:
    model = world.offer(ROWS[name].shape)
    with limited.nothing_changes():
        response = send(limited, ENDPOINTS[name], model)
    ROWS[name].refused(response, 429, "insufficient_quota", "quota_exceeded")


@every_endpoint
def test_model_without_a_price_is_refused_before_its_upstream_is_asked(world: World, caller: Caller, name: str) -> None:
    model = world.offer(UNPRICED)
    with caller.nothing_changes():
        response = send(caller, ENDPOINTS[name], model)
    ROWS[name].refused(response, 404, "invalid_request_error", "model_not_found")
