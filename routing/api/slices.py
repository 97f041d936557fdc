"""A large JSON text read slice by slice, so that no slice keeps the event loop for long (ADR 0012).

orjson reads a text in one go and keeps the interpreter's lock. Here it reads what stands between two commas some 64 KiB
apart, in brackets that open and close it as the text around it does; what it makes is put where the text before it had
come to. A string that is longer than that is read in slices of its own, and stands as a name that nobody can guess
until its slice of the text is made.

Only depth and size are taken for granted: an outline of the text has been read (`body.Outline`).
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator
from typing import Any, Final

import orjson

SIZE: Final = 64 * 1024
"""Bytes of a piece; each takes a few milliseconds at most."""
MOST_CHARACTERS: Final = 10_485_760
"""Of a text that is not ASCII alone, which takes up to four bytes of memory for each; as many as OpenAI takes."""
_LONGEST: Final = 140 * SIZE
"""Bytes without a comma outside strings. 64 names of less than a piece each, one inside the other, are fewer."""
_BLANKS: Final = b" \t\r\n"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_MIRRORED: Final = bytes.maketrans(b"[{", b"]}")
_ESCAPE: Final = len(b"\\u0000")
_CONTINUES: Final = range(0x80, 0xC0)
_KIND: Final[dict[int, Any]] = {ord("{"): dict, ord("["): list}


class Malformed(Exception):
    """The text is no JSON; the reason is for the client."""


class TooLong(Exception):
    """A text of more than `MOST_CHARACTERS`."""


class Lost(Exception):
    """Two members of one name stand where only one can."""


def pieces(raw: bytes, size: int = SIZE) -> Iterator[bytes]:
    """The text in pieces that part no pair of a backslash and what it escapes."""
    start = 0
    while start < len(raw):
        piece = raw[start : start + size]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = raw[start : start + size + 1]
        start += len(piece)
        yield piece


def reading(raw: bytes, size: int = SIZE) -> Generator[None, None, Any]:
    """What the text says; yields after each piece. Raises Malformed, TooLong, Lost or orjson.JSONDecodeError."""
    made = _Made(size)
    for piece in pieces(raw, size):
        made.add(piece)
        yield
    return made.end()


class _Made:
    """What was made of the text so far."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._root: Any = None
        self._open = b""
        """The brackets that are open where the text is gone on with."""
        self._rest = b""
        """Read since the last comma."""
        self._mark = secrets.token_hex(16)
        self._long: _Long | None = None
        """The string that is longer than a piece and has not ended."""
        self._longs: dict[str, str] = {}

    def add(self, piece: bytes) -> None:
        if self._long is not None:
            piece = self._end_long(self._long, piece)
        text = self._rest + piece
        plain = _without_escapes(text)
        comma = _last_comma(plain)
        if comma >= 0:
            self._make(text[:comma], plain[:comma], is_last=False)
            text, plain = text[comma + 1 :], plain[comma + 1 :]
        if plain.count(b'"') % 2 == 0:
            kept = text.rstrip(_BLANKS)
            text = kept + b" " if len(kept) < len(text) else kept
        elif len(text) - (start := plain.rfind(b'"')) > self._size:
            self._long = _Long()
            self._long.add(text[start + 1 :])
            text = text[:start]
        self._rest = text
        if len(text) > _LONGEST:
            raise Malformed("too long without a comma")

    def end(self) -> Any:
        if self._long is not None:
            raise Malformed("unexpected end of data")
        self._make(self._rest, _without_escapes(self._rest), is_last=True)
        return self._root

    def _end_long(self, long: _Long, piece: bytes) -> bytes:
        """What of the piece stands behind the string; nothing while that goes on."""
        end = _without_escapes(piece).find(b'"')
        long.add(piece if end < 0 else piece[:end])
        if end < 0:
            return b""
        name = f"{self._mark}{len(self._longs)}"
        self._longs[name] = long.text()
        self._long = None
        self._rest += b'"%b"' % name.encode()
        return piece[end + 1 :]

    def _make(self, text: bytes, plain: bytes, *, is_last: bool) -> None:
        """Puts where it belongs what stands between two commas."""
        bare = text.strip(_BLANKS)
        if not bare or (self._open and bare[0] in b"]}") or (not is_last and bare[-1] in b"[{"):
            raise Malformed("unexpected comma or end of data")
        left = _left_open(self._open + _outside(plain).translate(None, _NO_BRACKETS))
        if left.strip(b"[{") or is_last != (not left):
            raise Malformed("unexpected end of data" if is_last else "unexpected bracket or trailing data")
        made = orjson.loads(b"".join((self._before(), text, left[::-1].translate(_MIRRORED))))
        if self._mark.encode() in text:
            made = self._with_longs(made)
        if self._open:
            self._join(made)
        else:
            self._root = made
        self._open = left

    def _before(self) -> bytes:
        """The brackets that are open, as a text that can be gone on with."""
        name = b'{"%b":' % self._mark.encode()
        outer = (name if bracket == ord("{") else b"[" for bracket in self._open[:-1])
        return b"".join((*outer, self._open[-1:]))

    def _join(self, made: Any) -> None:
        """Each container that was open gets what more came of it."""
        whole, inmost = self._root, len(self._open) - 1
        for level, bracket in enumerate(self._open):
            if type(whole) is not _KIND[bracket]:  # the last member is not the one that was open: its name came twice
                raise Lost
            inner = None
            if level < inmost:
                if not whole:  # neither is it here
                    raise Lost
                inner = next(reversed(whole.values())) if bracket == ord("{") else whole[-1]
            if bracket == ord("{"):
                more = made.pop(self._mark, None)
                whole.update(made)
            else:
                more = made[0]
                whole += made[1:] if level < inmost else made
            whole, made = inner, more

    def _with_longs(self, value: Any) -> Any:
        """The same with the long strings in their places, names included."""
        if type(value) is str:
            return self._longs.get(value, value)
        if type(value) is list:
            return [self._with_longs(each) for each in value]
        if type(value) is dict:
            return {self._longs.get(name, name): self._with_longs(each) for name, each in value.items()}
        return value


