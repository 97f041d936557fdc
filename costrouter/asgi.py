# ruff: noqa: E402 - Django is set up before anything of ours is imported
"""The ASGI entry: two planes over one Django project.

Paths under /v1/ go to the API plane: the same URL resolver and DRF views, without middleware and without thread hops.
Everything else is stock Django (portal, admin, docs). ADR 0001 has the reason and the figures.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")

import django

django.setup()

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.urls import Resolver404, get_resolver

from billing.reservations import new_id
from costrouter.scheduler import Scheduler
from routing.api.base import ApiRequest, ApiResponse, error_response
from routing.api.body import RequestTooLarge
from routing.api.errors import RequestTimeout, UnknownUrl
from routing.relay import ClientGone, StreamReply

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_SECONDS: Final = 60.0
_MOST_BODY_BYTES: Final = settings.MAX_BODY_BYTES
_JSON: Final = (b"content-type", b"application/json")
_STREAM_HEAD: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class ApiPlane:
    """Reads the request, resolves its view, sends what the view returns."""

    def __init__(self) -> None:
        self._resolver = get_resolver()
        self._views: dict[str, Callable[..., Awaitable[ApiResponse]]] = {}
        """Views of paths without parameters, once resolved."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        client = scope.get("client")
        request = ApiRequest(
            id=new_id(),
            method=scope["method"],
            path=scope["path"],
            headers=headers,
            peer=client[0] if client else "",
            started=time.monotonic(),
            started_at=time.time(),
            read_body=partial(_read_body, headers, receive),
            until_gone=partial(_until_gone, receive),
        )
        try:
            response = await self._view(request.path)(request)
        except UnknownUrl as error:
            response = error_response(error)
        except ClientGone:
            return
        response.headers.append((b"x-request-id", b"req_" + request.id.encode()))
        if response.stream is not None:
            await _send_stream(response.stream, response.headers, send)
            return
        response.headers += (_JSON, (b"content-length", b"%d" % len(response.body)))
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        await send({"type": "http.response.body", "body": response.body})

    def _view(self, path: str) -> Callable[..., Awaitable[ApiResponse]]:
        view = self._views.get(path)
        if view is None:
            try:
                match = self._resolver.resolve(path)
            except Resolver404:
                raise UnknownUrl from None
            view = partial(match.func, **match.kwargs)
            if not match.kwargs:
                self._views[path] = view
        return view


async def _read_body(headers: dict[str, str], receive: Receive) -> bytes:
    """The whole body; raises RequestTooLarge as soon as it is declared or grows larger than the limit."""
    limit = _MOST_BODY_BYTES
    declared = headers.get("content-length")
    if declared is not None and (not declared.isdecimal() or int(declared) > limit):
        raise RequestTooLarge(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if declared is not None and len(body) == int(declared):
        return body
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_parts(message, receive, limit)
    except TimeoutError:
        raise RequestTimeout from None


async def _read_parts(message: MutableMapping[str, Any], receive: Receive, limit: int) -> bytes:
    parts, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise RequestTimeout
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise RequestTooLarge(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


async def _send_stream(stream: StreamReply, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    async def write(data: bytes) -> None:
        try:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        except Exception as error:
            raise ClientGone from error

    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers + _STREAM_HEAD})
        await stream.write(write)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        await stream.finish()
    except ClientGone:
        return
    finally:
        stream.close()


async def _until_gone(receive: Receive) -> None:
    """Returns when the client has left; the end of the request's body may still be waiting to be read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Application:
    """Picks the plane, and runs the process's own jobs for as long as the server lives."""

    def __init__(self) -> None:
        self._api = ApiPlane()
        self._web = ASGIHandler()
        self._scheduler = Scheduler()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            plane = self._api if path.startswith("/v1/") or path == "/v1" else self._web
            await plane(scope, receive, send)  # type: ignore[arg-type]
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and end (ASGI lifespan)."""
        await receive()
        try:
            await self._scheduler.start()
        except Exception as error:  # said to the server, which then ends with it
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._scheduler.stop()
        await send({"type": "lifespan.shutdown.complete"})


application = Application()
