"""A request's body as it comes in: bounded in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from routing.api.body import RequestTooLarge
from routing.api.errors import RequestTimeout
from routing.api.headers import RequestHeaders

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BODY_SECONDS: Final = 60.0


class Intake:
    """Reads bodies of at most so many bytes, and ends those that take longer than a minute, with one timer for all."""

    def __init__(self, most: int, seconds: float = BODY_SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._reading: dict[asyncio.Task[Any], float] = {}
        """When each began, the oldest first."""
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, receive: Receive, headers: RequestHeaders) -> bytes:
        """The whole body; that it has come is noted with its headers.

        Raises RequestTooLarge as soon as it is declared or grows larger than the limit, RequestTimeout where the time
        is over or the client leaves.
        """
        length = self._declared(headers)
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101 - requests run in tasks
        self._reading[task] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestTimeout
                part = message.get("body", b"")
                size += len(part)
                if size > self._most:
                    raise RequestTooLarge(self._most)
                # Whole as soon as its length is here: the server would say so in a message of its own.
                if size == length or not message.get("more_body"):
                    headers.is_body_read = True
                    return b"".join((*parts, part)) if parts else part
                parts.append(part)
        except asyncio.CancelledError:
            if task in self._late:
                task.uncancel()
                raise RequestTimeout from None
            raise
        finally:
            del self._reading[task]
            if self._late:
                self._late.discard(task)

    def _declared(self, headers: RequestHeaders) -> int:
        """Bytes, -1 where nothing is said."""
        declared = headers.by_name.get(b"content-length")
        if declared is None:
            return -1
        if not declared.isdigit() or int(declared) > self._most:
            raise RequestTooLarge(self._most)
        return int(declared)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        latest = loop.time() - self._seconds
        for task, began in self._reading.items():
            if began > latest:
                self._timer = loop.call_at(began + self._seconds, self._look, loop)
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
