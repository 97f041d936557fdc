"""Whole numbers of more than 64 bits, which go on to the letter: a tool's argument is what the model wrote.

orjson reads such a number as a float, which has 53 bits of it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

_LONG: Final = re.compile(rb"\d{19}")
_LEAST: Final = -(2**63)
_MOST: Final = 2**64 - 1
_MOST_DIGITS: Final = 20


def exact(data: bytes, value: Any) -> Any:
    """The value that was read of this JSON, with each such number as a fragment, which is written as it came."""
    if not _LONG.search(data):
        return value
    try:
        return json.loads(data, parse_int=_whole)
    except (ValueError, RecursionError):
        return value


def _whole(digits: str) -> int | orjson.Fragment:
    if len(digits) <= _MOST_DIGITS and _LEAST <= (number := int(digits)) <= _MOST:
        return number
    return orjson.Fragment(digits)
