"""What a process of the web server and its parent have to do with each other. Knows nothing of Django."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

PARENT: Final = "COSTROUTER_PARENT"
"""The variable in which the parent (costrouter/server.py) says its process id, and the file descriptor on which it
hears that a process serves.
"""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15


def leave_terminal_to_parent() -> None:
    """Ctrl-C is told to the parent, if it is ours, and to all of its processes at once: the parent says what it means.

    granian's processes end by the same signal, in their own way; and one that is told it three times stands still for
    ever, in its own handler, before it has.
    """
    if PARENT in os.environ:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_server() -> None:
    """Asks granian, whose signal this is, to accept nothing more and to end with its last connection."""
    if PARENT in os.environ:
        signal.signal(signal.SIGINT, _nothing)  # the loop, which hears of it all the same, calls granian's handler
    signal.raise_signal(signal.SIGINT)
    leave_terminal_to_parent()


def _nothing(*_: object) -> None:
    """Instead of Python's own handler, which raises KeyboardInterrupt."""


def end_with_parent() -> None:
    """A process whose parent has died stops as if it had been told to (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if has_lost_parent():
        os.kill(os.getpid(), signal.SIGTERM)


def has_lost_parent() -> bool:
    """Whether the parent, if it is ours, has died."""
    told = os.environ.get(PARENT)
    return told is not None and int(told.split()[0]) != os.getppid()


def say_ready(drain_seconds: float) -> None:
    """Tells the parent, if it is ours, that requests are served, and how long an end may take."""
    told = os.environ.get(PARENT)
    if told:
        os.write(int(told.split()[1]), f"{os.getpid()} {drain_seconds:g}\n".encode())


def own_name(name: str) -> None:
    """Gives this process a name, as ps(1) shows it beside its command (prctl(2), PR_SET_NAME)."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())
