"""The door for granian, by its own interface (RSGI): headers are read only when asked for, answers sent in one call.

https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md; ADR 0007 has the figures.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from costrouter.planes import MOST_BODY_BYTES, ApiPlane, Upkeep, declared_length, is_api, slow_bodies

# isort: split
from django.core.handlers.asgi import ASGIHandler

from billing.reservations import new_id
from costrouter.bridge import serve_asgi
from routing.api.base import ApiRequest, ApiResponse
from routing.api.body import RequestTooLarge
from routing.relay import ClientGone, StreamReply


class Application:
    """Picks the plane."""

    def __init__(self) -> None:
        self._api = ApiPlane()
        self._web = ASGIHandler()
        self._upkeep = Upkeep()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._upkeep.start())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._upkeep.stop())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if is_api(scope.path):
            await self._answer(scope, protocol)
        else:
            await serve_asgi(self._web, scope, protocol)

    async def _answer(self, scope: Any, protocol: Any) -> None:
        request = ApiRequest(
            id=new_id(),
            method=scope.method,
            path=scope.path,
            headers=scope.headers,
            peer=peer(scope.client),
            started=time.monotonic(),
            started_at=time.time(),
            read_body=partial(_read_body, scope.headers, protocol),
            until_gone=protocol.client_disconnect,
        )
        try:
            response = await self._api.answer(request)
        except ClientGone:
            return
        if response.stream is None:
            protocol.response_bytes(response.status, response.headers, response.body)
        else:
            await _send_stream(response, response.stream, protocol)


def peer(client: str) -> str:
    """The address without its port; IPv6 without its brackets."""
    return client.rpartition(":")[0].strip("[]")


async def _read_body(headers: Any, protocol: Any) -> bytes:
    """The whole body; raises RequestTooLarge as soon as it is declared or grows larger than the limit."""
    is_declared = declared_length(headers.get("content-length")) is not None
    return await slow_bodies.read(protocol() if is_declared else _read_parts(protocol))


async def _read_parts(protocol: Any) -> bytes:
    parts, size = [], 0
    async for part in protocol:
        parts.append(part)
        size += len(part)
        if size > MOST_BODY_BYTES:
            raise RequestTooLarge(MOST_BODY_BYTES)
    return b"".join(parts)


async def _send_stream(response: ApiResponse, stream: StreamReply, protocol: Any) -> None:
    try:
        transport = protocol.response_stream(response.status, response.headers)
        await stream.write(transport.send_bytes)
        del transport  # which ends the answer
        await stream.finish()
    except ClientGone:
        return
    finally:
        stream.close()


application = Application()
