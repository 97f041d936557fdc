"""A large JSON value written piece by piece, so that no piece keeps the event loop for long (ADR 0012). Pure.

orjson writes a value in one go and keeps the interpreter's lock. Here it writes some members at a time, if they are
little together with all that is in them, and so many letters of a long string. The bytes are those of `orjson.dumps`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Final

import orjson

SIZE: Final = 64 * 1024
"""Letters of a piece: about a millisecond where each of them is an escape."""
LARGE: Final = 400_000
"""Bytes of a body; a smaller one is checked, translated and written in a few milliseconds."""
_GROUP: Final = 32
"""Members that are looked at together."""
_OF_A_VALUE: Final = 16
"""Letters that take as long as a value does, whatever it is."""
_HOLDS: Final = frozenset((dict, list))
_Part = bytes | tuple[Any]
"""What is written, or a value that is still to be."""


def pieces_of(value: Any, size: int = SIZE) -> Iterator[bytes]:
    """The bytes of a value as JSON was read into one; in pieces that are made as they are asked for."""
    begun: list[bytes] = []
    length = 0
    for token in _tokens(value, size):
        begun.append(token)
        length += len(token) + _OF_A_VALUE
        if length >= size:
            yield b"".join(begun)
            begun.clear()
            length = 0
    if begun:
        yield b"".join(begun)


def _tokens(value: Any, size: int) -> Iterator[bytes]:
    """What is written one behind the other. (No recursion: each token would pass through as many generators.)"""
    open_ = [_parts(value, size)]
    while open_:
        for part in open_[-1]:
            if isinstance(part, tuple):
                open_.append(_parts(part[0], size))
                break
            yield part
        else:
            open_.pop()


def _parts(value: Any, size: int) -> Iterator[_Part]:
    """A value in bytes and, where it is too much to be written at once, members that are still to be written."""
    kind = type(value)
    if kind is dict:
        return _of_object(value, size)
    if kind is list:
        return _of_list(value, size)
    return _of_text(value, size) if kind is str and len(value) > size else iter((orjson.dumps(value),))


def _of_object(members: dict[str, Any], size: int) -> Iterator[_Part]:
    yield b"{"
    items, between = iter(members.items()), b""
    while some := dict(islice(items, _GROUP)):
        yield between
        between = b","
        if _are_little([*some, *some.values()], size):
            yield orjson.dumps(some)[1:-1]
            continue
        for place, (name, value) in enumerate(some.items()):
            yield b"," if place else b""
            yield (name,)
            yield b":"
            yield (value,)
    yield b"}"


def _of_list(members: list[Any], size: int) -> Iterator[_Part]:
    yield b"["
    for start in range(0, len(members), _GROUP):
        some = members[start : start + _GROUP]
        yield b"," if start else b""
        if _are_little(some, size):
            yield orjson.dumps(some)[1:-1]
            continue
        for place, value in enumerate(some):
            yield b"," if place else b""
            yield (value,)
    yield b"]"


def _of_text(text: str, size: int) -> Iterator[bytes]:
    yield b'"'
    for start in range(0, len(text), size):
        yield orjson.dumps(text[start : start + size])[1:-1]
    yield b'"'


def _are_little(values: list[Any], size: int) -> bool:
    """Whether the values, with all that is in them, are no more than so many letters."""
    left = size
    while values:
        left -= len(values) * _OF_A_VALUE + sum([len(value) for value in values if type(value) is str])
        holders = [value for value in values if type(value) in _HOLDS]
        if left < 0 or sum(map(len, holders)) * _OF_A_VALUE > left:
            return False
        values = [*chain.from_iterable(map(_inside, holders))]
    return True


def _inside(holder: Any) -> Iterator[Any]:
    """Names and values of an object, members of a list."""
    return chain(holder, holder.values()) if type(holder) is dict else iter(holder)
