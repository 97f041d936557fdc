"""A process that has imported everything and serves nobody: the web server's processes are forked from it.

Importing Django, the application and what they need takes a process 0.8 s of its core, a fork 0.1 s with all that a
start does besides (ADR 0026). A process that takes the place of a dead one costs its neighbours next to nothing so,
and what nobody writes to is in memory once for all of them.

The parent (costrouter/server.py) asks on one pipe for a process in a place and hears its id on another. The processes
become the parent's own children: who forks them dies at once, and the parent adopts orphans (prctl(2),
PR_SET_CHILD_SUBREAPER).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from costrouter.parent import end_with_parent, own_name

NAME: Final = "nursery"
"""What ps(1) calls it: `/proc/PID/comm`."""
_PR_SET_CHILD_SUBREAPER: Final = 36
_ANSWER_SECONDS: Final = 10.0
_TICK_SECONDS: Final = 0.2
_UNBORN: Final = "not forked"
UNKNOWN: Final = "unknown"
"""How a process ended of which nobody is told."""
_READY: Final = b"0\n"


class Nursery:
    """A nursery as its parent sees it."""

    def __init__(self, imports: Callable[[], object], live: Callable[[int], None], is_over: Callable[[], bool]) -> None:
        """Forks it from this process. `imports` is done first; a process does what `live` makes of its place.

        `is_over`: whether the parent ends, and waits for no answer any more.
        """
        self._is_over = is_over
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
        asked, self._asks = os.pipe()
        self._answers, answered = os.pipe()
        self.birth = time.monotonic()
        self.is_ready = False
        self.is_dead = False
        """Whether that was found when a process was asked for."""
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._asks)
            os.close(self._answers)
            _as_a_process_of_its_own(lambda: _Inside(asked, answered, live).work(imports))
        os.close(asked)
        os.close(answered)

    def has_become_ready(self, seconds: float) -> bool:
        """Whether everything is imported, which is waited for as long as that; raises EOFError if it has died."""
        if not self.is_ready and select.select([self._answers], [], [], seconds)[0]:
            self.is_ready = self._answer() == 0
        return self.is_ready

    def fork(self, place: int) -> int:
        """The process id of a new process; raises EOFError if the nursery has died, or does not answer in time."""
        self.is_dead = True
        try:
            os.write(self._asks, b"%d\n" % place)
        except BrokenPipeError as error:
            raise EOFError from error
        deadline = time.monotonic() + _ANSWER_SECONDS
        while not select.select([self._answers], [], [], _TICK_SECONDS)[0]:
            if self._is_over() or time.monotonic() > deadline:
                raise EOFError
        pid = self._answer()
        self.is_dead = False
        return pid

    def close(self) -> None:
        """Ends it; its processes live on."""
        os.close(self._asks)
        os.close(self._answers)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _answer(self) -> int:
        line = os.read(self._answers, 32)
        if not line:
            raise EOFError
        return int(line)


class Forked:
    """A process of the nursery, with what granian asks of a `multiprocessing.Process`."""

    def __init__(self, start: Callable[[], int]) -> None:
        self.pid = 0
        self.ending = _UNBORN
        """How it ended, in words, once it has."""
        self._start = start
        self._is_over = False
        self._looking = threading.Lock()

    def start(self) -> None:
        """Forks it. One that could not be is like one that died at once."""
        try:
            self.pid = self._start()
        except EOFError:
            self._is_over = True

    def is_alive(self) -> bool:
        with self._looking:  # two threads may ask at once, and one of them is told how it ended
            if not self._is_over:
                with contextlib.suppress(ChildProcessError):
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                    if pid:
                        self._is_over, self.ending = True, _ending(os.waitstatus_to_exitcode(status))
                    return not pid
                self._is_over = True
            return not self._is_over

    def join(self, timeout: float | None = None) -> None:
        """Returns when it has ended, or after so many seconds."""
        if timeout is None:
            if not self._is_over:
                with contextlib.suppress(ChildProcessError):  # the other thread has reaped it
                    os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            return
        deadline = time.monotonic() + timeout
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):  # another thread has just seen its end
                os.kill(self.pid, number)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def has_ended_itself(ending: str) -> bool:
    """Whether another in its place would end like it; one that was killed, or never was, says nothing of that."""
    return ending not in (_UNBORN, _ending(-signal.SIGKILL), _ending(-signal.SIGTERM))


class _Inside:
    """The nursery's own process."""

    def __init__(self, asked: int, answered: int, live: Callable[[int], None]) -> None:
        self._asked, self._answered, self._live = asked, answered, live
        self._parent = os.getppid()

    def work(self, imports: Callable[[], object]) -> None:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):  # of a terminal, which the parent has got as well
            signal.signal(number, signal.SIG_IGN)
        own_name(NAME)
        end_with_parent()
        imports()
        gc.collect()
        gc.freeze()  # the collector does not write to what all share
        os.write(self._answered, _READY)
        with os.fdopen(self._asked, "rb", buffering=0, closefd=False) as asked:
            for line in asked:
                self._fork(int(line))

    def _fork(self, place: int) -> None:
        """Twice: the process in between ends, and the parent adopts the new one, before that hears of it."""
        reader, writer = os.pipe()
        between = os.fork()
        if between == 0:
            os.close(reader)
            _as_a_process_of_its_own(lambda: self._be_between(place, writer))
        os.close(writer)
        os.waitpid(between, 0)
        line = os.read(reader, 32)
        os.close(reader)
        if not line:
            raise ChildProcessError("no process could be forked")
        os.write(self._answered, line)

    def _be_between(self, place: int, writer: int) -> None:
        pid = os.fork()
        if pid:
            os.write(writer, b"%d\n" % pid)
            return
        os.close(writer)
        _as_a_process_of_its_own(lambda: self._become(place))

    def _become(self, place: int) -> None:
        own_name("worker")
        os.close(self._asked)
        os.close(self._answered)
        while os.getppid() != self._parent:
            if not Path(f"/proc/{self._parent}").exists():
                sys.exit(1)  # who has died adopts nobody
            time.sleep(0.001)
        self._live(place)


def _as_a_process_of_its_own(work: Callable[[], object]) -> None:
    """Does not return: nothing of the process that was forked is gone on with."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except BaseException:  # noqa: BLE001 - the last resort of a process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
