"""An ASGI application behind granian's own interface (RSGI): stock Django, which speaks ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

Message = MutableMapping[str, Any]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]


async def serve_asgi(application: Asgi, scope: Any, protocol: Any) -> None:
    """One request: the application's answer is sent whole if it comes whole, else part by part."""
    await application(_scope(scope), _Receiver(protocol), _Sender(protocol))


def _scope(scope: Any) -> Message:
    """The connection scope of https://asgi.readthedocs.io/en/latest/specs/www.html."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": scope.http_version,
        "method": scope.method,
        "scheme": scope.scheme,
        "path": scope.path,
        "raw_path": quote(scope.path).encode(),
        "query_string": scope.query_string.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()],
        "client": _address(scope.client),
        "server": _address(scope.server),
    }


def _address(text: str) -> tuple[str, int]:
    host, _colon, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class _Receiver:
    """The body part by part, then the client's leaving."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._parts = aiter(protocol)
        self._is_read = False

    async def __call__(self) -> Message:
        if self._is_read:
            await self._protocol.client_disconnect()
            return {"type": "http.disconnect"}
        try:  # not by anext's default, which CPython 3.11 cannot combine with awaitables written in Rust: it crashes
            part: bytes = await anext(self._parts)
        except StopAsyncIteration:
            part, self._is_read = b"", True
        return {"type": "http.request", "body": part, "more_body": not self._is_read}


class _Sender:
    """The head is kept back until the first part of the body says whether there will be more."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._head: Message = {}
        self._transport: Any = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = message
            return
        body, has_more = message.get("body", b""), message.get("more_body", False)
        if self._transport is not None:
            await self._continue(body, has_more)
            return
        status = self._head["status"]
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._head["headers"]]
        if has_more:
            self._transport = self._protocol.response_stream(status, headers)
            await self._continue(body, has_more)
        else:
            self._protocol.response_bytes(status, headers, body)

    async def _continue(self, body: bytes, has_more: bool) -> None:
        if body:
            await self._transport.send_bytes(body)
        if not has_more:
            self._transport = None  # which ends the answer
