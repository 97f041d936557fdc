"""The web plane: Django's handler, with so many pages made at once, which bounds a process's database connections.

Django gives each request a thread, and a thread that asks the database has a connection of its own. Without a bound a
few hundred impatient browsers would take every connection that PostgreSQL has, and the gateway's books with them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

PATIENCE_SECONDS = 10.0
"""How long a page waits for its turn before its browser is told to come back."""
STALL_SECONDS = 30.0
"""How long a piece of a streamed page waits for a client that does not read."""

log = logging.getLogger(__name__)


class Pages(ASGIHandler):
    """At most `at_once` pages are made at the same time; the next ones wait in line.

    A page that is whole gives its place back and closes its connection before it is sent, so that clients that do not
    read keep neither. A streamed one (an export) has both to its end, or until its client has read nothing for a while.
    """

    def __init__(self, at_once: int, stall_seconds: float = STALL_SECONDS) -> None:
        super().__init__()
        self._stall_seconds = stall_seconds
        self._places = asyncio.Semaphore(at_once)

    async def run_get_response(self, request: HttpRequest) -> Any:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            return _come_back()
        is_kept = False
        try:
            response: HttpResponseBase = await super().run_get_response(request)
            is_kept = response.streaming
            if not is_kept:
                await sync_to_async(connections.close_all)()
            return response
        finally:
            if not is_kept:
                self._places.release()

    async def send_response(self, response: Any, send: Any) -> None:
        if not response.streaming:
            await super().send_response(response, send)
            return

        async def send_in_time(message: Any) -> None:
            async with asyncio.timeout(self._stall_seconds):
                await send(message)

        try:
            await super().send_response(response, send_in_time)
        except TimeoutError:  # without its end it is not taken for whole: the server hangs up
            log.warning("a client that reads nothing is left: it keeps a page's place")
            await sync_to_async(response.close)()
        finally:
            self._places.release()


def _come_back() -> HttpResponse:
    words = "Too many pages are asked for at once. Please retry.\n"
    return HttpResponse(words, status=503, content_type="text/plain; charset=utf-8", headers={"Retry-After": "5"})
