"""What stands before the pages: whose request it is, how large and slow its body may be, and that no NUL gets in.

The same client address as the API plane's (accounts/networks.py), so that no throttle takes a proxy for a person; and
bodies are bounded in size and time before Django, which would lay them down on the disk, sees any of them. PostgreSQL
takes no NUL, so a filter or a session that has one would be a fault of ours.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import MutableMapping, Sequence
from typing import Any, Final

from accounts.errors import GatewayError
from accounts.networks import Network, client_address, parse_address
from routing.api.doors import Doors, Stopping
from routing.api.headers import RequestHeaders
from routing.api.intake import Intake, Receive
from routing.api.plane import Scope, Send

LARGEST_FORM: Final = 2_621_440
"""Bytes: what Django reads of a form into memory (DATA_UPLOAD_MAX_MEMORY_SIZE). No page of ours takes files."""
_OCTAL_NUL: Final = re.compile(r"(?<!\\)\\000")


class HasNul(GatewayError):
    """A NUL in a query or a cookie, where nobody who means well has one."""

    status = 400
    type = "invalid_request_error"
    code = "nul_in_request"

    def __init__(self) -> None:
        super().__init__("The address or a cookie has a NUL in it.")


class Guard:
    """Stands before an ASGI application."""

    def __init__(
        self, application: Any, doors: Doors, trusted_proxies: Sequence[Network], most_body_bytes: int
    ) -> None:
        self._application = application
        self._doors = doors
        self._trusted_proxies = trusted_proxies
        self._intake = Intake(min(most_body_bytes, LARGEST_FORM))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A page for which the process waits no longer is ended as if its client had gone; he is told, if he can be."""
        task, end = asyncio.current_task(), asyncio.get_running_loop().create_future()
        assert task is not None  # noqa: S101 - requests run in tasks
        has_begun = False

        async def send_and_note(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        self._doors.pages[task] = end
        try:
            refusal = await self._serve(scope, _until(end, receive), send_and_note)
            if end.done() and not has_begun:
                refusal = Stopping()
            if refusal is not None:
                await _refuse(refusal, send)
        finally:
            del self._doors.pages[task]

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> GatewayError | None:
        """The refusal, where a page is not asked at all."""
        headers = RequestHeaders(scope["headers"])
        if _has_nul(scope["query_string"], headers):
            return HasNul()
        scope = self._as_the_client_sent_it(scope, headers)
        if headers.announce_a_body:
            try:
                receive = await self._with_body(receive, headers)
            except GatewayError as refusal:
                return refusal
        await self._application(scope, receive, send)
        return None

    def _as_the_client_sent_it(self, scope: Scope, headers: RequestHeaders) -> Scope:
        """With the client's address and scheme where a trusted proxy says them."""
        client = scope.get("client")
        if not self._trusted_proxies or not client or not self._trusts(client[0]):
            return scope
        address = client_address(client[0], ", ".join(headers.get_all("x-forwarded-for")), self._trusted_proxies)
        scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        return {**scope, "client": [_plain(address), 0], "scheme": scheme if scheme == "https" else scope["scheme"]}

    def _trusts(self, peer: str) -> bool:
        try:
            ip = parse_address(peer)
        except ValueError:
            return False
        return any(ip in network for network in self._trusted_proxies)

    async def _with_body(self, receive: Receive, headers: RequestHeaders) -> Receive:
        """The body is here, whole; raises RequestTooLarge or RequestTimeout."""
        body = await self._intake.read(receive, headers)
        first = deque([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Any:
            return first.popleft() if first else await _end_of(receive)

        return replay


def _has_nul(query: bytes, headers: RequestHeaders) -> bool:
    """Whether Django would read one out of it. Cookies write theirs in octal (RFC 2109's quoted strings)."""
    if b"%00" in query or b"\0" in query:
        return True
    return any(_OCTAL_NUL.search(cookie) is not None for cookie in headers.get_all("cookie"))


def _plain(address: str) -> str:
    """Without port and brackets, as throttles and logs compare it."""
    try:
        return str(parse_address(address))
    except ValueError:
        return address


def _until(end: asyncio.Future[None], receive: Receive) -> Receive:
    """What comes, and once `end` is done the client's leaving."""

    async def hear() -> Any:
        coming = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((coming, end), return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()

    return hear


async def _end_of(receive: Receive) -> Any:
    """The client's leaving; the end of a body that is here already is none."""
    while (message := await receive())["type"] != "http.disconnect":
        pass
    return message


async def _refuse(refusal: GatewayError, send: Send) -> None:
    body = refusal.message.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]  # fmt: skip
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
