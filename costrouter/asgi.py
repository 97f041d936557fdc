"""The door for any ASGI server. `bin/serve` uses the other one (costrouter/rsgi.py), which costs less per request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from typing import Any

from costrouter.planes import MOST_BODY_BYTES, ApiPlane, Upkeep, declared_length, is_api, slow_bodies

# isort: split
from django.core.handlers.asgi import ASGIHandler

from billing.reservations import new_id
from routing.api.base import ApiRequest, Headers
from routing.api.body import RequestTooLarge
from routing.api.errors import RequestTimeout
from routing.relay import ClientGone, StreamReply

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Application:
    """Picks the plane; the server's lifespan is the process's."""

    def __init__(self) -> None:
        self._api = ApiPlane()
        self._web = ASGIHandler()
        self._upkeep = Upkeep()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and is_api(scope["path"]):
            await answer(self._api, scope, receive, send)
        elif scope["type"] == "http":
            await self._web(scope, receive, send)  # type: ignore[arg-type]

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and end (ASGI lifespan)."""
        await receive()
        try:
            await self._upkeep.start()
        except Exception as error:  # said to the server, which then ends with it
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._upkeep.stop()
        await send({"type": "lifespan.shutdown.complete"})


async def answer(plane: ApiPlane, scope: Scope, receive: Receive, send: Send) -> None:
    """Hands a request to the API plane and sends what it answers."""
    headers = _Headers(scope["headers"])
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
        response = await plane.answer(request)
    except ClientGone:
        return
    if response.stream is not None:
        await _send_stream(response.stream, response.headers, send)
        return
    await send({"type": "http.response.start", "status": response.status, "headers": _encoded(response.headers)})
    await send({"type": "http.response.body", "body": response.body})


class _Headers(dict[str, str]):
    """By name; what is sent more than once is one list (RFC 9110, section 5.2)."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        for raw_name, raw_value in pairs:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            self[name] = f"{self[name]}, {value}" if name in self else value

    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _read_body(headers: dict[str, str], receive: Receive) -> bytes:
    """The whole body; raises RequestTooLarge as soon as it is declared or grows larger than the limit."""
    declared_length(headers.get("content-length"))
    return await slow_bodies.read(_read_parts(receive))


async def _read_parts(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestTimeout
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BODY_BYTES:
            raise RequestTooLarge(MOST_BODY_BYTES)
        if not message.get("more_body"):
            return b"".join(parts)


async def _send_stream(stream: StreamReply, headers: Headers, send: Send) -> None:
    async def write(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    try:
        await send({"type": "http.response.start", "status": 200, "headers": _encoded(headers)})
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


application = Application()
