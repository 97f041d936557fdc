"""Chat completions, in OpenAI's format."""

from __future__ import annotations

from routing.endpoints.chat.endpoint import CHAT

__all__ = ["CHAT"]
