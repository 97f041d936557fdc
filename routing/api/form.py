"""Reading a body that is a form with a file (multipart/form-data, RFC 7578): bounded, in turns with other requests.

The file's bytes are kept once, as one piece that goes upstream as it is; the body they came in is let go. Fields become
what a JSON body would have: `name[]` a list, `name[member]` an object.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from multipart import MultipartError, PushMultipartParser, parse_options_header

from accounts.errors import InvalidRequest
from routing.api import idempotency
from routing.api.body import DuplicateKey, UnsupportedMediaType
from routing.providers.media import File

_MOST_PARTS: Final = 100
_MOST_FIELD: Final = 1024 * 1024
"""Bytes of a field; voices are known by references of some hundred kilobytes."""
_MOST_NAME: Final = 200
_PIECE: Final = 256 * 1024
"""What is read in one go."""
_BOUNDARY: Final = re.compile(r"[ -~]{0,69}[!-~]")
"""RFC 2046, section 5.1.1, and what clients make of it."""
_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\]){0,3})")
_FORM: Final = "multipart/form-data"


class InvalidForm(InvalidRequest):
    code: ClassVar[str] = "invalid_form"


class FieldIsNoText(InvalidRequest):
    code: ClassVar[str] = "invalid_unicode"

    def __init__(self, name: str) -> None:
        which = f"The field '{name}'" if name.isidentifier() else "A field"
        super().__init__(
            f"{which} is not valid Unicode text. A file needs a `filename` in its `Content-Disposition`.",
            param=name if name.isidentifier() else None,
        )


def boundary_of(content_type: str, content_encoding: str) -> str:
    """What stands between the parts; raises UnsupportedMediaType unless the body is a plain form."""
    media_type, options = parse_options_header(content_type)
    boundary: str = options.get("boundary", "")
    if media_type != _FORM or not _BOUNDARY.fullmatch(boundary):
        raise UnsupportedMediaType("The request must have `Content-Type: multipart/form-data` with a boundary.")
    if content_encoding not in {"", "identity"}:
        raise UnsupportedMediaType("Compressed request bodies are not accepted.")
    return boundary


async def parse(raw: bytes, boundary: str) -> dict[str, Any]:
    """The form as a dict, its files as `File`; the event loop has its turn between pieces.

    Raises InvalidForm, DuplicateKey or FieldIsNoText.
    """
    form = _Form()
    try:
        with PushMultipartParser(boundary, max_segment_count=_MOST_PARTS) as parser:
            for start in range(0, len(raw), _PIECE):
                for event in parser.parse(raw[start : start + _PIECE]):
                    form.take(event)
                await asyncio.sleep(0)
    except MultipartError as error:
        raise InvalidForm(f"The request body is no valid form: {error}.") from error
    return form.body


async def digest(body: dict[str, Any]) -> bytes:
    """What is the same for the same form: clients make a new boundary for each try."""
    asked = hashlib.sha256()
    for name, value in sorted(body.items()):
        is_file = type(value) is File
        asked.update(repr((name, value.name, value.media_type) if is_file else (name, value)).encode())
        if is_file:
            await idempotency.add(asked, value.data)
    return asked.digest()


class _Form:
    """The parts as they come."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self._part: Any = None
        self._pieces: list[bytes] = []
        self._size = 0

    def take(self, event: Any) -> None:
        """A part's head, a piece of it, or its end (None)."""
        if event is None:
            self._end()
        elif isinstance(event, bytes | bytearray):
            self._size += len(event)
            if self._part.filename is None and self._size > _MOST_FIELD:
                raise InvalidForm(f"The field '{self._part.name}' is larger than {_MOST_FIELD} bytes.")
            self._pieces.append(bytes(event))
        else:
            if not 0 < len(event.name) <= _MOST_NAME:
                raise InvalidForm(f"The name of a field must have 1 to {_MOST_NAME} characters.")
            self._part, self._pieces, self._size = event, [], 0

    def _end(self) -> None:
        part, data = self._part, b"".join(self._pieces)
        self._pieces = []
        if part.filename is not None:
            self._put(part.name, File(part.filename, part.content_type or "", data))
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise FieldIsNoText(part.name) from None
        if "\0" in text:
            raise FieldIsNoText(part.name)
        self._put(part.name, text)

    def _put(self, name: str, value: Any) -> None:
        """Under its name; raises DuplicateKey where that has a value already, InvalidForm where names contradict."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise InvalidForm("The name of a field cannot be read.")
        if match[2] and type(value) is File:
            raise InvalidForm(f"The file '{match[1]}' must have a plain name.")
        inside: Any = self.body
        key: Any = match[1]
        for following in _keys(match[2]):
            made: Any = [] if following == "" else {}
            inside = _get(inside, key, made)
            if type(inside) is not type(made):
                raise InvalidForm(f"The field '{match[1]}' is said in two ways.")
            key = following
        if type(inside) is list:
            inside.append(value)
        elif key in inside:
            raise DuplicateKey(
                f"The field {name[:64]!r} appears more than once.", kept="A field of a form appears more than once."
            )
        else:
            inside[key] = value


def _get(inside: Any, key: str, made: Any) -> Any:
    """The member of an object, or a new one of a list; made where there is none."""
    if type(inside) is list:
        inside.append(made)
        return made
    return inside.setdefault(key, made)


def _keys(brackets: str) -> Iterator[str]:
    return iter(brackets[1:-1].split("][")) if brackets else iter(())
