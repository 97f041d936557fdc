"""What a process does about its memory: the garbage collector comes seldom, and what a storm leaves is given back.

glibc keeps what a thread has freed for that thread's next use, in arenas of 64 MiB that it returns only from their
ends (malloc_trim(3), mallopt(3)): after an hour with a few large bodies a process would be tens of megabytes larger
for the rest of its life.
"""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path
from typing import Final

_WORTH_IT: Final = 8 * 2**20
"""Bytes beyond the least there was; giving back walks through all that is free, 2 ms for 90 MiB in small pieces."""
_FEW: Final = 32
"""Requests."""
_MANY: Final = 5_000
"""Objects since the collector came last; to look through as many takes some milliseconds."""
_STATM: Final = Path("/proc/self/statm")


def collect_seldom() -> None:
    """What there is now is looked through no more, and the rest when 200,000 objects more are there than last time.

    That is more than requests under way come and go by, a thousand at once: they leave no circles (ADR 0001). What
    does, pages and jobs, is looked through by `Surplus` while few requests are under way.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


class Surplus:
    """What this process has more than it needs; freed memory is given back where the system's allocator is glibc's."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _STATM.exists() else None
        self._least = 0
        self._looked_through = self._resident()
        """The least it had since circles were looked for: it has to grow beyond that before they are again."""

    def give_back(self, under_way: int) -> None:
        """Nothing, as long as the process is about as small as it ever was; that part lets go of the interpreter.

        `under_way`: requests; as long as there are few, the collector has little to look through, and does it first.
        """
        resident = self._resident()
        has_grown = resident > self._looked_through + _WORTH_IT
        self._looked_through = min(self._looked_through, resident)
        if under_way < _FEW and (has_grown or gc.get_count()[0] > _MANY):
            gc.collect()  # which also lets go of the interpreter's lists of free objects
            self._looked_through = resident
        if self._trim is not None and resident > self._least + _WORTH_IT:
            self._trim(0)
            rest = resident_bytes()
            self._least = min(self._least or rest, rest)

    def _resident(self) -> int:
        return resident_bytes() if self._trim is not None else 0


def resident_bytes() -> int:
    """Of this process, as the kernel counts them (proc(5), `statm`)."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
