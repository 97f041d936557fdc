"""Server-sent events: cut out of a byte stream, in whatever pieces it comes. Pure: bytes in, bytes out."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final

from routing.wire.values import Values

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
DONE: Final = b"data: [DONE]\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"
_FIELDS: Final = frozenset((b"data", b"event", b"id", b"retry", b""))
_FAILURES: Final = frozenset((b"error", b"failure", b"exception", b"fatal"))
_SIGNS_OF_LIFE: Final = frozenset(
    (b"ping", b"heartbeat", b"keepalive", b"keep-alive", b"keep_alive", b"open", b"start", b"connected")
)
"""Names of events; of what stands in these, words mean nothing."""
_ENDS: Final = frozenset(
    (b"done", b"end", b"complete", b"completed", b"finish", b"finished", b"eos", b"stream-end", b"stream_end",
     b"message-end", b"message_end")
)  # fmt: skip
"""The same, of events that say no more than that."""
_WITH_MEANING: Final = _FAILURES | _SIGNS_OF_LIFE | _ENDS
_PING: Final = b": ping"
_DONE: Final = b"[DONE]"
_BLANK: Final = b" \t\r\n\x1e"
"""U+001E begins an object in a text sequence (RFC 7464)."""
_BEFORE: Final = _BLANK + codecs.BOM_UTF8
_AROUND: Final = b" \t\r\n\0" + bytes(range(128, 256))
"""What may stand around a field's name: of servers in C, what ends their string; marks in whatever encoding."""
_MOST_NOISE: Final = 2000
_NO_KINDS: Final = re.compile(rb"(?!)")
_TYPED: Final = b'{"type"'
"""How nearly all servers begin the objects whose events have names."""


class Comment(bytes):
    """A comment block, with its colon."""


class Failure(bytes):
    """The data of an event that its server named an error; perhaps empty."""


class Noise(bytes):
    """A line that is no field of an event, cut short: an upstream that speaks in another form said it."""


class EventTooLarge(ValueError):
    pass


class EventParser:
    """Cuts a byte stream into events (WHATWG HTML, section 9.2.6): LF, CRLF or CR, in whatever pieces it comes.

    Where JSON comes instead, each object is an event, until events come.
    """

    _ended_in_cr = False
    _is_at_start = True
    """As long as it is no stream of events yet."""
    _values: Values | None = None

    def __init__(self, kinds: re.Pattern[bytes] = _NO_KINDS) -> None:
        """`kinds`: the names of events that are the `type` of their object, where it does not say one itself."""
        self._rest = bytearray()
        self._kinds = kinds

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that is complete now; comments come as `Comment`. Raises EventTooLarge.

        (`find` instead of `in`: bytes ask first whether they are asked for a number, by an exception.)
        """
        if self._is_at_start:
            data = self._without_mark(data)
            if self._is_at_start:
                return self._feed_values(data)
        if not self._rest and data.endswith(b"\n\n") and data.find(b"\r") < 0:
            if data.startswith(b"data: ") and data.find(b"\n") == len(data) - 2:  # one event, as most pieces are
                return [data[6:-2]]
            # A blank line in front, if CRLF was cut, means nothing.
            return _read_blocks(data[:-2].split(b"\n\n"), self._kinds)
        seen = max(0, len(self._rest) - 1)
        self._rest += self._with_line_feeds(data)
        end = self._rest.rfind(b"\n\n", seen)
        if end < 0:
            if len(self._rest) > MAX_EVENT_BYTES:
                raise EventTooLarge
            return []
        blocks = bytes(self._rest[:end]).split(b"\n\n")
        del self._rest[: end + 2]
        return _read_blocks(blocks, self._kinds)

    def _without_mark(self, data: bytes) -> bytes:
        """The beginning without a byte order mark, of which there may be one (section 9.2.6), in whatever pieces."""
        if self._values is not None:
            return data
        data = bytes(self._rest) + data
        self._rest.clear()
        if len(data) < len(codecs.BOM_UTF8) and codecs.BOM_UTF8.startswith(data):
            self._rest += data
            return b""
        said = after_marks(data)
        if opens_json(said):
            self._values = Values()
        else:
            self._is_at_start = not said
        return said

    def _feed_values(self, data: bytes) -> list[bytes]:
        if self._values is None:
            return []
        found = self._values.feed(data)
        if self._values.size > MAX_EVENT_BYTES:
            raise EventTooLarge
        if self._values.rest is not None:
            self._is_at_start = False
            found += self.feed(self._values.rest)
        return found

    def _with_line_feeds(self, data: bytes) -> bytes:
        """The data with CRLF and CR as LF. A CR at the end is one at once; a LF that follows it is then dropped."""
        if self._ended_in_cr and data:
            data = data.removeprefix(b"\n")
            self._ended_in_cr = False
        if data.find(b"\r") < 0:
            return data
        self._ended_in_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def finish(self) -> list[bytes]:
        """What is left when the stream has ended without a last blank line, or within an object."""
        if self._values is not None and (begun := self._values.finish()):
            return [begun]
        rest, self._rest = bytes(self._rest).rstrip(b"\n"), bytearray()
        return _read_blocks([rest], self._kinds) if rest else []


def opens_json(data: bytes) -> bool:
    """Whether this is the beginning of an object or a list, or of one in a text, as no event's is."""
    return after_marks(data).startswith((b"{", b"[", b'"'))


