"""A gateway that runs, its database, and a scripted upstream behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from pytest_django.plugin import DjangoDbBlocker

from tests.callers import Caller
from tests.gateway import Gateway
from tests.installation import Installation, Offer, Shape
from tests.upstream import Upstream


@dataclass(slots=True)
class World:
    """Everything a black-box test talks to."""

    gateway: Gateway
    installation: Installation
    upstream: Upstream
    callers: list[Caller] = field(default_factory=list)

    def caller(self, **options: Any) -> Caller:
        """A new tenant's app; the options are those of `Installation.holder`."""
        caller = Caller(self.installation, self.upstream, self.installation.holder(**options))
        self.callers.append(caller)
        return caller

    def dismiss(self) -> None:
        """Closes the connections of every caller so far."""
        while self.callers:
            self.callers.pop().close()

    def offer(self, shape: Shape) -> Offer:
        return self.installation.offer(shape)

    @contextlib.contextmanager
    def checked(self, *, seconds: float = 3) -> Iterator[World]:
        """Afterwards nobody is connected, the books add up, and within so many seconds nothing new is held."""
        before = self.installation.newest_wallet()
        yield self
        self.dismiss()
        self.installation.assert_books(seconds=seconds, after=before)


@contextlib.contextmanager
def running(
    *,
    database_url: str,
    var: Path,
    blocker: DjangoDbBlocker,
    redis_url: str = "",
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    stock: Mapping[Shape, int] | None = None,
) -> Iterator[World]:
    """A world for the length of the block. As many retries as requests are allowed: many tests fail over."""
    upstream = Upstream().start()
    gateway = Gateway(
        database_url=database_url,
        var=var,
        redis_url=redis_url,
        workers=workers,
        env={"RETRY_BUDGET": "1", "KEEP_ALIVE_SECONDS": "0.4", **(env or {})},
    )
    installation = Installation(
        gateway_url=gateway.url, database_url=database_url, upstream_url=upstream.url, blocker=blocker
    )
    installation.processes = workers
    try:
        if stock:
            installation.stock(dict(stock))
        world = World(gateway, installation, upstream)
        yield world
        world.dismiss()
    finally:
        installation.close()
        gateway.stop()
        upstream.stop()


def redis_database(number: int) -> str:
    """The URL of another database of the run's Redis; without one, none: limits are then kept in the process."""
    url = str(settings.REDIS_URL)
    return f"{url.rpartition('/')[0]}/{number}" if url else ""
