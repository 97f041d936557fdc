"""Anthropic's Messages format, as itself and for chat."""

from __future__ import annotations

from routing.providers.anthropic.adapter import ANTHROPIC, Anthropic, AnthropicOptions

__all__ = ["ANTHROPIC", "Anthropic", "AnthropicOptions"]
