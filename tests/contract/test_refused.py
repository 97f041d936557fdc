"""A refused call is counted once and shown in the portal with its message; nothing of the body is kept."""

from __future__ import annotations

import datetime as dt
import html
import socket
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Member, RefusedCall, Tenant, User
from routing.api.remedies import REMEDIES
from tests import upstream as up
from tests.callers import PATH, Caller
from tests.installation import SINGLE, Offer, Shape, Via
from tests.pages import Browser
from tests.worlds import World

CANARY: Final = "canary-in-the-body"
"""Stands in every request where a prompt might, and nowhere in the database."""
PATIENCE: Final = 6.0
MESSAGES: Final = [{"role": "user", "content": CANARY}]


def counted(world: World, caller: Caller, *, calls: int = 1) -> list[RefusedCall]:
    """The tenant's rows, once so many calls are in them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with world.installation.database():
            found = list(RefusedCall.objects.filter(tenant=caller.holder.tenant))
        if sum(row.count for row in found) >= calls:
            return found
        assert time.monotonic() < deadline, f"{len(found)} rows after {PATIENCE} s"
        time.sleep(0.05)


def only(world: World, caller: Caller) -> RefusedCall:
    """The one call there is; a flush later there is still no other."""
    counted(world, caller)
    time.sleep(0.1)
    (row,) = counted(world, caller)
    assert (row.count, row.api_key_id) == (1, caller.holder.api_key.pk)
    assert CANARY not in f"{row.message}{row.param}{row.model}{row.path}"
    return row


def ask(caller: Caller, model: Offer, **members: Any) -> httpx.Response:
    return caller.ask(model, **{"messages": MESSAGES, **members})


def post(caller: Caller, content: str, **headers: str) -> httpx.Response:
    return caller.post(content, **headers)


REFUSALS: Final[dict[str, tuple[int, str, str, Callable[[Caller, Offer], httpx.Response]]]] = {
    "invalid json": (400, "invalid_json", PATH, lambda caller, _: post(caller, f'{{"{CANARY}": ')),
    "duplicate member": (400, "duplicate_key", PATH, lambda caller, _: post(caller, f'{{"{CANARY}":1,"{CANARY}":2}}')),
    "missing field": (400, "missing_required_parameter", PATH, lambda caller, _: post(caller, '{"model":"a"}')),
    "unknown role": (
        400, "invalid_value", PATH, lambda caller, model: ask(caller, model, messages=[{"role": CANARY, "content": ""}])
    ),
    "unknown format": (
        400, "invalid_value", PATH, lambda caller, model: ask(caller, model, response_format={"type": CANARY})
    ),
    "hosted tool": (
        400, "unsupported_parameter", PATH, lambda caller, model: ask(caller, model, tools=[{"type": CANARY}])
    ),
    "wrong type": (400, "invalid_type", PATH, lambda caller, model: ask(caller, model, temperature=CANARY)),
    "not found": (404, "model_not_found", PATH, lambda caller, _: caller.ask("no-such-model", messages=MESSAGES)),
    "prompt as a model": (404, "model_not_found", PATH, lambda caller, _: caller.ask(f"{CANARY}, please")),
    "unknown path": (404, "unknown_url", "/v1/nonsense", lambda caller, _: caller.client.post("/v1/nonsense")),
    "method": (405, "method_not_supported", PATH, lambda caller, _: caller.client.get(PATH)),
    "media type": (
        415, "unsupported_media_type", PATH, lambda caller, _: post(caller, CANARY, **{"content-type": "text/plain"})
    ),
    "too large": (413, "request_too_large", PATH, lambda caller, _: post(caller, f'{{"a":"{CANARY * 1_500_000}"}}')),
}  # fmt: skip


@pytest.mark.parametrize(("status", "code", "path", "send"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_call_is_counted_once_and_nothing_else_changes(
    world: World,
    caller: Caller,
    model: Offer,
    status: int,
    code: str,
    path: str,
    send: Callable[[Caller, Offer], httpx.Response],
) -> None:
    with caller.nothing_changes():
        response = send(caller, model)

    row = only(world, caller)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert (row.status, row.code, row.path) == (status, code, path)


def test_each_database_counts(each_world: World) -> None:
    caller = each_world.caller()

    for _ in range(3):
        caller.ask("no-such-model")

    (row,) = counted(each_world, caller, calls=3)
    assert (row.code, row.count, row.model, row.param) == ("model_not_found", 3, "no-such-model", "model")
    assert row.message == "The model 'no-such-model' does not exist or you do not have access to it."


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"status": "paused"}, id="paused"),
        pytest.param({"status": "revoked"}, id="revoked"),
        pytest.param({"expires_at": timezone.now() - dt.timedelta(seconds=1)}, id="expired"),
    ],
)
def test_a_known_key_that_is_not_let_in_is_counted_for_its_tenant(
    world: World, caller: Caller, model: Offer, fields: dict[str, Any]
) -> None:
    with world.installation.database():
        ApiKey.objects.filter(pk=caller.holder.api_key.pk).update(**fields)

    with caller.nothing_changes():
        known = ask(caller, model)
        unknown = ask(caller, model, headers={"authorization": f"Bearer {keys.generate()}"})

    row = only(world, caller)
    assert (row.status, row.code) == (401, "invalid_api_key")
    assert known.content == unknown.content  # the client is told nothing more


def test_a_suspended_tenant_sees_its_calls(world: World, model: Offer) -> None:
    caller = world.caller(tenant={"status": Tenant.Status.SUSPENDED})

    ask(caller, model)

    assert only(world, caller).code == "account_deactivated"


def test_an_address_that_is_not_allowed_is_counted(world: World, model: Offer) -> None:
    caller = world.caller(allowed_networks=["10.0.0.0/8"])

    ask(caller, model)

    assert only(world, caller).code == "ip_not_authorized"


def test_an_empty_wallet_is_counted(world: World, model: Offer) -> None:
    caller = world.caller(funds="0")

    ask(caller, model)

    assert only(world, caller).status == 429


def test_a_rate_limit_is_counted(world: World, model: Offer) -> None:
    caller = world.caller(requests_per_minute=1)

    assert [ask(caller, model).status_code for _ in range(2)] == [200, 429]

    assert only(world, caller).code == "rate_limit_exceeded"


def test_a_body_that_never_comes_is_counted(world: World, caller: Caller) -> None:
    address = urlsplit(caller.installation.gateway_url)
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"POST {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {caller.secret}\r\n"
        client.sendall(f"{head}content-type: application/json\r\ncontent-length: 99\r\n\r\n{{".encode())
        time.sleep(0.3)

    assert (only(world, caller).status, only(world, caller).code) == (408, "request_timeout")


def test_only_the_call_that_met_no_channel_at_all_is_counted(world: World, caller: Caller, model: Offer) -> None:
    caller.upstream.on(model.upstream, up.plain(429, {"error": {"message": "Busy."}}, headers=[("retry-after", "7")]))

    assert [ask(caller, model).status_code for _ in range(2)] == [503, 503]

    caller.only_record()  # of the one that met the channel's own limit
    assert only(world, caller).code == "no_available_channel"


def test_a_failure_with_a_usage_record_is_not_counted(world: World, caller: Caller) -> None:
    model = world.offer(Shape(vias=(Via(url="http://127.0.0.1:9/v1"),)))

    assert ask(caller, model).status_code == 502
    caller.only_record()
    caller.ask("no-such-model")

    assert only(world, caller).code == "model_not_found"


def test_the_portal_shows_what_the_app_was_told(world: World, caller: Caller) -> None:
    told = caller.ask("no-such-model").json()["error"]["message"]
    row = only(world, caller)

    with world.installation.database():
        user = User.objects.create_user(f"{row.pk}@example.com")
        Member.objects.create(tenant=caller.holder.tenant, user=user, role=Member.Role.DEVELOPER)
        page = Browser(user).open(reverse("portal:overview")).click("1 call refused")

    assert html.escape(told) in page.text
    assert REMEDIES["model_not_found"].split(",")[0] in page.text


def test_keys_that_nobody_has_are_counted_together(world: World, model: Offer) -> None:
    def unknown() -> int:
        with world.installation.database():
            return sum(row.count for row in RefusedCall.objects.filter(tenant=None, code="invalid_api_key"))

    before, url = unknown(), f"{world.installation.gateway_url}{PATH}"
    for _ in range(5):
        httpx.post(url, json={}, headers={"authorization": f"Bearer {keys.generate()}"})

    deadline = time.monotonic() + PATIENCE
    while unknown() < before + 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert unknown() == before + 5


def test_what_was_counted_is_written_at_shutdown(
    start_world: Callable[..., World], migrated_sqlite_url: Callable[[], str]
) -> None:
    world = start_world(database_url=migrated_sqlite_url(), stock={SINGLE: 1})
    caller = world.caller()
    for _ in range(40):
        caller.ask("no-such-model")

    world.gateway._process.stop()

    with world.installation.database():
        assert sum(row.count for row in RefusedCall.objects.filter(tenant=caller.holder.tenant)) == 40
