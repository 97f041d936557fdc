# ruff: noqa: E402 - the URLs are set before the plane reads them
"""The API plane's handler with one view that does what the null application does.

The view is of the gateway's own kind (a DRF view, dispatched natively async), but lets everybody in: what is measured
is the handler.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

settings.ROOT_URLCONF = __name__

from django.urls import path

from bench.payloads import answer_to
from routing.api.base import ApiRequest, ApiResponse, GatewayView
from routing.api.plane import ApiPlane

Message = MutableMapping[str, Any]


class Anyone:
    async def authenticate(self, request: ApiRequest) -> tuple[None, None]:
        return None, None


class Completions(GatewayView):
    authenticator = Anyone()  # type: ignore[assignment]

    async def post(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(200, [], answer_to(await request.read_body()))


# The plane's own handler sends what its views return; Django's types know only its own responses.
_view: Any = Completions.as_view()
urlpatterns = [path("v1/chat/completions", _view)]
_plane = ApiPlane()

# The gateway's entry has put the process under a policy of its own (ADR 0008); the others here have the default.
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "http":
        await _plane(scope, receive, send)
