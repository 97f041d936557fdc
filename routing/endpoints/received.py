"""Counting what has come of an answer whose upstream has not told yet: in pieces, never from the JSON around them."""

from __future__ import annotations

from typing import Final

from routing.endpoints.chat.answer import BYTES_PER_TOKEN

_LONGEST_TOKEN: Final = 12
"""Upstreams whose pieces are shorter on average than this send one token a piece; no text's are longer."""


class Received:
    """How much text has come, and in how many pieces."""

    __slots__ = ("_most", "_pieces", "_size", "_surely_within", "is_past_cap")

    def __init__(self, most_output: int) -> None:
        self._most = most_output
        self._surely_within = most_output * BYTES_PER_TOKEN
        """So many letters are no more tokens than allowed, however they come."""
        self._pieces = 0
        self._size = 0
        self.is_past_cap = False
        """More than the most has come for certain."""

    def add(self, text: str) -> None:
        if text:
            self._pieces += 1
            self._size += len(text)
            if self._size > self._surely_within:
                self.is_past_cap = self._least() > self._most

    def tokens(self) -> int:
        """A piece is a token where pieces are short, else four letters are."""
        if self._size <= self._pieces * _LONGEST_TOKEN:
            return self._pieces
        return -(-self._size // BYTES_PER_TOKEN)

    def _least(self) -> int:
        """Some send a letter a piece, others a sentence: neither is a token."""
        return max(min(self._pieces, self._size // BYTES_PER_TOKEN), self._size // _LONGEST_TOKEN)
