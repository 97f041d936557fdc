# ruff: noqa: E402 - Django is set up before anything of ours is imported
"""Two planes over one Django project, whatever interface the server speaks.

Paths under /v1/ go to the API plane: the same URL resolver and DRF views, without middleware and without thread hops.
Everything else is stock Django (portal, admin, docs). ADR 0001 has the reason and the figures; costrouter/rsgi.py and
costrouter/asgi.py are the doors.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")

import django

django.setup()

from django.conf import settings
from django.urls import Resolver404, get_resolver

from costrouter.scheduler import Scheduler
from routing.api.base import ApiRequest, ApiResponse, error_response
from routing.api.body import RequestTooLarge
from routing.api.errors import RequestTimeout, UnknownUrl

BODY_SECONDS: Final = 60.0
MOST_BODY_BYTES: Final = settings.MAX_BODY_BYTES
STREAM_HEADERS: Final = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]


def is_api(path: str) -> bool:
    """Whether a path is the API plane's."""
    return path.startswith("/v1/") or path == "/v1"


class ApiPlane:
    """Resolves a request's view and returns what it answers."""

    def __init__(self) -> None:
        self._resolver = get_resolver()
        self._views: dict[str, Callable[..., Awaitable[ApiResponse]]] = {}
        """Views of paths without parameters, once resolved."""

    async def answer(self, request: ApiRequest) -> ApiResponse:
        """The response with all its headers but the server's own; raises ClientGone if nobody waits for it."""
        try:
            response = await self._view(request.path)(request)
        except UnknownUrl as error:
            response = error_response(error)
        headers = response.headers
        headers.append(("x-request-id", f"req_{request.id}"))
        if response.stream is None:
            headers += (("content-type", "application/json"), ("content-length", str(len(response.body))))
        else:
            headers += STREAM_HEADERS
        return response

    def _view(self, path: str) -> Callable[..., Awaitable[ApiResponse]]:
        view = self._views.get(path)
        if view is None:
            try:
                match = self._resolver.resolve(path)
            except Resolver404:
                raise UnknownUrl from None
            view = partial(match.func, **match.kwargs)
            if not match.kwargs:
                self._views[path] = view
        return view


def declared_length(content_length: str | None) -> int | None:
    """The body's length as its sender declares it; raises RequestTooLarge before anything is read of one too large."""
    if content_length is None:
        return None
    if not content_length.isdecimal() or int(content_length) > MOST_BODY_BYTES:
        raise RequestTooLarge(MOST_BODY_BYTES)
    return int(content_length)


class SlowBodies:
    """Ends the reading of bodies that take longer than a minute to come, with one timer for all of them."""

    def __init__(self, seconds: float = BODY_SECONDS) -> None:
        self._seconds = seconds
        self._reading: dict[asyncio.Task[Any], float] = {}
        """When each began, the oldest first."""
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, body: Awaitable[bytes]) -> bytes:
        """The body; raises RequestTimeout where the time is over."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - requests run in tasks
        loop = asyncio.get_running_loop()
        self._reading[task] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)
        try:
            return await body
        except asyncio.CancelledError:
            if task in self._late:
                task.uncancel()
                raise RequestTimeout from None
            raise
        finally:
            del self._reading[task]
            self._late.discard(task)

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


slow_bodies = SlowBodies()


class Upkeep:
    """The process's own jobs, for as long as the server lives."""

    def __init__(self) -> None:
        self._scheduler = Scheduler()

    async def start(self) -> None:
        """Raises what keeps the process from serving."""
        _work_in_batches()
        await self._scheduler.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)

    async def stop(self) -> None:
        await self._scheduler.stop()


def _work_in_batches() -> None:
    """Asks the kernel not to let this process's threads interrupt each other (sched(7), SCHED_BATCH).

    The server's own threads and the writer wake often and briefly; each lets the event loop finish what it is at, and
    finds more to do when its turn comes. Threads that start later inherit it. ADR 0008 has the figures.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
