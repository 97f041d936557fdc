"""Messages, in Anthropic's format."""

from __future__ import annotations

from routing.endpoints.messages.endpoint import COUNT_TOKENS, MESSAGES

__all__ = ["COUNT_TOKENS", "MESSAGES"]