def after_marks(data: bytes) -> bytes:
    """The data without the byte order marks and blanks before it, in whatever order."""
    return data.lstrip(_BEFORE)


def _read_blocks(blocks: Iterable[bytes], kinds: re.Pattern[bytes]) -> list[bytes]:
    events: list[bytes] = []
    for block in blocks:
        if block.startswith(b"data: ") and block.find(b"\n") < 0:
            events.append(block[6:])
        elif block:
            events += _read_lines(block, kinds)
    return events


def _read_lines(block: bytes, kinds: re.Pattern[bytes]) -> list[bytes]:
    """What a block says. A field's name may have blanks around it: by the book it would be another's, and lost."""
    # A mark where two streams were joined is none of the event's.
    lines = block.removeprefix(codecs.BOM_UTF8).split(b"\n")
    comments: list[bytes] = [Comment(line) for line in lines if line.startswith(b":")]
    fields = [(name.strip(_AROUND).lower(), value) for name, _colon, value in (line.partition(b":") for line in lines)]
    data = [value.removeprefix(b" ") for name, value in fields if name == b"data"]
    if len(data) == 1 and data[0].rstrip() == b"{":  # written over lines, of which the first alone has a name
        data = [b"\n".join([*data, *_unnamed(lines, fields)])]
    event = next((value.strip().lower() for name, value in fields if name == b"event"), b"")
    if event in _WITH_MEANING and (said := _said_by_name(event, data)) is not None:
        return [*comments, *said]
    if event and len(data) == 1 and not data[0].startswith(_TYPED) and kinds.fullmatch(event):
        return [*comments, _with_kind(event, data[0])]
    if len(data) > 1 and all(map(_is_whole, data)):  # the blank lines between were left out
        return [*comments, *data]
    if data:
        return [*comments, b"\n".join(data)]
    others = list(filter(bytes.strip, _unnamed(lines, fields)))
    objects = [line for line in others if _begins_object(line) and _is_whole(line.strip())]
    if objects:  # whose name was left out
        return [*comments, *objects]
    if len(others) == 1 and others[0].strip() == _DONE:
        return [*comments, _DONE]
    return [*comments, Noise(others[0][:_MOST_NOISE])] if others else comments


def _unnamed(lines: list[bytes], fields: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The lines that are no fields."""
    return (line for line, (name, _value) in zip(lines, fields, strict=True) if name not in _FIELDS)


def _said_by_name(event: bytes, data: list[bytes]) -> list[bytes] | None:
    """What an event says by its name; None where its data say it."""
    if event in _FAILURES:
        return [Failure(b"\n".join(data))]
    if any(_begins_object(each) and each.strip() != b"{}" for each in data):
        return None
    return [_DONE] if event in _ENDS else [Comment(_PING)]


def _begins_object(data: bytes) -> bool:
    return data.lstrip().startswith(b"{")


def _with_kind(kind: bytes, data: bytes) -> bytes:
    """The object with this `type` in front, which its own, wherever it stands, overrides: the last one counts."""
    if not _begins_object(data):
        return data
    rest = data.lstrip()[1:].lstrip()
    return b'{"type":"%b"%b%b' % (kind, b"" if rest.startswith(b"}") else b",", rest)


def _is_whole(data: bytes) -> bool:
    """Whether a line of data looks like an event of its own: an object, or the end."""
    return (data.startswith(b"{") and data.rstrip().endswith(b"}")) or data.strip() == b"[DONE]"
