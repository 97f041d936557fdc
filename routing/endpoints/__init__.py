"""The literal registry of endpoints, by the name that usage records keep."""

from __future__ import annotations

from typing import Final

from routing.endpoints.base import Endpoint, is_served
from routing.endpoints.chat import CHAT
from routing.endpoints.completions import COMPLETIONS
from routing.endpoints.embeddings import EMBEDDINGS
from routing.endpoints.generate import GENERATE
from routing.endpoints.images import IMAGES
from routing.endpoints.messages import MESSAGES
from routing.endpoints.moderations import MODERATIONS
from routing.endpoints.rerank import RERANK
from routing.endpoints.responses import RESPONSES
from routing.endpoints.speech import SPEECH
from routing.endpoints.transcriptions import TRANSCRIPTIONS, TRANSLATIONS

_ALL: Final[tuple[Endpoint, ...]] = (
    CHAT,
    RESPONSES,
    MESSAGES,
    GENERATE,
    COMPLETIONS,
    EMBEDDINGS,
    RERANK,
    MODERATIONS,
    IMAGES,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
ENDPOINTS: Final[dict[str, Endpoint]] = {each.name: each for each in _ALL}


def public_id(endpoint: str, request_id: str) -> str:
    """The id that the client knows a request by; `request_id` is 32 hex digits."""
    known = ENDPOINTS.get(endpoint)
    return f"{known.id_prefix}{request_id}" if known else request_id


def paths(names: frozenset[str]) -> list[str]:
    """Where clients call a model that serves endpoints of these names, sorted."""
    return sorted(f"/v1{each.path}" for each in ENDPOINTS.values() if is_served(each, names))
