"""Counting what has come of an answer whose upstream has not told yet: in pieces, never from the JSON around them."""

from __future__ import annotations

from typing import Final

BYTES_PER_TOKEN: Final = 4
"""Of English text, by OpenAI's rule of thumb; used only where an upstream does not count."""
_LONGEST_TOKEN: Final = 12
"""Upstreams whose pieces are shorter on average than this send one token a piece; no text's are longer."""


def tokens_of(pieces: int, size: int) -> int:
    """Tokens of a text that came in pieces: a piece is a token where pieces are short, else four letters are."""
    return pieces if size <= pieces * _LONGEST_TOKEN else -(-size // BYTES_PER_TOKEN)


def least_tokens_of(pieces: int, size: int) -> int:
    """What has come for certain. Some send a letter a piece, others a sentence: neither is a token."""
    return max(min(pieces, size // BYTES_PER_TOKEN), size // _LONGEST_TOKEN)


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
                self.is_past_cap = least_tokens_of(self._pieces, self._size) > self._most

    def tokens(self) -> int:
        return tokens_of(self._pieces, self._size)
