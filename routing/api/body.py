"""Reading a request body: bounded, strict JSON.

What two parsers could read differently is refused (duplicate names, numbers beyond 64 bits, lone surrogates, NUL), so
that the request we price is the request the upstream runs. Most clients' bodies cost one orjson parse and one
look, others a second, strict parse; what would take long is settled by the text's outline instead (ADR 0012).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Generator, Iterator
from itertools import accumulate, chain, compress
from typing import Any, ClassVar, Final, Never, TypeVar

import orjson

from accounts.errors import GatewayError, InvalidRequest
from routing.api import slices
from routing.endpoints.invalid import StringAboveMaxLength

T = TypeVar("T")

MAX_DEPTH: Final = 64
MAX_NODES: Final = 200_000
LARGE: Final = 2 * MAX_NODES
"""Bytes of a body; a smaller one cannot hold too many values, since each takes two."""
AT_ONCE: Final = 48 * 1024
"""Bytes of a body that is read in one go; no such body takes five milliseconds."""
_MAX_INTEGER: Final = 2**63 - 1
_MOST_DIGITS: Final = 1000
_DIGITS_OF_A_LARGE_INTEGER: Final = 19
_NUL: Final = b"\\u0000"
_ESCAPED_BACKSLASH: Final = b"\\\\"
_BLANKS: Final = b" \t\r\n"
_BETWEEN_SCALARS: Final = bytes.maketrans(b'[]{},:"', b"       ")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]
_MOST_OBJECTS: Final = 5_000
_MOST_VALUES: Final = 8_000
"""In a text that is read twice: the second, strict reading calls back for each object and integer."""
_CONTAINERS: Final = 10_000
"""So many are looked through in one go."""
_MANY: Final = 1_000
"""Of more than so many, each level is a step of its own."""
_NO_OBJECT: Final = "The request body must be a JSON object."
_KINDS: Final = frozenset((dict, list))
"""What a value that holds others is."""


class InvalidJson(InvalidRequest):
    code: ClassVar[str] = "invalid_json"


class DuplicateKey(InvalidRequest):
    code: ClassVar[str] = "duplicate_key"


class JsonTooComplex(InvalidRequest):
    code: ClassVar[str] = "json_too_complex"

    def __init__(self) -> None:
        super().__init__(f"The body is nested deeper than {MAX_DEPTH} levels or has more than {MAX_NODES} values.")


class InvalidUnicode(InvalidRequest):
    code: ClassVar[str] = "invalid_unicode"

    def __init__(self) -> None:
        super().__init__("The body contains a NUL character or a lone surrogate, which is not valid Unicode text.")


class RequestTooLarge(GatewayError):
    status: ClassVar[int] = 413
    type: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str] = "request_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body is larger than {limit} bytes.")


class UnsupportedMediaType(GatewayError):
    status: ClassVar[int] = 415
    type: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str] = "unsupported_media_type"


def check_media_type(content_type: str, content_encoding: str) -> None:
    """Raises UnsupportedMediaType unless the body is plain JSON in UTF-8."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != "application/json":
        raise UnsupportedMediaType("The request must have `Content-Type: application/json`.")
    for parameter in parameters:
        name, _equals, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("The request body must be encoded in UTF-8.")
    if content_encoding not in {"", "identity"}:
        raise UnsupportedMediaType("Compressed request bodies are not accepted.")


def parse(raw: bytes) -> dict[str, Any]:
    """The body as a dict; raises InvalidJson, DuplicateKey, JsonTooComplex or InvalidUnicode.

    Meant for bodies up to `AT_ONCE`; a larger one keeps the event loop for as long as it takes (`parse_in_turns`).
    """
    if len(raw) > LARGE:
        return _at_once(_parsing(raw))
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _at_once(_parsing(raw))  # which says what is wrong
    if type(body) is not dict:
        raise InvalidJson(_NO_OBJECT)
    outline = None if _is_kept(raw, body) else _at_once(_reading_again(raw))
    if outline is not None or _brackets(raw) > MAX_DEPTH:
        _at_once(_measuring(raw, body, outline))
    return body


