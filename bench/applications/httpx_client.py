"""Forwarding through httpx on its own transport."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from bench.applications import forwarding


class HttpxClient:
    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            headers=forwarding.REQUEST_HEADERS,
            timeout=httpx.Timeout(60, connect=5),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            trust_env=False,
        )

    async def post(self, url: str, body: bytes) -> bytes:
        response = await self._client.post(url, content=body)
        return response.content

    async def stream(self, url: str, body: bytes) -> AsyncIterator[bytes]:
        async with self._client.stream("POST", url, content=body) as response:
            async for chunk in response.aiter_raw():
                yield chunk


application = forwarding.application(HttpxClient)
