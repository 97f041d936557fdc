"""Web origins: how one is written, and which ones any key allows, for browsers that ask before they send a key."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from django.db.models import Q
from django.utils import timezone

from accounts import database
from accounts.errors import ServiceUnavailable
from accounts.models import ApiKey, Tenant

MOST_ORIGINS: Final = 64
"""On one key."""
FRESH_SECONDS: Final = 1.0
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


def normalise(text: str) -> str:
    """An origin as browsers send it (RFC 6454, 6.2); raises ValueError for what no browser would send.

    >>> normalise("HTTPS://App.Example:443/")
    'https://app.example'
    """
    parts = urlsplit(text.strip().lower())
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("no origin")
    port = parts.port
    host = _host(parts.hostname or "")
    return f"{parts.scheme}://{host}" if port in {None, default} else f"{parts.scheme}://{host}:{port}"


def _host(name: str) -> str:
    if ":" in name:
        return f"[{ipaddress.IPv6Address(name)}]"
    ascii_name = name.encode("idna").decode()
    if len(ascii_name) > 253 or not _HOST.fullmatch(ascii_name):
        raise ValueError("no host")
    return ascii_name


class Origins:
    """The origins that any active key allows; read at most once a second, and only when a browser asks."""

    def __init__(self, read: Callable[[], frozenset[str]] | None = None) -> None:
        self._read_all = read or allowed_origins
        self._known: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._reading: asyncio.Task[frozenset[str]] | None = None

    async def allow(self, origin: str) -> bool:
        """Whether a key may come from there. While the database is away, what was known holds."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            if self._reading is None:
                self._reading = asyncio.get_running_loop().create_task(self._read())
            await asyncio.shield(self._reading)
        return origin in self._known

    async def _read(self) -> frozenset[str]:
        try:
            self._known = await database.read(self._read_all)
        except ServiceUnavailable:
            pass
        finally:
            self._read_at, self._reading = time.monotonic(), None
        return self._known


def allowed_origins() -> frozenset[str]:
    """Of every key that may be used now."""
    usable = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    rows = ApiKey.objects.filter(usable, status=ApiKey.Status.ACTIVE, tenant__status=Tenant.Status.ACTIVE)
    lists = rows.exclude(allowed_origins=[]).values_list("allowed_origins", flat=True)
    return frozenset(origin for origins in lists for origin in origins)
