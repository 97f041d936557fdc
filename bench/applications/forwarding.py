"""The frame of the client comparison: a bare ASGI application that forwards a request through one HTTP client.

BENCH_JSON_PORT and BENCH_STREAM_PORT name the upstreams on loopback. Nothing is parsed: what is measured is the
client and the server.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

JSON_URL = f"http://127.0.0.1:{os.environ.get('BENCH_JSON_PORT', '0')}/v1/chat/completions"
STREAM_URL = f"http://127.0.0.1:{os.environ.get('BENCH_STREAM_PORT', '0')}/v1/chat/completions"
REQUEST_HEADERS = {"content-type": "application/json", "authorization": "Bearer bench-upstream-secret"}

_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Client(Protocol):
    """One HTTP client under comparison; made on the first request, inside the running loop."""

    async def post(self, url: str, body: bytes) -> bytes:
        """The whole answer."""
        ...

    def stream(self, url: str, body: bytes) -> AsyncIterator[bytes]:
        """The answer in pieces, each as soon as it is there."""
        ...


def application(make_client: Callable[[], Client]) -> Application:
    """An ASGI application that forwards through the client."""
    clients: list[Client] = []

    async def forward(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not clients:
            clients.append(make_client())
        body = await _body(receive)
        if b'"stream":true' in body:
            await _forward_stream(clients[0], body, send)
        else:
            answer = await clients[0].post(JSON_URL, body)
            await send({"type": "http.response.start", "status": 200, "headers": _JSON})
            await send({"type": "http.response.body", "body": answer})

    return forward


async def _forward_stream(client: Client, body: bytes, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
    async for chunk in client.stream(STREAM_URL, body):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
