"""Files in a request's body, and the form that carries them upstream (multipart/form-data, RFC 7578)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}(;[ \w.=+-]{1,60})?", re.ASCII)
_ANY: Final = "application/octet-stream"


class File(msgspec.Struct, frozen=True):
    """A file as a client sent it; its bytes are kept once, whatever becomes of the request."""

    name: str
    media_type: str
    data: bytes


def encode(body: Mapping[str, Any]) -> tuple[str, tuple[bytes, ...]]:
    """A body as a form: its content type, and its pieces in order. A file's bytes are one of them, not copied.

    Lists are written as `name[]`, objects as `name[member]`, as the public API's clients do.
    """
    boundary = secrets.token_hex(16)
    pieces: list[bytes] = []
    for name, value in _fields(body):
        lines = [f"--{boundary}", f'content-disposition: form-data; name="{_quoted(name)}"']
        if type(value) is File:
            lines[1] += f'; filename="{_quoted(value.name)}"'
            lines.append(f"content-type: {value.media_type if _MEDIA_TYPE.fullmatch(value.media_type) else _ANY}")
        pieces.append("\r\n".join((*lines, "", "")).encode())
        pieces.append(value.data if type(value) is File else _text(value).encode())
        pieces.append(b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", tuple(pieces)


def _fields(body: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        yield from _field(f"{prefix}[{name}]" if prefix else name, value)


def _field(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if type(value) is list:
        for each in value:
            yield from _field(f"{name}[]", each)
    elif type(value) is dict:
        yield from _fields(value, name)
    elif value is not None:
        yield name, value


def _text(value: Any) -> str:
    return str(value).lower() if type(value) is bool else str(value)


def _quoted(name: str) -> str:
    """As browsers write names (WHATWG HTML, section 4.10.21.8)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
