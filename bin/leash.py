"""A process on a leash: it lives no longer than the one that started it, however that one ends.

The child runs under a small guard that reads a pipe. When the pipe closes (the starter closed it, returned, or was
killed with signal 9), the guard stops the child's whole process group and removes its folder. Ctrl-C in a terminal
reaches neither of them: the starter decides.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

ROOT = Path(__file__).resolve().parent.parent
GRACE_SECONDS = 10.0


class Leashed:
    """A running command; `stop()` ends it and everything it started."""

    def __init__(self, guard: subprocess.Popen[bytes], pid: int) -> None:
        self.guard = guard
        self.pid = pid

    @property
    def is_running(self) -> bool:
        return self.guard.poll() is None

    def stop(self) -> None:
        """Closes the pipe and waits until the guard has cleaned up."""
        if self.guard.stdin is not None:
            self.guard.stdin.close()
        self.guard.wait(timeout=GRACE_SECONDS + 20)


def start(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    remove: Path | None = None,
) -> Leashed:
    """Starts `command` (as `user`, its output in `log`); `remove` is a folder that goes when the command has gone."""
    options = ["--stop-signal", str(stop_signal.value)]
    options += ["--user", user] if user else []
    options += ["--remove", str(remove)] if remove else []
    options += ["--log", str(log)] if log else []
    guard = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), *options, "--", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(env) if env is not None else None,
        start_new_session=True,
    )
    assert guard.stdout is not None  # noqa: S101 (it was asked for)
    with guard.stdout:
        first_line = guard.stdout.readline()
    if not first_line:
        guard.wait()
        raise OSError(f"{command[0]} did not start")
    return Leashed(guard, int(first_line))


def kill(pid: int) -> None:
    """Ends a process as a crash would: signal 9."""
    os.kill(pid, signal.SIGKILL)


def kill_self() -> None:
    """Ends this process without destructors or exit handlers."""
    os._exit(0)


def _guard(command: Sequence[str], *, user: str | None, stop_signal: int, remove: Path | None, log: Path | None) -> int:
    """Runs the command until it ends or standard input closes; returns its exit code."""
    with _output(log) as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,
            user=user,
            group=_group_of(user) if user else None,
            extra_groups=[] if user else None,
        )
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def stop() -> None:
        child.send_signal(stop_signal)  # it ends its own children; what is left of the group goes below
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(child, signal.SIGKILL)

    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: threading.Thread(target=stop).start())
    threading.Thread(target=_when_closed, args=(stop,), daemon=True).start()
    code = child.wait()
    _signal_group(child, signal.SIGKILL)
    if remove:
        _remove(remove)
    return code if code >= 0 else 128 - code


def _remove(folder: Path) -> None:
    """Removes the folder, again if others that are ending just now still write into it."""
    for _attempt in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _output(log: Path | None) -> contextlib.AbstractContextManager[BinaryIO | TextIO]:
    return log.open("ab") if log else contextlib.nullcontext(sys.stderr)


def _when_closed(stop: Callable[[], None]) -> None:
    while os.read(0, 1024):
        pass
    stop()


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _main() -> int:
    parser = argparse.ArgumentParser(description="Runs a command until standard input closes.")
    parser.add_argument("--user")
    parser.add_argument("--stop-signal", type=int, default=signal.SIGTERM)
    parser.add_argument("--remove", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    return _guard(command, user=args.user, stop_signal=args.stop_signal, remove=args.remove, log=args.log)


if __name__ == "__main__":
    sys.exit(_main())