class _Long:
    """A string longer than a piece, without its quotes."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._rest = b""

    def add(self, piece: bytes) -> None:
        text = self._rest + piece
        end = _border(text)
        self._texts.append(orjson.loads(b'"%b"' % text[:end]))
        self._rest = text[end:]

    def text(self) -> str:
        self._texts.append(orjson.loads(b'"%b"' % self._rest))
        if sum(map(len, self._texts)) > MOST_CHARACTERS and not all(map(str.isascii, self._texts)):
            raise TooLong
        return "".join(self._texts)


def _border(text: bytes) -> int:
    """Where a string may be parted, near its end: in no escape, in no pair of them, in no letter."""
    end = max(0, len(text) - 2 * _ESCAPE)
    slash = text.rfind(b"\\", max(0, end - 2 * _ESCAPE), end)
    if slash < 0:
        while end and text[end] in _CONTINUES:
            end -= 1
        return end
    run = slash + 1 - len(text[: slash + 1].rstrip(b"\\"))
    start = slash - (run % 2 == 0)
    is_second = text[start : start + 2] == b"\\u" and text[start + 2 : start + 4].lower() in _SECONDS
    return max(0, start - _ESCAPE) if is_second else start


_SECONDS: Final = frozenset(b"d" + bytes((letter,)) for letter in b"cdef")
"""How the second escape of a letter beyond 16 bits begins."""


def _without_escapes(text: bytes) -> bytes:
    """As long as the text, with no quote or backslash but those that mean one."""
    if b"\\" not in text:
        return text
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def _last_comma(plain: bytes) -> int:
    """The place of the last comma outside strings; -1 if there is none."""
    end = len(plain)
    if plain.count(b'"') % 2:
        end = plain.rfind(b'"')
    while True:
        quote = plain.rfind(b'"', 0, end)
        comma = plain.rfind(b",", quote + 1, end)
        if comma >= 0 or quote < 0:
            return comma
        end = plain.rfind(b'"', 0, quote)
        if end < 0:
            return -1


def _outside(plain: bytes) -> bytes:
    """What of it stands in no string."""
    return b'"'.join(plain.split(b'"')[::2])


def _left_open(brackets: bytes) -> bytes:
    """Those that are not closed, in a text of at most 64 levels."""
    while True:
        fewer = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(fewer) == len(brackets):
            return fewer
        brackets = fewer
