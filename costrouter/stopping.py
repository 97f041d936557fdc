"""How a process of the web server ends without hurting anybody.

- SIGTERM: the installation stops. New requests are refused with 503 and `Retry-After`; what is open goes on. Where the
  parent has died, whoever takes its place may listen at once.
- SIGUSR1: others have taken over (a rolling restart). New connections are theirs at once. What comes on those that are
  open is served still for a moment, each answer closing its connection, so that clients move; a connection on which
  nothing has come by then is closed.

Either way streams and pages have `DRAIN_SECONDS` to finish. What is left then gets its error event, or its refusal,
and is settled; the server ends when the last connection has. SIGINT, which granian itself handles, is what ends it,
from within alone: a terminal sends it to the parent, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from costrouter.parent import has_lost_parent
from routing.api.doors import Doors

log = logging.getLogger(__name__)

LINGER_SECONDS: Final = 1.0
"""So long clients with kept connections have to be told that theirs is closed."""


class Stop:
    """Listens for the signals of one process."""

    def __init__(self, doors: Doors, drain_seconds: float, end: Callable[[], object]) -> None:
        self._doors = doors
        self._drain_seconds = drain_seconds
        self._end = end
        self._task: asyncio.Task[None] | None = None

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._begin, True)
        loop.add_signal_handler(signal.SIGUSR1, self._begin, False)

    def _begin(self, is_closing: bool) -> None:
        self._doors.is_leaving = True
        self._doors.are_closed = self._doors.are_closed or is_closing
        if not is_closing or has_lost_parent():
            leave_listening()
        if self._task is None:
            log.info("stopping: %d requests are open", len(self._doors.inside))
            self._task = asyncio.get_running_loop().create_task(self._drain(is_closing))

    async def _drain(self, is_closing: bool) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_seconds
        if not is_closing:
            await asyncio.sleep(min(LINGER_SECONDS, self._drain_seconds))
            self._end()
        if await self._are_left(self._doors.inside, deadline, "requests"):
            self._doors.cut()
        if is_closing:
            self._end()
        if await self._are_left(self._doors.pages, deadline, "pages"):
            self._doors.cut_pages()

    async def _are_left(self, tasks: Mapping[asyncio.Task[Any], object], deadline: float, called: str) -> bool:
        """Whether some of them have not ended by then."""
        loop = asyncio.get_running_loop()
        while tasks and (left := deadline - loop.time()) > 0:
            await asyncio.wait(set(tasks), timeout=left)
        if tasks:
            log.warning("stopping: %d %s are broken off after %g s", len(tasks), called, self._drain_seconds)
        return bool(tasks)


def leave_listening() -> None:
    """Takes this process's hands off the listening sockets that it shares with others, and off those alone.

    granian accepts as long as it lives, and closes a connection on which nothing has come when it ends: a client whose
    request was on its way would be cut. So the descriptors get a socket that nobody connects to; what still tells of
    connections to the shared one finds none to accept.
    """
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return
    with socket.socket() as nobodys:
        nobodys.bind(("127.0.0.1", 0))
        nobodys.listen(1)
        nobodys.setblocking(False)
        for descriptor in [int(entry.name) for entry in folder.iterdir()]:
            if descriptor != nobodys.fileno() and _listens(descriptor):
                os.dup2(nobodys.fileno(), descriptor, inheritable=False)


def _listens(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    except OSError:  # no socket, or the folder's own descriptor, which is closed by now
        return False
