"""Google's Gemini API: generateContent as it is, chat and embeddings by translation."""

from __future__ import annotations

from routing.providers.gemini.adapter import GEMINI

__all__ = ["GEMINI"]
