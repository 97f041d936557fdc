"""A vector as JSON carries it: a list of numbers, or base64 of 32-bit floats, little end first (as OpenAI's is)."""

from __future__ import annotations

import math
import struct
from base64 import b64decode, b64encode
from typing import Any, Final

from routing.providers.base import MalformedAnswer

_SIZE: Final = 4
_NUMBERS: Final = frozenset((float, int))


def as_floats(vector: Any) -> list[float]:
    """Raises MalformedAnswer for what is no vector."""
    if type(vector) is str:
        return list(_unpacked(vector))
    if type(vector) is list and vector:
        kinds = [*map(type, vector)]  # no generator, and no set unless need be: a vector has thousands of numbers
        if kinds.count(float) == len(kinds) or _NUMBERS.issuperset(kinds):
            return vector
    raise MalformedAnswer("an embedding is no vector")


def as_base64(vector: Any) -> str:
    """Raises MalformedAnswer for what is no vector."""
    if type(vector) is str:
        _unpacked(vector)
        return vector
    floats = as_floats(vector)
    try:
        return b64encode(struct.pack(f"<{len(floats)}f", *floats)).decode()
    except OverflowError as error:
        raise MalformedAnswer("an embedding has a number that is no 32-bit float") from error


def len_of(vector: Any) -> int:
    """How many numbers a vector has; raises MalformedAnswer for what is none."""
    if type(vector) is str:
        return len(vector.rstrip("=")) * 3 // 4 // _SIZE
    if type(vector) is list:
        return len(vector)
    raise MalformedAnswer("an embedding is no vector")


def _unpacked(text: str) -> tuple[float, ...]:
    try:
        raw = b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error is one
        raise MalformedAnswer("an embedding is no base64") from error
    if not raw or len(raw) % _SIZE:
        raise MalformedAnswer("an embedding is no list of 32-bit floats")
    floats = struct.unpack(f"<{len(raw) // _SIZE}f", raw)
    if not all(map(math.isfinite, floats)):
        raise MalformedAnswer("an embedding has a number that is none")
    return floats
