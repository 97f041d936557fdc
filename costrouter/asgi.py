# ruff: noqa: E402 - Django is set up before anything of ours is imported
"""The ASGI entry: two planes over one Django project.

Paths under /v1/ and /v1beta/ go to the API plane: the same URL resolver and DRF views, without middleware and without
thread hops. Everything else is stock Django (portal, admin, docs), but for an app that has got its base URL wrong: it
is told so in the API's own words. ADR 0001 has the reason and the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")

from costrouter import starts

starts.set_up()

from django.conf import settings

# So that no request is the first to need them: what lies on the disk may be another version's by then.
import accounts.shared_cache  # noqa: F401
import administration.dashboard  # noqa: F401
import costrouter.urls  # noqa: F401
import portal.signup  # noqa: F401
from accounts.networks import parse_networks
from costrouter.checks import check_values
from costrouter.gateway import build
from costrouter.guard import Guard
from costrouter.health import PATHS, Health
from costrouter.memory import collect_seldom
from costrouter.pages import Pages
from costrouter.parent import end_server, end_with_parent, leave_terminal_to_parent, say_ready
from costrouter.scheduler import Scheduler
from costrouter.stopping import Stop
from routing.api.doors import Doors
from routing.api.intake import Receive
from routing.api.plane import ApiPlane, Scope, Send

_BEGIN_SECONDS: Final = 0.05
"""So long after its start granian serves. A signal to end that comes before, it loses, and lives for ever."""
_BARE: Final = frozenset(("/v1", "/v1beta"))


class Application:
    """Picks the plane; while the server lives, the gateway's parts and the process's own jobs live with it."""

    def __init__(self) -> None:
        self._api: ApiPlane | None = None
        self._health: Health | None = None
        self._doors = Doors(settings.MAX_OPEN_REQUESTS)
        proxies = parse_networks(settings.TRUSTED_PROXIES)
        self._web = Guard(Pages(settings.PAGES_AT_ONCE), self._doors, proxies, settings.MAX_BODY_BYTES)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        kind = scope["type"]
        if kind == "http" and (scope["path"].startswith(("/v1/", "/v1beta/")) or scope["path"] in _BARE):
            if self._api is None:
                raise RuntimeError("The API plane needs a server that speaks ASGI's lifespan; see bin/serve.")
            return self._api(scope, receive, send)
        if kind == "http" and scope["path"] in PATHS and self._health is not None:
            return self._health.answer(scope["path"], send)
        if kind == "lifespan":
            return self._live(receive, send)
        if kind == "http" and self._api is not None and self._api.is_lost(scope):
            return self._api(scope, receive, send)
        return self._web(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's start and end (ASGI lifespan)."""
        await receive()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)  # who is told to end before he serves, ends
        end_with_parent()
        leave_terminal_to_parent()
        _work_in_batches()
        try:
            gateway = build()
            scheduler = Scheduler(gateway)
            await scheduler.start()
        except Exception as error:  # said to the server, which then ends with it
            await send({"type": "lifespan.startup.failed", "message": starts.words(error) or str(error)})
            if starts.words(error):
                return
            raise
        self._api, self._health = ApiPlane(gateway, self._doors), Health(self._doors)
        collect_seldom()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.sleep(_BEGIN_SECONDS)
        Stop(self._doors, settings.DRAIN_SECONDS, end_server).listen()
        say_ready(settings.DRAIN_SECONDS)
        await receive()
        await scheduler.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _work_in_batches() -> None:
    """Asks the kernel not to let this process's threads interrupt each other (sched(7), SCHED_BATCH).

    The server's own threads and the writer wake often and briefly; each lets the event loop finish what it is at, and
    finds more to do when its turn comes. Threads that start later inherit it. ADR 0008 has the figures.
    """
    tasks = Path("/proc/self/task")
    if not hasattr(os, "SCHED_BATCH") or not tasks.exists():
        return
    for thread in tasks.iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile, or a sandbox forbids it
            os.sched_setscheduler(int(thread.name), os.SCHED_BATCH, os.sched_param(0))


starts.require(check_values(None))
application = Application()
