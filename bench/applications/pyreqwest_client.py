"""Forwarding through pyreqwest, a binding of Rust's reqwest.

Its streams read ahead up to a buffer limit; at 0 every piece is handed on as it comes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator

from pyreqwest.client import ClientBuilder  # type: ignore[import-not-found,unused-ignore]

from bench.applications import forwarding


class PyreqwestClient:
    def __init__(self) -> None:
        self._client = (
            ClientBuilder()
            .default_headers(forwarding.REQUEST_HEADERS)
            .connect_timeout(dt.timedelta(seconds=5))
            .read_timeout(dt.timedelta(seconds=60))
            .no_proxy()
            .build()
        )

    async def post(self, url: str, body: bytes) -> bytes:
        response = await self._client.post(url).body_bytes(body).build().send()
        return bytes(await response.bytes())

    async def stream(self, url: str, body: bytes) -> AsyncIterator[bytes]:
        request = self._client.post(url).body_bytes(body).streamed_read_buffer_limit(0).build_streamed()
        async with request as response:
            reader = response.body_reader
            while (chunk := await reader.read_chunk()) is not None:
                yield bytes(chunk)


application = forwarding.application(PyreqwestClient)
