"""A vector as JSON carries it: a list of numbers, or base64 of 32-bit floats, little end first (as OpenAI's is)."""

from __future__ import annotations

import math
import struct
from base64 import b64decode, b64encode
from typing import Any, Final

from routing.providers.base import MalformedAnswer

_SIZE: Final = 4


def as_floats(vector: Any) -> list[float]:
    """Raises MalformedAnswer for what is no vector."""
    if type(vector) is str:
        floats = list(_unpacked(vector))
        if not all(map(math.isfinite, floats)):
            raise MalformedAnswer("an embedding has a number that JSON cannot say")
        return floats
    if type(vector) is list and vector and all(type(each) is float or type(each) is int for each in vector):
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


def _unpacked(text: str) -> tuple[float, ...]:
    try:
        raw = b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error is one
        raise MalformedAnswer("an embedding is no base64") from error
    if not raw or len(raw) % _SIZE:
        raise MalformedAnswer("an embedding is no list of 32-bit floats")
    return struct.unpack(f"<{len(raw) // _SIZE}f", raw)
