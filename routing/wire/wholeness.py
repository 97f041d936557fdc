"""Whether a tool call's arguments, received piece by piece, are whole JSON: in constant memory."""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile(r'[{}\[\]"\\]')


class JsonScan:
    """Follows brackets and strings through the pieces of one JSON object."""

    __slots__ = ("_depth", "_has_begun", "_is_escaped", "_is_text")

    def __init__(self) -> None:
        self._depth = 0
        self._has_begun = False
        self._is_text = False
        self._is_escaped = False

    def add(self, piece: str) -> None:
        if self._is_escaped and piece:
            piece, self._is_escaped = piece[1:], False
        place = 0
        while match := _MARKS.search(piece, place):
            mark, place = match[0], match.end()
            if self._is_text:
                if mark == "\\":
                    self._is_escaped = place == len(piece)
                    place += 1
                elif mark == '"':
                    self._is_text = False
            elif mark == '"':
                self._is_text = True
            elif mark in "{[":
                self._depth += 1
                self._has_begun = True
            elif mark in "}]":
                self._depth -= 1

    @property
    def is_in_text(self) -> bool:
        return self._is_text

    @property
    def is_open(self) -> bool:
        """Whether an object, or a list, has begun and not ended."""
        return self._has_begun and (self._depth > 0 or self._is_text)

    @property
    def is_whole(self) -> bool:
        """Whether an object, or a list, has begun and ended."""
        return self._has_begun and self._depth == 0 and not self._is_text
