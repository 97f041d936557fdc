"""Nothing that is started on a leash outlives the one that started it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bin import leash

ROOT = Path(__file__).resolve().parent.parent.parent
# A starter that tells its child's process id and then waits, as a test run or `make run` would.
STARTER = """
import sys, time
from pathlib import Path
from bin import leash
process = leash.start(["sh", "-c", "sleep 600 & sleep 600"], remove=Path(sys.argv[1]))
print(process.pid, flush=True)
time.sleep(600)
"""


def test_killed_starter_takes_its_processes_and_its_folder_along(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", STARTER, folder], cwd=ROOT, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        group = int(starter.stdout.readline())
        assert _is_alive(group)

        starter.kill()

    _wait_until(lambda: not _is_alive(group))
    _wait_until(lambda: not folder.exists())


def test_stop_waits_until_the_process_has_gone() -> None:
    process = leash.start(["sleep", "600"])

    process.stop()

    assert not process.is_running
    assert not _is_alive(process.pid)


def test_process_that_ends_by_itself_is_not_running() -> None:
    process = leash.start(["true"])

    _wait_until(lambda: not process.is_running)
    process.stop()

    assert process.guard.returncode == 0


def test_exit_code_is_the_commands_own() -> None:
    process = leash.start(["sh", "-c", "exit 7"])

    _wait_until(lambda: not process.is_running)
    process.stop()

    assert process.guard.returncode == 7


def _is_alive(group: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def _wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
