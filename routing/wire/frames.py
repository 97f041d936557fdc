"""JSON that says the same again but for one text: read and written without being parsed. Pure: bytes in, bytes out.

Nearly all chunks of a stream differ in nothing but the text of their delta. A frame is such a chunk's bytes around the
text. What begins and ends like it, with a text between that needs no escape, is the same JSON with another text.
"""

from __future__ import annotations

import re
from typing import Final, Self

_PLAIN: Final = re.compile(rb'[^"\\\x00-\x1f]+')
"""Inside of a JSON string without escapes (RFC 8259, section 7)."""


class Again(bytes):
    """The text, in UTF-8, of a chunk that says the same as the one before it but for this."""


class Frame:
    """What stands around the text of a string member, with its quotes."""

    __slots__ = ("_after", "_around", "_before")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._around = len(before) + len(after)

    @classmethod
    def around(cls, member: bytes, text: bytes) -> Self | None:
        """The frame of the member of this name in `text`, which is JSON; None where it is not there exactly once.

        A name with its quotes and a colon behind is a member's and nothing else: quotes within strings are escaped.
        """
        found = [*re.finditer(rb'"%b"\s*:\s*"' % re.escape(member), text)]
        if len(found) != 1 or text.count(b'"%b"' % member) != 1:
            return None
        start = found[0].end()
        plain = _PLAIN.match(text, start)
        end = plain.end() if plain else start
        return cls(text[:start], text[end:]) if text[end : end + 1] == b'"' else None

    def text_in(self, text: bytes) -> Again | None:
        """The text that stands in this frame; None where the frame is another, or the text needs to be parsed."""
        if not (text.startswith(self._before) and text.endswith(self._after)):
            return None
        inner = text[len(self._before) : len(text) - len(self._after)]
        if len(inner) + self._around != len(text) or not _PLAIN.fullmatch(inner) or not _is_utf8(inner):
            return None
        return Again(inner)

    def with_text(self, text: bytes) -> bytes:
        return self._before + text + self._after


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
