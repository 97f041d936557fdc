"""What is remembered of many things, up to a bound: the one not thought of for longest is forgotten, one at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Remembered(OrderedDict[int, T]):
    """By id. `[id]` makes what is not there, `get` does not; `recall` also puts off its being forgotten."""

    def __init__(self, make: Callable[[], T], most: int, *, is_idle: Callable[[T], bool] = lambda _value: True) -> None:
        super().__init__()
        self._make = make
        self._most = most
        self._is_idle = is_idle
        """What is not idle is kept, and asked again when everything else has had its turn."""

    def __missing__(self, key: int) -> T:
        self._forget_some()
        made = self[key] = self._make()
        return made

    def recall(self, key: int) -> T:
        value = self[key]
        self.move_to_end(key)
        return value

    def _forget_some(self) -> None:
        """Makes room for one more: two at most, so that what could not be forgotten before is made up for."""
        for _look in range(2):
            if len(self) < self._most:
                return
            oldest = next(iter(self))
            if self._is_idle(self[oldest]):
                del self[oldest]
            else:
                self.move_to_end(oldest)
