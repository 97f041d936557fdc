"""The file that outlives its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest

from billing import spool
from billing.books import Progress
from billing.kinds import Usage
from billing.spool import MOST_BYTES, RETRY_SECONDS, Spool
from tests.gateway import ROOT

OWNER = "0" * 32


def progress(number: int, output: int, *, is_exact: bool = False) -> Progress:
    return Progress(f"{number:032x}", "a channel", 7, Usage(input=20, output=output), is_exact)


@contextmanager
def opened(folder: Path, owner: str = OWNER) -> Iterator[Spool]:
    one = Spool(folder, owner)
    yield one
    one.close()


def notes(folder: Path, owner: str = OWNER) -> list[Progress]:
    return list(spool.read(spool.path_of(folder, owner)).values())


def abandoned(folder: Path) -> list[str]:
    return [spool.owner_of(path) for path in spool.abandoned(folder)]


def test_last_line_of_each_request_is_what_is_read(tmp_path: Path) -> None:
    with opened(tmp_path / "made") as one:
        for note in (progress(1, 5), progress(2, 1), progress(1, 6), progress(2, 9, is_exact=True)):
            one.note(note)

    assert notes(tmp_path / "made") == [progress(1, 6), progress(2, 9, is_exact=True)]


def test_what_is_written_can_be_read_at_once(tmp_path: Path) -> None:
    path = spool.path_of(tmp_path, OWNER)
    with opened(tmp_path) as one:
        file = path.stat().st_ino
        one.note(progress(1, 5))
        assert notes(tmp_path) == [progress(1, 5)]
        assert path.stat().st_ino == file  # a line more, not a file anew


@pytest.mark.parametrize(
    ("damage", "rest", "damaged"),
    [
        pytest.param(lambda text: text[:-20], [], 1, id="cut"),
        pytest.param(lambda text: text.replace(b'"output":6', b'"output":7'), [], 1, id="a flipped bit"),
        pytest.param(lambda text: text + b"\x00\xff garbage", [6], 1, id="garbage behind"),
        pytest.param(lambda text: text + b"%08x {}\n" % crc32(b"{}"), [6], 1, id="a line of another version"),
        pytest.param(lambda text: text + b"\n\n", [6], 0, id="blank lines"),
    ],
)
def test_damaged_lines_cost_nothing_but_themselves(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    rest: list[int],
    damaged: int,
) -> None:
    with opened(tmp_path) as one:
        one.note(progress(1, 5))
        one.note(progress(2, 6))
    path = spool.path_of(tmp_path, OWNER)
    path.write_bytes(damage(path.read_bytes()))

    assert [note.usage.output for note in notes(tmp_path)] == [5, *rest]
    assert [f"{damaged} damaged lines" in record.getMessage() for record in caplog.records] == [True] * damaged


def test_file_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert notes(tmp_path) == []
    assert abandoned(tmp_path / "nowhere") == []


def test_file_of_a_process_that_lives_is_not_abandoned(tmp_path: Path) -> None:
    with opened(tmp_path) as one:
        one.note(progress(1, 5))
        assert abandoned(tmp_path) == []
    assert abandoned(tmp_path) == [OWNER]


def test_file_that_went_while_its_lock_was_waited_for_is_nobodys(tmp_path: Path) -> None:
    path = spool.path_of(tmp_path, OWNER)
    with path.open("wb") as file:
        assert spool._is_at(path, file.fileno())
        path.unlink()
        assert not spool._is_at(path, file.fileno())
        path.touch()
        assert not spool._is_at(path, file.fileno())


def test_file_goes_with_the_last_request(tmp_path: Path) -> None:
    with opened(tmp_path) as one:
        one.note(progress(1, 5))
        one.note(progress(2, 5))
        one.forget([progress(1, 0).id, progress(2, 0).id, "unknown"])
    assert list(tmp_path.iterdir()) == []


def test_file_is_no_one_elses_to_read(tmp_path: Path) -> None:
    with opened(tmp_path / "made"):
        assert spool.path_of(tmp_path / "made", OWNER).stat().st_mode & 0o077 == 0
        assert (tmp_path / "made").stat().st_mode & 0o077 == 0


def test_file_stays_small_and_loses_nothing_that_is_in_flight(tmp_path: Path) -> None:
    path = spool.path_of(tmp_path, OWNER)
    with opened(tmp_path) as one:
        one.note(progress(1, 5))
        for output in range(150_000):
            one.note(progress(2, output))
        one.note(progress(3, 4))
        one.forget([progress(3, 0).id])
        for output in range(150_000):
            one.note(progress(4, output))

        assert path.stat().st_size <= MOST_BYTES
        assert [note for note in notes(tmp_path) if note.id != progress(3, 0).id] == [
            progress(1, 5), progress(2, 149_999), progress(4, 149_999)
        ]  # fmt: skip
        assert abandoned(tmp_path) == []
        assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_disk_that_is_full_lets_nothing_begin_until_it_takes_lines_again(tmp_path: Path) -> None:
    path = spool.path_of(tmp_path, OWNER)
    with opened(tmp_path) as one:
        assert one.has_room()
        one.note(progress(1, 5))
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, one._file)  # what is written from now on finds no room
        path.with_suffix(".new").symlink_to("/dev/full")
        one.note(progress(1, 6))
        assert not one.has_room()
        one.note(progress(2, 7))
        time.sleep(RETRY_SECONDS + 0.1)
        assert not one.has_room()
        assert notes(tmp_path) == [progress(1, 5)]

        path.with_suffix(".new").unlink()
        assert not one.has_room()  # a second has not passed
        time.sleep(RETRY_SECONDS + 0.1)
        assert one.has_room()
        assert notes(tmp_path) == [progress(1, 6), progress(2, 7)]
        one.note(progress(2, 8))
        os.close(full)
    assert notes(tmp_path) == [progress(1, 6), progress(2, 8)]
    assert abandoned(tmp_path) == [OWNER]


def test_folder_that_cannot_be_written_to_lets_the_process_start_and_nothing_begin(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.write_text("a file where the folder should be")
    with opened(folder) as one:
        assert not one.has_room()
        one.note(progress(1, 5))
        folder.unlink()
        time.sleep(RETRY_SECONDS + 0.1)
        assert one.has_room()
        assert notes(folder) == [progress(1, 5)]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.billing.test_spool import OWNER, progress
from billing.spool import Spool
one = Spool(Path(sys.argv[1]), OWNER)
for output in range(1000):
    one.note(progress(1, output))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_process_leaves_every_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, cwd=ROOT, env={**os.environ})

    assert done.returncode == -signal.SIGKILL
    assert abandoned(tmp_path) == [OWNER]
    assert notes(tmp_path) == [progress(1, 999)]


def test_file_of_nobody_we_know_goes_after_a_week(tmp_path: Path) -> None:
    with opened(tmp_path) as one:
        one.note(progress(1, 5))
    path = spool.path_of(tmp_path, OWNER)

    os.utime(path, (time.time() - 7 * 86_400 + 3,) * 2)
    spool.forget_old(path)
    assert path.exists()
    os.utime(path, (time.time() - 7 * 86_400 - 0.5,) * 2)
    spool.forget_old(path)
    assert not path.exists()
