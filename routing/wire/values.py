"""JSON objects one behind the other, cut out of a byte stream in whatever pieces it comes. Pure: bytes in, bytes out.

So answer servers that write lines of JSON where events should be (NDJSON), or a stream as the members of one list.
"""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile(rb'[{}\[\]"\\]')
_BETWEEN: Final = re.compile(rb"[ \t\r\n,\x1e]*")
"""What may stand between two objects; U+001E begins one in a text sequence (RFC 7464)."""


class Values:
    """The objects of one stream. What comes behind them in another form ends them."""

    def __init__(self) -> None:
        self._begun = bytearray()
        """Of the object that is not whole yet."""
        self._depth = 0
        self._is_text = False
        self._is_escaped = False
        self._is_list: bool | None = None
        """Whether they are the members of a list; None as long as nothing has come."""
        self._whole = 0
        """How many have come."""
        self.rest: bytes | None = None
        """What has come behind the last one and is none; None as long as others may follow."""

    @property
    def size(self) -> int:
        """Bytes of the object that is not whole yet."""
        return len(self._begun)

    @property
    def are_pieces(self) -> bool:
        """Whether they are pieces of something: members of a list, or one with something behind it."""
        return self._whole > 1 or (self._whole == 1 and bool(self._is_list or self._begun or self.rest))

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that are whole now."""
        found: list[bytes] = []
        place = 0
        while place < len(data) and self.rest is None:
            if self._begun:
                end = self._end_of_object(data, place)
                self._begun += data[place:end]
                place = end
                if not self._depth:
                    self._whole += 1
                    found.append(self.finish())
            else:
                place = self._begin(data, _BETWEEN.match(data, place).end())  # type: ignore[union-attr]  # matches nothing, too
        return found

    def _begin(self, data: bytes, place: int) -> int:
        """Looks at what follows an object; where the next one begins, or the data ends."""
        mark = data[place : place + 1]
        if mark == b"{":
            self._is_list = bool(self._is_list)
            self._begun += mark
            self._depth = 1
            return place + 1
        if mark == b"[" and self._is_list is None:
            self._is_list = True
            return place + 1
        if mark == b"]" and self._is_list:
            self.rest = b""
        elif mark:
            self.rest = data[place:]
        return len(data)

    def _end_of_object(self, data: bytes, place: int) -> int:
        """Where the object that has begun ends in this data, or the data does."""
        if self._is_escaped:
            place, self._is_escaped = place + 1, False
        while match := _MARKS.search(data, place):
            mark, place = match[0], match.end()
            if self._is_text:
                if mark == b"\\":
                    self._is_escaped = place == len(data)
                    place += 1
                elif mark == b'"':
                    self._is_text = False
            elif mark == b'"':
                self._is_text = True
            elif mark in b"{[":
                self._depth += 1
            elif mark in b"}]":
                self._depth -= 1
                if not self._depth:
                    return place
        return len(data)

    def finish(self) -> bytes:
        """The object that has begun and not ended; empty if none has."""
        begun = bytes(self._begun)
        self._begun.clear()
        return begun