def _at_once(steps: Generator[None, None, T]) -> T:
    """What comes of the steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


async def parse_in_turns(raw: bytes) -> dict[str, Any]:
    """The same; the event loop has its turn between the steps."""
    reading = _Reading(raw)
    for _step in reading:
        await asyncio.sleep(0)
    return reading.body


class _Reading:
    """The steps of reading a body, which is there when they are through."""

    __slots__ = ("_raw", "body")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.body: dict[str, Any] = {}

    def __iter__(self) -> Generator[None]:
        self.body = yield from _parsing(self._raw)


def _parsing(raw: bytes) -> Generator[None, None, dict[str, Any]]:
    """The outline of what may hold too many values is read before any of them is made, and that slice by slice."""
    is_large = len(raw) > LARGE
    outline = (yield from _outlining(raw)) if is_large else None
    try:
        body = (yield from slices.reading(raw)) if is_large else orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        reason = _unplaced(error) if is_large else str(error)
    except slices.Malformed as error:
        reason = str(error)
    except slices.TooLong:
        longest = slices.MOST_CHARACTERS
        raise StringAboveMaxLength(f"A string of the body is longer than {longest} characters.") from None
    except slices.Lost:
        raise _duplicate() from None
    else:
        if type(body) is not dict:
            raise InvalidJson(_NO_OBJECT)
        yield from _proving(raw, body, outline)
        return body
    if outline is None and "UTF-8" not in reason:
        yield from _outlining(raw)
    _explain(reason)


def _unplaced(error: orjson.JSONDecodeError) -> str:
    """Without its place, which is one in a slice."""
    return str(error).partition(": line ")[0]


def _duplicate() -> DuplicateKey:
    return DuplicateKey("A member name appears more than once in one object.")


def _proving(raw: bytes, body: dict[str, Any], outline: Outline | None) -> Generator[None]:
    """Raises InvalidRequest if the parser dropped or changed something, or if the body is too deep."""
    yield
    if outline is None and not _is_kept(raw, body):
        outline = yield from _reading_again(raw)
    yield from _measuring(raw, body, outline)


def _reading_again(raw: bytes) -> Generator[None, None, Outline | None]:
    """Reads strictly what the parser may have changed; what would take long gets an outline instead."""
    yield
    if raw.count(b"{") > _MOST_OBJECTS or raw.count(b",") > _MOST_VALUES:
        return (yield from _outlining(raw))
    _read_strictly(raw)
    return None


def _measuring(raw: bytes, body: dict[str, Any], outline: Outline | None) -> Generator[None]:
    """Raises InvalidRequest if there are fewer members than in the text's outline, or if the body is too deep."""
    if outline is not None:
        if outline.has_nul:
            raise InvalidUnicode
        if outline.pairs != (yield from _surveying(body)):  # a duplicate was dropped by the parser, with its colon
            raise _duplicate()
    else:
        yield from _fathoming(body, _brackets(raw))


def _brackets(raw: bytes) -> int:
    """How many are opened, those in strings included. (Leaving them out is three times as quick as `count`.)"""
    return 2 * len(raw) - len(raw.replace(b"{", b"")) - len(raw.replace(b"[", b""))


