"""What was thought upstream, as an opaque text for clients of the Responses API to carry and bring back. Pure.

OpenAI's own `encrypted_content` is the vendor's alone. Where chat's format is spoken upstream, what must come back
word by word (signatures, encrypted thoughts) is written there by the gateway, under a mark, so that each is told from
the other: no upstream is sent what it has not made.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import orjson

_MARK: Final = "cr1."


def is_ours(text: Any) -> bool:
    return type(text) is str and text.startswith(_MARK)


def pack(details: list[dict[str, Any]]) -> str:
    """The details of reasoning as OpenRouter's convention has them."""
    return _MARK + urlsafe_b64encode(orjson.dumps(details)).decode()


def unpack(text: str) -> list[dict[str, Any]]:
    """What was packed; nothing where the client has changed it."""
    try:
        details = orjson.loads(urlsafe_b64decode(text.removeprefix(_MARK)))
    except ValueError:
        return []
    return details if type(details) is list and all(type(each) is dict for each in details) else []
