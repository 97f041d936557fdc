"""DRF's contracts on the API plane: honoured, plain or async, or the view cannot be defined."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.throttling import BaseThrottle, UserRateThrottle

from accounts.callers import Caller
from accounts.pacing import Pace
from accounts.refusals import Refusals
from routing.api.base import ApiRequest, ApiResponse, GatewayView, json_response
from routing.api.headers import RequestHeaders
from tests.callers import decoded

ALICE = Caller(7, 3, "USD", True, True, None, frozenset(), (), ())


class Door(BaseAuthentication):
    """Lets in who says a name, and nobody else."""

    def authenticate(self, request: Any) -> tuple[Caller, Caller] | None:
        return (ALICE, ALICE) if request.headers.get("x-name") else None


class Never(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return False


class NeverAsync(BasePermission):
    async def has_permission(self, request: Any, view: Any) -> bool:  # type: ignore[override]
        await asyncio.sleep(0)
        return False


class Full(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        return False

    def wait(self) -> float:
        return 6.2


class OncePerMinute(UserRateThrottle):
    rate = "1/min"


class View(GatewayView):
    authentication_classes = [Door]

    async def get(self, request: ApiRequest) -> ApiResponse:
        return json_response({"caller": request.caller.key_id})

    async def post(self, request: ApiRequest) -> ApiResponse:
        raise PermissionDenied


def view(**contracts: Any) -> Any:
    restricted: Any = type("Restricted", (View,), contracts)
    return restricted.as_view()


def ask(dispatch: Any, *, name: str = "alice", method: str = "GET", pace: Pace | None = None) -> ApiResponse:
    request = SimpleNamespace(
        id="1", method=method, headers=RequestHeaders([(b"x-name", name.encode())]), user=None, auth=None, caller=ALICE,
        META={"REMOTE_ADDR": "127.0.0.1"},
        path="/v1/things", values=None, started_at=0.0, address="127.0.0.1",
        gateway=SimpleNamespace(refusals=Refusals(), key_cache=SimpleNamespace(pace=pace or Pace())),
    )  # fmt: skip
    response: ApiResponse = asyncio.run(dispatch(request))
    return response


def told(response: ApiResponse) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["code"]


def test_who_may_is_served() -> None:
    response = ask(view())
    assert (response.status, decoded(response.body)) == (200, {"caller": 7})


def test_nobody_is_let_in_by_default() -> None:
    assert told(ask(view(), name="")) == (401, "invalid_api_key")


def test_view_for_everybody_asks_for_no_name() -> None:
    assert ask(view(permission_classes=[AllowAny]), name="").status == 200


def test_refusal_of_nobody_is_to_wait_for_its_turn_and_no_other() -> None:
    """The plane waits, once nothing of the request's handling is left: the dispatch itself answers at once."""
    pace = Pace()
    refusals = [ask(view(), name="", pace=pace) for _flood in range(200)]
    assert {response.is_paced for response in refusals} == {True}
    assert pace.waiting == 0
    assert not pace._due
    assert not ask(view(permission_classes=[Never])).is_paced
    assert not ask(view()).is_paced


@pytest.mark.parametrize("permission", [Never, NeverAsync])
def test_permission_that_refuses_is_honoured(permission: type[BasePermission]) -> None:
    assert told(ask(view(permission_classes=[permission]))) == (403, "permission_denied")


def test_every_permission_must_agree() -> None:
    assert told(ask(view(permission_classes=[AllowAny, Never]))) == (403, "permission_denied")


def test_throttle_that_refuses_is_honoured_and_says_when() -> None:
    response = ask(view(throttle_classes=[Full]))
    assert told(response) == (429, "rate_limit_exceeded")
    assert dict(response.headers)[b"retry-after"] == b"7"


def test_drfs_own_throttle_counts_the_callers_requests() -> None:
    dispatch = view(throttle_classes=[OncePerMinute])
    assert [ask(dispatch).status for _ in range(2)] == [200, 429]


def test_exception_of_the_framework_keeps_its_meaning() -> None:
    assert told(ask(view(), method="POST")) == (403, "permission_denied")


@pytest.mark.parametrize("name", ["parser_classes", "renderer_classes", "versioning_class"])
def test_view_that_sets_what_is_not_heeded_cannot_be_defined(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        type("Odd", (GatewayView,), {name: [JSONParser]})
