"""The parent of the web server's processes: starts them, starts them again, and replaces them one by one.

granian's own parent ends the whole server when a process dies twice within some seconds, leaves its processes alone
when it dies itself, and closes a listening socket with each process that it replaces. This one holds the one listening
socket for all of them, so that no connection is lost with a process, and a second server on the port is refused (ADR
0021). SIGTERM stops everything, SIGHUP replaces each process by a new one that serves already.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server.mp import MPServer

from costrouter.nursery import UNKNOWN, Forked, Nursery, has_ended_itself
from costrouter.parent import PARENT

log = logging.getLogger("_granian")

BACKLOG: Final = 4096
MOST_OPEN: Final = 20_000
"""Requests of a process that granian lets in. It leaves the next ones without an answer, so our own bound is lower."""
START_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 60.0
"""A process that has lived so long has not failed to start."""
LONGEST_PAUSE: Final = 30.0
_MARGIN_SECONDS: Final = 30.0
"""What an end may take beyond its draining: the last settlements, the goodbye."""
_TICK_SECONDS: Final = 0.2
_MOST_WORKERS: Final = 512

Spawn = Callable[..., None]
Worker = Any
"""A process as granian has it, which carries no types."""


class Supervisor(MPServer):
    """granian's server with another parent's life."""

    def __init__(self, *, host: str, port: int, workers: int) -> None:
        super().__init__(
            "costrouter.asgi:application", host, port,
            interface=Interfaces.ASGI, loop=Loops.uvloop, http=HTTPModes.http1, http1_settings=HTTP1Settings(),
            websockets=False, workers=workers, backlog=BACKLOG, backpressure=MOST_OPEN,
            workers_kill_timeout=int(60 + _MARGIN_SECONDS),
        )  # fmt: skip
        self._listener: socket.socket | None = None
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.environ[PARENT] = f"{os.getpid()} {writer}"
        self._ready_pipe = reader
        self._ready: set[int] = set()
        self._failures = [0] * workers
        self._due: dict[int, float] = {}
        """When a process that died is started again, by its place."""
        self._nursery: Nursery | None = None
        self._next_nursery: Nursery | None = None
        """What takes the nursery's place as soon as it has imported everything."""
        self._is_restarting = False
        """Whether every process is to be replaced then."""
        self._has_given_up = False
        self._to_replace: list[int] = []
        self._incoming: Worker | None = None
        """The process that takes over from the one in its place as soon as it serves."""
        self._retiring: dict[Worker, float] = {}
        """Those that still finish what they are at, and when they are ended."""

    def _init_shared_socket(self) -> None:
        """One socket, which every process inherits; raises OSError if somebody else has the address."""
        self._listener = listening(self.bind_addr, self.bind_port)
        holder: Any = SocketHolder
        self._ssp, self._sso, self._shd = None, None, holder(self._listener.fileno(), False, BACKLOG)

    def _spawn_workers(self, spawn_target: Spawn, target_loader: Any) -> None:
        """Once everything is imported; none if it cannot be."""
        if sys.platform == "linux":
            nursery = self._nursery = self._new_nursery(spawn_target, target_loader)
            try:
                while not nursery.has_become_ready(_TICK_SECONDS):
                    if self.interrupt_signal:
                        return
            except EOFError:
                self._give_up(0)
                return
        for place in range(self.workers):
            worker = self._forked(place, spawn_target, target_loader)
            worker.start()
            self.wrks.append(worker)

    def _new_nursery(self, spawn_target: Spawn, target_loader: Any) -> Nursery:
        live = partial(self._live, spawn_target, target_loader)
        return Nursery(target_loader, live, lambda: self.interrupt_signal)

    def _live(self, spawn_target: Spawn, target_loader: Any, place: int) -> None:
        """A process's whole life, in that process."""
        self._spawn_worker(place, spawn_target, target_loader).inner.run()

    def _forked(self, place: int, spawn_target: Spawn, target_loader: Any) -> Worker:
        """A process that has not started yet."""
        worker: Worker = self._spawn_worker(place, spawn_target, target_loader)
        if self._nursery is not None:
            worker.inner = Forked(partial(self._nursery.fork, place))
        return worker

    def _serve_loop(self, spawn_target: Spawn, target_loader: Any) -> None:
        while not self.interrupt_signal:
            self.main_loop_interrupt.wait(_TICK_SECONDS)
            self.main_loop_interrupt.clear()
            self._hear_who_is_ready()
            if self.reload_signal:
                self.reload_signal = False
                self._begin_restart(spawn_target, target_loader)
            self._look_after_nurseries(spawn_target, target_loader)
            self._start_again(spawn_target, target_loader)
            self._replace_next(spawn_target, target_loader)
            self._end_overdue()

    def _hear_who_is_ready(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for line in os.read(self._ready_pipe, 65536).decode().splitlines():
                pid, drain_seconds = line.split()
                self._ready.add(int(pid))
                self.workers_kill_timeout = int(float(drain_seconds) + _MARGIN_SECONDS)

    def _begin_restart(self, spawn_target: Spawn, target_loader: Any) -> None:
        if self._nursery is None:
            self._to_replace = list(range(self.workers))
            return
        if self._next_nursery is not None:
            self._next_nursery.close()
        self._next_nursery, self._is_restarting = self._new_nursery(spawn_target, target_loader), True

    def _look_after_nurseries(self, spawn_target: Spawn, target_loader: Any) -> None:
        """Puts the next one in its place when it is ready; makes one for a nursery that has died."""
        if self._nursery is not None and self._nursery.is_dead and self._next_nursery is None:
            self._nursery.is_dead = False  # found again by the next process that is due, after its pause
            self._next_nursery = self._new_nursery(spawn_target, target_loader)
        coming = self._next_nursery
        if self._nursery is None or coming is None:
            return
        try:
            if coming.has_become_ready(0):
                self._nursery.close()
                self._nursery, self._next_nursery = coming, None
                if self._is_restarting:
                    self._to_replace, self._is_restarting = list(range(self.workers)), False
                return
            is_overdue = time.monotonic() - coming.birth > START_SECONDS
        except EOFError:
            is_overdue = True
        if is_overdue:
            log.error("The new process did not start: the old ones stay")
            coming.close()
            self._next_nursery, self._is_restarting = None, False

    def _give_up(self, place: int) -> None:
        log.error("No process could start; the reason stands above")
        self.interrupt_signal = self._has_given_up = True
        self.interrupt_children.append(place)  # by which granian's exit code is 1

    def _start_again(self, spawn_target: Spawn, target_loader: Any) -> None:
        """What died; at once if it had lived, else after a pause that doubles. Nothing is if none can start."""
        now = time.monotonic()
        self.interrupt_children.clear()
        workers: list[Worker] = list(self.wrks)
        for place, worker in enumerate(workers):
            if worker.is_alive():
                continue
            if place not in self._due:
                ending = getattr(worker.inner, "ending", UNKNOWN)
                if not self._ready and has_ended_itself(ending):
                    self._give_up(place)
                    return
                has_lived = now - worker.birth > STEADY_SECONDS
                self._failures[place] = 0 if has_lived else self._failures[place] + 1
                wait = pause(self._failures[place])
                self._due[place] = now + wait
                log.error("worker-%d has ended (%s); another one starts in %g s", place + 1, ending, wait)
            if now >= self._due[place]:
                del self._due[place]
                log.info("Starting worker-%d again", place + 1)
                fresh = self._forked(place, spawn_target, target_loader)
                self.wrks[place] = fresh
                fresh.start()

    def _replace_next(self, spawn_target: Spawn, target_loader: Any) -> None:
        """One step of a rolling restart: one new process at a time, and none in vain."""
        incoming = self._incoming
        if incoming is None:
            if self._to_replace:
                spawned = self._forked(self._to_replace.pop(0), spawn_target, target_loader)
                spawned.interrupt_by_parent = True  # its end is looked after here
                spawned.start()
                self._incoming = spawned
            return
        if incoming.inner.pid in self._ready:
            incoming.interrupt_by_parent = False
            old, self.wrks[incoming.idx] = self.wrks[incoming.idx], incoming
            self._retire(old)
        elif not incoming.is_alive() or time.monotonic() - incoming.birth > START_SECONDS:
            log.error("The new process did not start: the old ones stay")
            incoming.kill()
            self._to_replace.clear()
        else:
            return
        self._incoming = None

    def _retire(self, worker: Worker) -> None:
        worker.interrupt_by_parent = True
        self._due.pop(worker.idx, None)
        if worker.is_alive():
            os.kill(worker.inner.pid, signal.SIGUSR1)
            self._retiring[worker] = time.monotonic() + (self.workers_kill_timeout or 0)

    def _end_overdue(self) -> None:
        for worker, deadline in list(self._retiring.items()):
            if not worker.is_alive():
                del self._retiring[worker]
            elif time.monotonic() > deadline:
                log.warning("Killing old worker-%d, which did not end", worker.idx + 1)
                worker.kill()

    def _stop_workers(self) -> None:
        self._hear_who_is_ready()
        for nursery in (self._nursery, self._next_nursery):
            if nursery is not None:
                nursery.close()
        self.wrks += [worker for worker in (self._incoming, *self._retiring) if worker is not None]
        workers: list[Worker] = list(self.wrks)
        for worker in workers:
            if worker.inner.pid not in self._ready:
                worker.kill()  # it has no request yet, and no ear for signals
        super()._stop_workers()  # type: ignore[no-untyped-call]
        if not self._has_given_up:  # that one died before it was told to end is no failed stop
            self.interrupt_children.clear()


def listening(address: str, port: int) -> socket.socket:
    """A socket whose connections send each piece at once; raises OSError if somebody else has the address.

    Without TCP_NODELAY, which a connection inherits from it (tcp(7)), a stream's next piece waits until the client has
    acknowledged the one before, which a client may put off (RFC 1122, section 4.2.3.2).
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((address, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def pause(failures: int) -> float:
    """Seconds before a process is started again that has failed so often in a row; the first time none."""
    return 0.0 if failures <= 1 else min(LONGEST_PAUSE, 0.5 * 2 ** (failures - 2))


def main() -> None:
    """Serves on HOST and PORT with WEB_PROCESSES processes until it is told to stop."""
    host, port = os.environ.get("HOST") or "127.0.0.1", _number("PORT", "8000", (1 << 16) - 1)
    workers = _number("WEB_PROCESSES", "1", _MOST_WORKERS)
    _allow_files()
    try:
        Supervisor(host=host, port=port, workers=workers).serve()
    except OSError as error:
        sys.exit(f"{host}:{port} cannot be listened on: {error.strerror or error}.")


def _number(name: str, default: str, most: int) -> int:
    text = os.environ.get(name, default)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= most):
        sys.exit(f"{name} is {text!r}: it is a number from 1 to {most}.")
    return int(text)


def _allow_files() -> None:
    """As many open files as the machine allows: each connection is one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
