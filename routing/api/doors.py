"""Who is inside: the requests of this process that are open, how many may be, and who is sent away when it stops.

Pages stand apart: nobody counts them here, so browsers take no app's place (costrouter/pages.py bounds them).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from accounts.errors import ServiceUnavailable
from routing.pipeline.stream import StreamReply

RETRY_SECONDS: Final = 1


class Full(ServiceUnavailable):
    """As many requests are open as this process serves at once."""

    def __init__(self) -> None:
        super().__init__("The service is busy: too many requests are open. Please retry.", retry_after=RETRY_SECONDS)


class Stopping(ServiceUnavailable):
    """The process is about to end; another one takes over."""

    def __init__(self) -> None:
        super().__init__("The service is being restarted. Please retry.", retry_after=RETRY_SECONDS)


class Doors:
    """The open requests by their tasks; a stream that has begun stands with its own."""

    def __init__(self, most: int) -> None:
        self.inside: dict[asyncio.Task[Any], StreamReply | None] = {}
        self.pages: dict[asyncio.Task[Any], asyncio.Future[None]] = {}
        """What is asked of the web plane, by its task, and what is done when it is to end."""
        self._most = most
        self._cut: set[asyncio.Task[Any]] = set()
        self.are_closed = False
        """Nobody is let in any more."""
        self.is_leaving = False
        """Every answer closes its connection, so that its client opens one to another process."""

    def refusal(self, waiting: int) -> ServiceUnavailable | None:
        """Why nobody else is let in at this moment; `waiting` of those inside cost nothing but their place."""
        if self.are_closed:
            return Stopping()
        return Full() if len(self.inside) - waiting >= self._most else None

    def cut(self) -> None:
        """Breaks off what is still open: streams get their error event, others their refusal."""
        for task, stream in list(self.inside.items()):
            if stream is not None:
                stream.stop()
            else:
                self._cut.add(task)
                task.cancel()

    def cut_pages(self) -> None:
        """Ends what is left of the pages, as if their clients had gone."""
        for end in self.pages.values():
            if not end.done():
                end.set_result(None)

    def is_cut(self, task: asyncio.Task[Any]) -> bool:
        """Whether it was cancelled from here; asked once."""
        if task not in self._cut:
            return False
        self._cut.discard(task)
        return True
