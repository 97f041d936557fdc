"""OpenAI's Responses: items in, items out, said natively or in chat's format."""

from __future__ import annotations

from routing.endpoints.responses.endpoint import RESPONSES

__all__ = ["RESPONSES"]
