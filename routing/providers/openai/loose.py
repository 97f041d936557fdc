"""JSON as some servers write it and RFC 8259 does not allow.

Byte order marks, other encodings, NaN and infinity where a model's numbers overflowed, control characters inside of
text, letters that were cut in two, commas behind a last member.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

_AROUND = "\ufeff \t\r\n\0"
"""Marks and blanks, in whatever order; of servers in C, the end of their string."""
_SIGNS_OF_LIFE: Final = frozenset(
    (b"ping", b"pong", b"heartbeat", b"keepalive", b"keep-alive", b"keep_alive", b"undefined", b"none", b"ok", b"start",
     b"started", b"open", b"connected", b"alive")
)  # fmt: skip
"""Words that servers send as data where a comment should be, or that a language writes where there was no value.

They carry nothing of an answer, so nothing is lost without them. Any other word may be why it ends.
"""
_BRACKETS: Final = b" \t\r\n\0.[]<>()"
_LONGEST_SIGN: Final = max(map(len, _SIGNS_OF_LIFE)) + len("[  ]")
_LAST_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*+"?)|,(?=\s*+[}\]])', re.DOTALL)
"""A text, which is kept, or a comma with nothing behind it but the end of its object or list."""


def says_nothing(data: bytes) -> bool:
    """Whether an event is blank, or a mere sign of life."""
    word = data.strip()
    if len(word) > _LONGEST_SIGN:
        return False
    word = word.strip(_BRACKETS).lower()
    return not word or word in _SIGNS_OF_LIFE


def strictly(data: bytes) -> Any:
    """The value; None where there is none by the letter."""
    try:
        return orjson.loads(bytes(data))  # which takes no kinds of bytes, such as an event's
    except orjson.JSONDecodeError:
        return None


def loosely(data: bytes, constant: Callable[[str], Any]) -> Any:
    """The value, perhaps with halves of letters in it; None for what is not even that.

    `constant` says what `NaN`, `Infinity` and `-Infinity` stand for.
    """
    try:
        text = data.decode(json.detect_encoding(data), "replace").strip(_AROUND).removesuffix(",")
        value = _loaded(text, constant)
        return _loaded(_LAST_COMMA.sub(r"\1", text), constant) if value is None and "," in text else value
    except RecursionError:
        return None


def _loaded(text: str, constant: Callable[[str], Any]) -> Any:
    try:
        return json.loads(text, parse_constant=constant, strict=False)
    except ValueError:
        return None


def without_halves(value: Any) -> Any:
    """The value with U+FFFD for each half of a letter, which no JSON may carry; None for what cannot be written."""
    try:
        text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return orjson.loads(text)
    except (ValueError, RecursionError):
        return None
