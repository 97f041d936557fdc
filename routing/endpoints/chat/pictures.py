"""The pictures that a chat answer brings (`images`, openrouter.ai/docs/features/multimodal/image-generation).

The public schema of chat has no place for them; other formats have their own, or none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_DATA: Final = "data:"
_IN_BASE64: Final = ";base64"
_BEGINNINGS: Final = {"/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""Of pictures in base64, by which their kind is known."""


class Picture(NamedTuple):
    """What it shows in base64, with its kind; or its address, where that is all there is."""

    kind: str
    data: str
    address: str


def pictures_in(images: Any) -> Iterator[Picture]:
    """Those of a message or a delta; what shows nothing is passed over."""
    for each in images if type(images) is list else ():
        place = each.get("image_url") if type(each) is dict else None
        address = place.get("url") if type(place) is dict else place
        if type(address) is not str or not address:
            continue
        head, _comma, data = address.partition(",") if address.startswith(_DATA) else ("", "", "")
        if data and head.endswith(_IN_BASE64):
            yield Picture(head.removeprefix(_DATA).partition(";")[0], data, "")
        elif not head:
            yield Picture("", "", address)


def address_of(data: str) -> str:
    """The address of a picture in base64 that does not say its kind."""
    kind = next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), "image/png")
    return f"{_DATA}{kind}{_IN_BASE64},{data}"


def link_to(address: str) -> str:
    """In Markdown, for formats that have no place for an address of a picture."""
    return f"![picture]({address})"
