"""Forwarding through the gateway's own client (routing/wire/client.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache

from bench.applications import forwarding
from routing.wire import addresses
from routing.wire.answer import Timeouts
from routing.wire.client import Client

_NETWORKS = addresses.networks(["127.0.0.0/8"])
_TIMEOUTS = Timeouts(connect=5, first_byte=60, idle=60, total=900)
_HEADERS = tuple(forwarding.REQUEST_HEADERS.items())


class OwnClient:
    def __init__(self) -> None:
        self._client = Client(_NETWORKS)

    async def post(self, url: str, body: bytes) -> bytes:
        answer = await self._client.post(_origin(url), "", _HEADERS, body, _TIMEOUTS)
        try:
            return await answer.read()
        finally:
            answer.close()

    async def stream(self, url: str, body: bytes) -> AsyncIterator[bytes]:
        answer = await self._client.post(_origin(url), "", _HEADERS, body, _TIMEOUTS)
        try:
            while (chunk := await answer.next()) is not None:
                yield chunk
        finally:
            answer.close()


@lru_cache
def _origin(url: str) -> addresses.Origin:
    return addresses.parse(url)


application = forwarding.application(OwnClient)
