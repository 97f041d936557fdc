"""In whose words something is refused at a path, where no view has the request yet."""

from __future__ import annotations

from typing import Final

from routing.api.base import Envelope
from routing.endpoints.generate import GENERATE, MODEL_ACTIONS
from routing.endpoints.messages import MESSAGES

_ENDS: Final = tuple(f":{action}" for action in MODEL_ACTIONS)


def envelope_at(path: str) -> Envelope | None:
    """Anthropic's below its endpoint, Google's below its version or behind its actions; None is OpenAI's."""
    if path.startswith("/v1/messages"):
        return MESSAGES.envelope
    if path.startswith("/v1beta") or path.endswith(_ENDS):
        return GENERATE.envelope
    return None
