"""The API plane: reads a request, resolves its view, sends what the view returns.

The same URL resolver and DRF views as everywhere, without middleware and without thread hops (ADR 0001).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.urls import Resolver404, ResolverMatch, get_resolver
from django.utils.translation import get_language_from_path

from accounts.errors import GatewayError
from accounts.networks import throttled_as
from billing.reservations import new_id
from routing.api import cors
from routing.api.base import ApiRequest, ApiResponse, refuse
from routing.api.doors import Doors, Stopping
from routing.api.envelopes import envelope_at
from routing.api.errors import UnknownUrl
from routing.api.headers import Headers, RequestHeaders
from routing.api.intake import Intake, Receive
from routing.api.paths import nearest
from routing.pipeline.gateway import Gateway
from routing.pipeline.run import ClientGone
from routing.pipeline.stream import BrokenOff, StreamReply

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_NO_CONTENT: Final = 204
_REFUSED: Final = 400
_SMALL: Final = 64 * 1024
"""Bytes of a body that is read even where its request is refused."""
_A_MOMENT: Final = 0.1
"""Seconds that its end is waited for."""
_JSON: Final = (b"content-type", b"application/json")
_AS_IT_COMES: Final = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
_STREAM_HEAD: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), *_AS_IT_COMES]


class ApiPlane:
    """Reads the request, resolves its view, sends what the view returns."""

    def __init__(self, gateway: Gateway, doors: Doors) -> None:
        self._gateway = gateway
        self._doors = doors
        self._intake = Intake(gateway.options.most_body_bytes)
        self._resolver = get_resolver()
        self._views: dict[str, Callable[..., Awaitable[ApiResponse]]] = {}
        """Views of paths without parameters, once resolved."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = RequestHeaders(scope["headers"])
        client = scope.get("client")
        doors, task = self._doors, asyncio.current_task()
        assert task is not None  # noqa: S101 - requests run in tasks
        request = ApiRequest(
            id=new_id(),
            method=scope["method"],
            path=scope["path"],
            headers=headers,
            query_string=scope["query_string"],
            peer=client[0] if client else "",
            started=time.monotonic(),
            started_at=time.time(),
            gateway=self._gateway,
            intake=self._intake,
            receive=receive,
        )
        refusal = doors.refusal(self._gateway.key_cache.pace.waiting)
        doors.inside[task] = None
        try:
            try:
                response = await (self._answer(request) if refusal is None else self._refuse(refusal, request))
                if response.is_paced:  # here, where little of a refusal is left but its answer: thousands may wait
                    scope.clear()  # read by nobody any more
                    await self._gateway.key_cache.pace.wait(throttled_as(request.address))
            except asyncio.CancelledError:
                if not doors.is_cut(task):
                    raise
                task.uncancel()
                response = await self._refuse(Stopping(), request)
            await self._send(response, request, send, task)
        except ClientGone:
            return
        finally:
            del doors.inside[task]

    def _answer(self, request: ApiRequest) -> Awaitable[ApiResponse]:
        try:
            return self._view(request.path)(request)
        except UnknownUrl as error:
            return self._refuse(error, request)

    def _refuse(self, error: GatewayError, request: ApiRequest) -> Awaitable[ApiResponse]:
        """What is refused before a view has it reads as the view's own refusals do."""
        return refuse(error, request, envelope_at(request.path))

    async def _send(self, response: ApiResponse, request: ApiRequest, send: Send, task: asyncio.Task[Any]) -> None:
        response.headers.append((b"x-request-id", b"req_" + request.id.encode()))
        if self._doors.is_leaving or (response.status >= _REFUSED and await _is_body_left(request)):
            response.headers.append((b"connection", b"close"))
        origin = request.headers.by_name.get(b"origin")
        if origin is not None:
            response.headers += cors.answer_headers(origin, request.auth)
        if response.stream is not None:
            self._doors.inside[task] = response.stream
            await send_stream(response.stream, response.headers, send)
            return
        if response.status != _NO_CONTENT:
            media = (b"content-type", response.media) if response.media else _JSON
            response.headers += (media, (b"content-length", f"{len(response.body)}".encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})

    def is_lost(self, scope: Scope) -> bool:
        """Whether a request that is not ours is an app's all the same, at a path that nothing serves or only a page.

        It gets its refusal here, as JSON. A page that a browser opens and does not find stays a page.
        """
        path, headers = scope["path"], RequestHeaders(scope["headers"])
        accept = headers.get("accept", "")
        posts_json = headers.get("content-type", "").lower().startswith("application/json")
        if not posts_json and ("text/html" in accept or ("json" not in accept and nearest(path) is None)):
            return False
        if path.startswith(settings.STATIC_URL) or get_language_from_path(path):
            return False  # resolved by middleware, or in its own language
        match = self._resolved(path)
        # Pages take forms. What takes JSON from other machines has no form's token either.
        return match is None or (posts_json and not getattr(match.func, "csrf_exempt", False))

    def _resolved(self, path: str) -> ResolverMatch | None:
        try:
            return self._resolver.resolve(path)
        except Resolver404:
            return None

    def _view(self, path: str) -> Callable[..., Awaitable[ApiResponse]]:
        view = self._views.get(path)
        if view is None:
            match = self._resolved(path)
            if match is None or not path.startswith("/v1"):  # a page's path is none of ours
                raise UnknownUrl(nearest(path))
            if match.kwargs:
                return partial(match.func, **match.kwargs)
            view = self._views[path] = match.func
        return view


async def _is_body_left(request: ApiRequest) -> bool:
    """Whether some of a body is still to come that nobody will read: the server hangs up on it.

    A small one, which is here already or nearly so, is read after all, so that the connection can go on.
    """
    headers = request.headers
    if headers.is_body_read or not headers.announce_a_body:
        return False
    length = headers.by_name.get(b"content-length", b"")
    if not length.isdigit() or int(length) > _SMALL or b"expect" in headers.by_name:
        return True
    try:
        async with asyncio.timeout(_A_MOMENT):
            await request.read_body()
    except (TimeoutError, GatewayError):
        return True
    return False


async def send_stream(stream: StreamReply, headers: Headers, send: Send) -> None:
    def write(data: bytes) -> Awaitable[None]:
        return send({"type": "http.response.body", "body": data, "more_body": True})

    try:
        with stream:
            head = [(b"content-type", stream.media), *_AS_IT_COMES] if stream.media else _STREAM_HEAD
            await send({"type": "http.response.start", "status": 200, "headers": headers + head})
            await stream.write(write)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            await stream.finish()
    except (ClientGone, BrokenOff):  # without its end, a body is not taken for whole: the server hangs up
        return
