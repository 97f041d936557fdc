"""Forwarding through aiohttp."""

from __future__ import annotations

from collections.abc import AsyncIterator

# Installed beside the project, in an environment of its own (bench/clients.py).
import aiohttp  # type: ignore[import-not-found,unused-ignore]

from bench.applications import forwarding


class AiohttpClient:
    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=5, sock_read=60),
            auto_decompress=False,
            headers=forwarding.REQUEST_HEADERS,
        )

    async def post(self, url: str, body: bytes) -> bytes:
        async with self._session.post(url, data=body) as response:
            answer: bytes = await response.read()
            return answer

    async def stream(self, url: str, body: bytes) -> AsyncIterator[bytes]:
        async with self._session.post(url, data=body) as response:
            async for chunk in response.content.iter_any():
                yield chunk


application = forwarding.application(AiohttpClient)
