"""Parts of a message's content: chat's as Anthropic's blocks."""

from __future__ import annotations

import base64
import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

_DATA: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[^,;]{0,100}){0,8}),", re.IGNORECASE)
"""RFC 2397."""
_ADDRESS: Final = re.compile(r"https?://", re.IGNORECASE)
_TEXTS: Final = ("text", "refusal")
_PDF: Final = "application/pdf"
_PLAIN: Final = "text/plain"
_SAME_IMAGE: Final = {"image/jpg": "image/jpeg"}


def texts_of(content: Any) -> list[dict[str, Any]]:
    """The blocks of what is text alone, such as a system message."""
    return [block for block in blocks_of(content) if block["type"] == "text"]


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """The blocks of a content: a text or parts. Blank text is refused as a block, so there is none for it."""
    if type(content) is str:
        return [{"type": "text", "text": content}] if content.strip() else []
    if type(content) is not list:
        return []
    blocks = [_block_of(part) for part in content if type(part) is dict]
    return [block for block in blocks if block is not None]


def is_sayable(part: Any) -> bool:
    """Whether there is a block for a part; a look at its beginning, however large it is."""
    kind = part.get("type") if type(part) is dict else None
    if kind in _TEXTS:
        return True
    if kind == "image_url":
        media = _media_of(_address_of(part))
        return media is not None and (not media or media.startswith("image/"))
    return kind == "file" and _media_of(_file_of(part).get("file_data")) in ("", _PDF, _PLAIN)


def _block_of(part: dict[str, Any]) -> dict[str, Any] | None:
    kind = part.get("type")
    block: dict[str, Any] | None = None
    if kind in _TEXTS:
        text = part.get(kind)
        block = {"type": "text", "text": text} if type(text) is str and text.strip() else None
    elif kind == "image_url":
        block = {"type": "image", "source": _source(_address_of(part))}
    elif kind == "file":
        file = _file_of(part)
        block = {"type": "document", "source": _source(file["file_data"])}
        if type(file.get("filename")) is str and file["filename"]:
            block["title"] = file["filename"]
    return block if block is None else with_marker(block, part)


def with_marker(block: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The block with the part's mark for the cache, if it has one."""
    marker = part.get("cache_control")
    return {**block, "cache_control": marker} if type(marker) is dict else block


def _address_of(part: dict[str, Any]) -> Any:
    image = part.get("image_url")
    return image.get("url") if type(image) is dict else image


def _file_of(part: dict[str, Any]) -> dict[str, Any]:
    file = part.get("file")
    return file if type(file) is dict else {}


def _media_of(url: Any) -> str | None:
    """The media type of a data URL, empty for an address; None for what is neither."""
    if type(url) is not str:
        return None
    if _ADDRESS.match(url):
        return ""
    found = _DATA.match(url)
    return (found[1] or _PLAIN).lower() if found else None


def _source(url: str) -> dict[str, Any]:
    found = _DATA.match(url)
    if not found:
        return {"type": "url", "url": url}
    media, data = (found[1] or _PLAIN).lower(), url[found.end() :]
    is_base64 = found[2].lower().endswith(";base64")
    if media == _PLAIN:
        plain = _decoded(data) if is_base64 else unquote_to_bytes(data)
        return {"type": "text", "media_type": _PLAIN, "data": plain.decode("utf-8", "replace")}
    if not is_base64:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return {"type": "base64", "media_type": _SAME_IMAGE.get(media, media), "data": data}


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data)
    except ValueError:
        return data.encode()
