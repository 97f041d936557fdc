"""The spool: how far this process's answers have come, in a file of its own that outlives it.

A line is written before what it tells of is handed to a client, so a process that is killed takes no delivered token
with it: others of the same machine find its file without an owner and bill what stands there (recovery.py). A line is
a CRC-32 and JSON. Nothing is forced to the disk: the kernel keeps what a dead process wrote, and for a machine that
dies the database has notes of its own (books, every five seconds).

The file holds no more than what is in flight: above `MOST_BYTES` it is written anew, with the latest line of each
request that is not settled yet.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from billing.books import Progress

log = logging.getLogger(__name__)

MOST_BYTES: Final = 8 * 1024 * 1024
RETRY_SECONDS: Final = 1.0
"""After a line could not be written, no other is tried for so long."""
_SUFFIX: Final = ".spool"
_NONE: Final = -1
_LIFE_SECONDS: Final = 7 * 86_400
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Progress).decode


class Spool:
    """One process's file. All methods but `forget` are the event loop's thread's."""

    def __init__(self, folder: Path, owner: str) -> None:
        self._path = path_of(folder, owner)
        self._size = 0
        self._latest: dict[str, bytes] = {}
        """Of each request in flight, by id."""
        self._retry_at = 0.0
        self._file = _NONE
        self._write_anew()

    def note(self, progress: Progress) -> None:
        """Writes a line; raises nothing: a disk that refuses stops what begins (`has_room`), not what goes on."""
        text = _encode(progress)
        line = f"{crc32(text):08x} ".encode() + text + b"\n"
        self._latest[progress.id] = line
        if self._retry_at:
            self.has_room()
            return
        self._write(line)
        if self._size > MOST_BYTES:
            self._write_anew()

    def forget(self, ids: Iterable[str]) -> None:
        """What has been settled needs no line any more. Called by the writer's thread."""
        for id_ in ids:
            self._latest.pop(id_, None)

    def has_room(self) -> bool:
        """Whether the disk takes lines; one that has refused is tried again each second, with all that is missing."""
        if self._retry_at and time.monotonic() >= self._retry_at:
            self._write_anew()
        return not self._retry_at

    def close(self) -> None:
        """The end: the file goes, unless something in it is not settled."""
        if self._file != _NONE:
            os.close(self._file)
        if not self._latest:
            remove(self._path)

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        try:
            _write_all(self._file, data)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        log.error("the spool cannot be written, no request is admitted until it can: %s", error)
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _write_anew(self) -> None:
        """Writes the file anew, with what is in flight; the old one stays until the new one is whole."""
        file, data = _NONE, b"".join([*self._latest.values()])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Locked before it has the name that others look for.
            file = _open(_new(self._path))
            _write_all(file, data)
            _new(self._path).replace(self._path)
        except OSError as error:
            self._fail(error)
        else:
            file, self._file = self._file, file
            self._size, self._retry_at = len(data), 0.0
        if file != _NONE:
            os.close(file)


def _write_all(file: int, data: bytes) -> None:
    if os.write(file, data) < len(data):
        raise OSError(errno.ENOSPC, "the disk took a part of it")


def _new(path: Path) -> Path:
    """Where a file is made before it has its name."""
    return path.with_suffix(".new")


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _new(path).unlink(missing_ok=True)


def path_of(folder: Path, owner: str) -> Path:
    return folder / f"{owner}{_SUFFIX}"


def read(path: Path) -> dict[str, Progress]:
    """The last line of each request, by id; damaged or cut lines are passed over. Empty if there is no file."""
    notes: dict[str, Progress] = {}
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return notes
    except OSError as error:
        log.error("a spool cannot be read: %s", error)
        return notes
    damaged = 0
    with file:
        for line in file:
            note = _note_of(line.rstrip(b"\n"))
            if note is not None:
                notes[note.id] = note
            elif line != b"\n":
                damaged += 1
    if damaged:
        log.warning("%s: %d damaged lines were passed over", path, damaged)
    return notes


def _note_of(line: bytes) -> Progress | None:
    checksum, _space, text = line.partition(b" ")
    if checksum != b"%08x" % crc32(text):
        return None
    try:
        return _decode(text)
    except msgspec.MsgspecError:  # of a version that is not this one
        return None


def abandoned(folder: Path) -> Iterator[Path]:
    """The files of processes that have ended without a word, each locked for the time of its turn."""
    for path in sorted(folder.glob(f"{'[0-9a-f]' * 32}{_SUFFIX}")) if folder.is_dir() else ():
        with _taken(path) as is_ours:
            if is_ours:
                yield path


def forget_old(path: Path) -> None:
    """Removes a file that nobody has written to for a week."""
    if time.time() - path.stat().st_mtime > _LIFE_SECONDS:
        remove(path)


def owner_of(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX)


@contextmanager
def _taken(path: Path) -> Iterator[bool]:
    """Whether the file has no living owner; while the block lasts, nobody else takes it."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    except OSError as error:  # another user's, say
        log.error("a spool cannot be read: %s", error)
        yield False
        return
    try:
        yield _is_locked(file) and _is_at(path, file)
    finally:
        os.close(file)


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, file: int) -> bool:
    """Whether the path still names this file: it may have been written anew, or removed, before the lock was ours."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _open(path: Path) -> int:
    """The file, empty, locked for as long as this process lives."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file