def _is_kept(raw: bytes, body: dict[str, Any]) -> bool:
    """Whether nothing was dropped or changed, as far as a look can tell.

    Most clients write JSON as it would be written out again, but for blanks. A duplicate that was dropped is missing
    there, a large integer that became a float looks like one, and a letter written as an escape is told from itself.
    """
    try:
        again = orjson.dumps(body, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:  # an integer of more than 53 bits, or too deep
        return False
    if again != raw and (len(again) >= len(raw) or raw.translate(None, _BLANKS) != again.translate(None, _BLANKS)):
        return False
    return raw.find(b"\\") < 0 or raw.find(_NUL) < 0


def _read_strictly(raw: bytes) -> None:
    """Raises DuplicateKey, InvalidJson, InvalidUnicode or JsonTooComplex.

    What the first parser dropped is a duplicate, whatever it held: the second one meets its own bound of recursion in
    it at worst.
    """
    try:
        _STRICT.decode(raw.decode())
    except RecursionError:
        raise JsonTooComplex from None
    if _NUL in raw and _NUL in raw.replace(_ESCAPED_BACKSLASH, b""):
        raise InvalidUnicode


def _fathoming(root: dict[str, Any], brackets: int) -> Generator[None]:
    """Raises JsonTooComplex for a body that is too deep; `brackets` opened in its text, those in strings included.

    It looks no further than the brackets of the levels below could still reach: of most conversations, no message is
    looked at.
    """
    depth, below = 1, brackets - 1
    level: list[Any] = [root]
    while depth + below > MAX_DEPTH:
        level = yield from _containers_in(level)
        if not level:
            return
        depth += 1
        below -= len(level)
        if depth > MAX_DEPTH:
            raise JsonTooComplex


def _surveying(root: dict[str, Any]) -> Generator[None, None, int]:
    """The members of all objects of a body together."""
    pairs = 0
    level: list[Any] = [root]
    while level:
        for some in _some_of(level):
            pairs += sum(len(container) for container in some if type(container) is dict)
            yield
        level = yield from _containers_in(level)
    return pairs


def _containers_in(level: list[Any]) -> Generator[None, None, list[Any]]:
    """The objects and lists directly in these ones."""
    found: list[Any] = []
    for some in _some_of(level):
        values = [*chain.from_iterable(each.values() if type(each) is dict else each for each in some)]
        found += compress(values, map(_KINDS.__contains__, map(type, values)))
        if len(level) > _MANY:
            yield
    return found


def _some_of(level: list[Any]) -> Iterator[list[Any]]:
    """As many at a time as are looked through in one go."""
    return (level[start : start + _CONTAINERS] for start in range(0, len(level), _CONTAINERS))


def _explain(reason: str) -> Never:
    """Says why orjson refused the text; what is too complex has been called so, whatever else it is."""
    if "UTF-8" in reason:
        raise InvalidJson("The request body is not valid UTF-8.")
    if "surrogate in string" in reason:
        raise InvalidUnicode
    raise InvalidJson(f"The request body is not valid JSON: {reason}")


def _outlining(raw: bytes) -> Generator[None, None, Outline]:
    outline = Outline()
    for piece in slices.pieces(raw):
        outline.add(piece)
        yield
    return outline


class Outline:
    """What stands outside a text's strings, read piece by piece: how deep and how much, before anything is made of it.

    A string counts as its opening quote. Texts that are no JSON have an outline too, as far as it goes.
    """

    __slots__ = ("_before", "_depth", "_is_inside", "_rest", "has_nul", "nodes", "pairs", "strings")

    def __init__(self) -> None:
        self.pairs = 0
        self.has_nul = False
        self.nodes = 1
        self.strings = 0
        self._depth = 0
        self._is_inside = False
        self._before = b""
        """The end of the last piece, in which an escape may have begun."""
        self._rest = b""
        """A scalar or bracket that the next piece may go on with."""

    def add(self, piece: bytes) -> None:
        """Raises JsonTooComplex, or InvalidJson for a number that would not be kept."""
        if self._depth < 0:
            return  # more was closed than opened: no parser reads on from there
        if b"\\" in piece or self._before:
            piece = piece.replace(_ESCAPED_BACKSLASH, b"")
            seen = self._before + piece
            self.has_nul = self.has_nul or _NUL in seen
            self._before = seen[-5:] if b"\\" in seen[-5:] else b""
            piece = piece.replace(b'\\"', b"")
        parts = piece.split(b'"')
        outside = b'"'.join(parts[self._is_inside :: 2])
        if self._is_inside and len(parts) > 1:
            outside = b'"' + outside
        self._is_inside ^= len(parts) % 2 == 0
        text = self._rest + outside.translate(None, _BLANKS)
        end = 1 + max(map(text.rfind, (b",", b":", b'"', b"]", b"}")))
        self._rest = text[end:]
        self._measure(text[:end])
        if len(self._rest) > _MOST_DIGITS + MAX_DEPTH:  # too many brackets, or too long a number
            self._measure(self._rest)

    def _measure(self, text: bytes) -> None:
        brackets = text.translate(None, _NO_BRACKETS)
        if brackets:
            depths = list(accumulate(map(_STEPS.__getitem__, brackets), initial=self._depth))
            self._depth = depths[-1]
            if max(depths) > MAX_DEPTH:
                raise JsonTooComplex
        opened = text.count(b"[") + text.count(b"{") - text.count(b"[]") - text.count(b"{}")
        self.nodes += text.count(b",") + opened
        if self.nodes > MAX_NODES:
            raise JsonTooComplex
        self.strings += text.count(b'"')
        if self.strings > 2 * MAX_NODES:  # names and values of a text that is JSON
            raise JsonTooComplex
        self.pairs += text.count(b":")
        for scalar in text.translate(_BETWEEN_SCALARS).split():
            if len(scalar) >= _DIGITS_OF_A_LARGE_INTEGER:
                _check_number(scalar)


def _check_number(text: bytes) -> None:
    digits = text.removeprefix(b"-")
    if len(text) > _MOST_DIGITS:
        raise InvalidJson(f"The body contains a number of more than {_MOST_DIGITS} characters.")
    if digits.isdigit() and int(digits) > _MAX_INTEGER + (len(digits) < len(text)):
        raise InvalidJson("The body contains an integer that does not fit 64 bits.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice, _times = Counter(name for name, _value in pairs).most_common(1)[0]
        raise DuplicateKey(
            f"The member name {twice[:64]!r} appears more than once in one object.",
            kept="A member name appears more than once in one object.",
        )
    return members


def _bounded(digits: str) -> int:
    if len(digits) >= _DIGITS_OF_A_LARGE_INTEGER:
        _check_number(digits.encode())
    return int(digits)


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_bounded)
