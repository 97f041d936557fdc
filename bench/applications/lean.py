# ruff: noqa: E402 - the URLs are set before the plane reads them
"""The API plane's handler with one view that does what the null application does.

The view is of the gateway's own kind (a DRF view, dispatched natively async), but lets everybody in: what is measured
is the handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

settings.ROOT_URLCONF = __name__

from django.urls import path
from rest_framework.authentication import BaseAuthentication

from bench.payloads import answer_to
from costrouter.gateway import build
from routing.api.base import ApiRequest, ApiResponse, GatewayView
from routing.api.doors import Doors
from routing.api.plane import ApiPlane

Message = MutableMapping[str, Any]


class Anyone(BaseAuthentication):
    def authenticate(self, request: Any) -> None:
        return None


class Completions(GatewayView):
    authentication_classes = [Anyone]
    permission_classes = []

    async def post(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(200, [], answer_to(await request.read_body()))


# The plane's own handler sends what its views return; Django's types know only its own responses.
_view: Any = Completions.as_view()
urlpatterns = [path("v1/chat/completions", _view)]
_plane = ApiPlane(build(), Doors(4096))


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "http":
        await _plane(scope, receive, send)
