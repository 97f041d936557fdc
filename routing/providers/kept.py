"""What an answer has said so far, kept where places in it will be asked for: which words rest on which page."""

from __future__ import annotations

from typing import Final

_MOST: Final = 262_144
"""Bytes of one answer; pages that are cited behind them have no place, so that a stream's memory is bounded."""


class KeptTexts:
    """The beginnings of the texts of one exchange, by the place of their choice."""

    __slots__ = ("_room", "_texts")

    def __init__(self) -> None:
        self._room = _MOST
        self._texts: dict[int, bytearray] = {}

    def add(self, index: int, text: str) -> None:
        if self._room > 0:
            data = text.encode("utf-8", "replace")[: self._room]
            self._room -= len(data)
            self._texts.setdefault(index, bytearray()).extend(data)

    def text(self, index: int) -> str:
        return self._texts.get(index, b"").decode("utf-8", "ignore")
