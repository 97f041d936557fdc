"""Who may call: keys, suspended tenants, networks, allowed models."""

from __future__ import annotations

import datetime as dt
import time

import httpx
import pytest
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey, Tenant
from tests.callers import PATH, Caller
from tests.envelopes import assert_error, assert_final, assert_refused
from tests.installation import SINGLE, Offer
from tests.worlds import World

NO_KEY = {
    "no header": {},
    "empty header": {"authorization": ""},
    "scheme without a key": {"authorization": "Bearer"},
    "another scheme": {"authorization": "Basic c2s6c2s="},
    "key without a scheme": {"authorization": keys.generate()},
    "not our format": {"authorization": "Bearer sk-wrong"},
    "well formed but unknown": {"authorization": f"Bearer {keys.generate()}"},
    "very long": {"authorization": "Bearer sk-cr-" + "a" * 6000},
    "sql": {"authorization": "Bearer ' OR 1=1--"},
    "latin-1 bytes": {"authorization": "Bearer sk-cr-\xe9\xe9"},
    "two keys": {"authorization": f"Bearer {keys.generate()}, Bearer {keys.generate()}"},
    "unknown x-api-key": {"x-api-key": keys.generate()},
}


def assert_unauthenticated(response: httpx.Response) -> None:
    assert_refused(response, 401, "invalid_api_key", param=None)
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("headers", NO_KEY.values(), ids=NO_KEY.keys())
def test_request_without_a_known_key_is_refused(caller: Caller, model: Offer, headers: dict[str, str]) -> None:
    with caller.nothing_changes():
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        url = f"{caller.installation.gateway_url}{PATH}"
        response = httpx.post(url, json=caller.body(model), headers=raw)

    assert_unauthenticated(response)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/any"])
def test_models_need_a_key_too(caller: Caller, path: str) -> None:
    assert_unauthenticated(httpx.get(f"{caller.installation.gateway_url}{path}"))


def test_a_refused_key_is_not_repeated_in_the_answer(caller: Caller, model: Offer) -> None:
    secret = keys.generate()

    response = caller.ask(model, headers={"authorization": f"Bearer {secret}"})

    assert_unauthenticated(response)
    assert secret not in response.text


@pytest.mark.parametrize("position", [6, 20, 48, 54])
def test_one_mistyped_character_is_refused(caller: Caller, model: Offer, position: int) -> None:
    letter = "0" if caller.secret[position] != "0" else "1"
    mistyped = caller.secret[:position] + letter + caller.secret[position + 1 :]

    with caller.nothing_changes():
        response = caller.ask(model, headers={"authorization": f"Bearer {mistyped}"})

    assert_unauthenticated(response)


def test_a_bad_body_without_a_key_is_told_about_the_key_only(caller: Caller) -> None:
    with caller.nothing_changes():
        response = caller.post(b"{not json", authorization="Bearer sk-wrong")

    assert_unauthenticated(response)


def test_stream_without_a_known_key_gets_the_same_json_refusal(caller: Caller, model: Offer) -> None:
    with caller.nothing_changes():
        response = caller.ask(model, stream=True, headers={"authorization": "Bearer sk-wrong"})

    assert_unauthenticated(response)


def test_key_in_x_api_key_is_accepted(caller: Caller, model: Offer) -> None:
    url = f"{caller.installation.gateway_url}{PATH}"

    response = httpx.post(url, json=caller.body(model), headers={"x-api-key": caller.secret})

    assert response.status_code == 200


def test_scheme_is_case_insensitive(caller: Caller, model: Offer) -> None:
    assert caller.ask(model, headers={"authorization": f"bearer {caller.secret}"}).status_code == 200


@pytest.mark.parametrize("status", ["paused", "revoked"])
def test_key_that_is_not_active_is_refused(world: World, caller: Caller, model: Offer, status: str) -> None:
    with world.installation.database():
        ApiKey.objects.filter(pk=caller.holder.api_key.pk).update(status=status)

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_unauthenticated(response)


def test_expired_key_is_refused(world: World, model: Offer) -> None:
    caller = world.caller(expires_at=timezone.now() - dt.timedelta(seconds=1))

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_unauthenticated(response)


def test_key_that_expires_while_it_is_cached_is_refused_from_then_on(world: World, model: Offer) -> None:
    caller = world.caller(expires_at=timezone.now() + dt.timedelta(seconds=1))
    assert caller.ask(model).status_code == 200
    time.sleep(1.1)

    assert_unauthenticated(caller.ask(model))


def test_revoked_key_is_out_within_two_seconds(each_world: World) -> None:
    caller, model = each_world.caller(), each_world.offer(SINGLE)
    assert caller.ask(model).status_code == 200
    with each_world.installation.database():
        caller.holder.api_key.revoke()
    time.sleep(2)

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_unauthenticated(response)


def test_suspended_tenant_is_refused(world: World, model: Offer) -> None:
    caller = world.caller(tenant={"status": Tenant.Status.SUSPENDED})

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_refused(response, 403, "account_deactivated", param=None)


def test_tenant_suspended_while_its_key_is_cached_is_out_within_two_seconds(
    world: World, caller: Caller, model: Offer
) -> None:
    assert caller.ask(model).status_code == 200
    with world.installation.database():
        Tenant.objects.filter(pk=caller.holder.tenant.pk).update(status=Tenant.Status.SUSPENDED)
    time.sleep(2)

    assert_refused(caller.ask(model), 403, "account_deactivated")


def test_address_outside_the_allowed_networks_is_refused(world: World, model: Offer) -> None:
    caller = world.caller(allowed_networks=["10.0.0.0/8", "2001:db8::/32"])

    with caller.nothing_changes():
        response = caller.ask(model)

    assert_refused(response, 403, "ip_not_authorized", param=None)


def test_forwarded_address_of_an_untrusted_peer_is_not_believed(world: World, model: Offer) -> None:
    caller = world.caller(allowed_networks=["10.0.0.0/8"])
    claims = {"x-forwarded-for": "10.1.2.3", "x-real-ip": "10.1.2.3", "forwarded": "for=10.1.2.3"}

    with caller.nothing_changes():
        response = caller.ask(model, headers=claims)

    assert_refused(response, 403, "ip_not_authorized")


def test_address_inside_the_allowed_networks_is_served(world: World, model: Offer) -> None:
    caller = world.caller(allowed_networks=["10.0.0.0/8", "127.0.0.0/8"])

    assert caller.ask(model).status_code == 200


def test_unknown_model_and_forbidden_model_get_the_same_text(world: World, model: Offer) -> None:
    caller = world.caller(allowed_models=["another/model"])

    with caller.nothing_changes():
        forbidden = assert_refused(caller.ask(model), 404, "model_not_found", param="model")
        unknown = assert_refused(caller.ask("no-such-model"), 404, "model_not_found", param="model")

    assert forbidden["message"].replace(model.name, "X") == unknown["message"].replace("no-such-model", "X")


def test_allowed_model_is_served(world: World, model: Offer) -> None:
    caller = world.caller(allowed_models=[model.name])

    assert caller.ask(model).status_code == 200


def test_refusal_of_a_key_may_be_shown_to_the_official_sdk_as_final(caller: Caller, model: Offer) -> None:
    response = caller.ask(model, headers={"authorization": "Bearer sk-wrong"})

    assert_error(response, 401, "invalid_request_error", "invalid_api_key")
    assert_final(response)
