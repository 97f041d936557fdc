"""What a load balancer or orchestrator asks of a process: `/health/live` and `/health/ready`. Neither spends money.

Live: the event loop turns. Ready: requests can be served here now. The answer names the part that is not well and
nothing else of the installation; the log says more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import orjson
from django.db import connection

from accounts import database, schema
from accounts.errors import ServiceUnavailable
from routing.api.doors import Doors
from routing.catalogue.models import Channel
from routing.catalogue.vault import SealBroken

log = logging.getLogger(__name__)

PATHS: Final = frozenset(("/health/live", "/health/ready"))
FRESH_SECONDS: Final = 1.0
"""However often it is asked, the database is looked at once in so long."""

Checks = dict[str, str]
"""Each part and \"ok\" or what is wrong with it."""


class Health:
    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._looked_at = 0.0
        self._look: asyncio.Task[Checks] | None = None
        """The last one, or the one that is still at it: nobody is told what an older one saw."""

    async def answer(self, path: str, send: Callable[[MutableMapping[str, Any]], Any]) -> None:
        checks = {"process": "ok"} if path.endswith("live") else await self._ready()
        is_well = set(checks.values()) == {"ok"}
        body = orjson.dumps({"status": "ok" if is_well else "unavailable", "checks": checks})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
                   (b"cache-control", b"no-store")]  # fmt: skip
        await send({"type": "http.response.start", "status": 200 if is_well else 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _ready(self) -> Checks:
        if self._doors.is_leaving:
            return {"process": "stopping"}
        if self._look is None or (self._look.done() and time.monotonic() - self._looked_at > FRESH_SECONDS):
            self._looked_at = time.monotonic()
            self._look = asyncio.create_task(_looked())
        return {"process": "ok"} | await asyncio.shield(self._look)


async def _looked() -> Checks:
    try:
        return await database.report(look)
    except ServiceUnavailable:
        return {"database": "away"}


def look() -> Checks:
    """The database, its schema, and whether a channel's secret can be opened; raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    found = {"database": "ok", "migrations": "ok", "keys": "ok"}
    try:
        schema.require_own()
    except schema.WrongSchema as wrong:
        log.error("not ready: %s", wrong)
        found["migrations"] = "another version's"
        return found
    try:
        for channel in Channel.objects.exclude(sealed_secret=b"").order_by("-pk")[:1]:
            channel.secret  # noqa: B018 - opening it is the look
    except SealBroken as broken:
        log.error("not ready: %s", broken)
        found["keys"] = "MASTER_KEYS do not open a channel's secret"
    return found
