"""The literal registry of endpoints, by the name that usage records keep."""

from __future__ import annotations

from typing import Final

from routing.endpoints.base import Endpoint
from routing.endpoints.chat import CHAT
from routing.endpoints.embeddings import EMBEDDINGS

ENDPOINTS: Final[dict[str, Endpoint]] = {each.name: each for each in (CHAT, EMBEDDINGS)}


def public_id(endpoint: str, request_id: str) -> str:
    """The id that the client knows a request by; `request_id` is 32 hex digits."""
    known = ENDPOINTS.get(endpoint)
    return f"{known.id_prefix}{request_id}" if known else request_id
