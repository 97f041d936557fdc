# ruff: noqa: E402 - Django is set up before anything of ours is imported
"""The ASGI entry: two planes over one Django project.

Paths under /v1/ go to the API plane: the same URL resolver and DRF views, without middleware and without thread hops.
Everything else is stock Django (portal, admin, docs). ADR 0001 has the reason and the figures.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Coroutine
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")

import django

django.setup()

from django.core.handlers.asgi import ASGIHandler

from costrouter.scheduler import Scheduler
from routing.api.plane import ApiPlane, Receive, Scope, Send


class Application:
    """Picks the plane, and runs the process's own jobs for as long as the server lives."""

    def __init__(self) -> None:
        _work_in_batches()
        self._api = ApiPlane()
        self._web = ASGIHandler()
        self._scheduler = Scheduler()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        kind = scope["type"]
        if kind == "lifespan":
            return self._live(receive, send)
        path = scope["path"]
        if kind == "http" and (path.startswith("/v1/") or path == "/v1"):
            return self._api(scope, receive, send)
        return self._web(scope, receive, send)  # type: ignore[arg-type]

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and end (ASGI lifespan)."""
        await receive()
        try:
            await self._scheduler.start()
        except Exception as error:  # said to the server, which then ends with it
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._scheduler.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _work_in_batches() -> None:
    """Asks the kernel not to let this process's threads interrupt each other (sched(7), SCHED_BATCH).

    The server's own threads and the writer wake often and briefly; each lets the event loop finish what it is at, and
    finds more to do when its turn comes. Threads that start later inherit it. ADR 0008 has the figures.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


application = Application()
