"""Pictures and files between OpenAI's parts and Google's: inline as base64, or by their address.

ai.google.dev/api/caching#Part, ai.google.dev/gemini-api/docs/file-input-methods (addresses that Google fetches itself).
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from typing import Any, Final

_DATA: Final = re.compile(r"data:(?P<kind>[\w.+-]{1,60}/[\w.+-]{1,100})(?:;[\w=.+-]{1,60})*;base64,", re.ASCII)
_ADDRESSES: Final = ("https://", "http://")


def part_of(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """Google's part for OpenAI's `image_url` or `file`; None where there is none, as for the id of a stored file."""
    if part["type"] == "image_url":
        return _of_address(part["image_url"]["url"], "image/jpeg")
    file = part.get("file")
    address = file.get("file_data") if type(file) is dict else None
    return _of_address(address, "application/pdf") if type(address) is str else None


def _of_address(address: str, usual: str) -> dict[str, Any] | None:
    """`usual` is the kind where an address does not show it."""
    inline = _DATA.match(address)
    if inline:
        return {"inlineData": {"mimeType": inline["kind"].lower(), "data": address[inline.end() :]}}
    if not address.startswith(_ADDRESSES):
        return None
    kind, _encoding = mimetypes.guess_type(address.partition("?")[0])
    return {"fileData": {"mimeType": kind or usual, "fileUri": address}}


def address_of(part: Mapping[str, Any]) -> str:
    """A picture's address, as OpenAI has it, of Google's `inlineData`; empty where there is none."""
    blob = part.get("inlineData")
    if type(blob) is not dict or type(blob.get("data")) is not str:
        return ""
    kind = str(blob.get("mimeType"))
    return f"data:{kind};base64,{blob['data']}" if kind.startswith("image/") else ""
