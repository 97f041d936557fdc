"""What the members of an answer may be, as the vendors' schemas have it."""

from __future__ import annotations

import math
from typing import Any


def is_text(value: Any) -> bool:
    return type(value) is str


def is_whole(value: Any) -> bool:
    return type(value) is int


def is_number(value: Any) -> bool:
    """One that JSON can say."""
    return type(value) in (int, float) and math.isfinite(value)


def are_whole(value: Any) -> bool:
    return type(value) is list and all(map(is_whole, value))
