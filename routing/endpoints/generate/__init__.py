"""generateContent, in the format of Google's Gemini API."""

from __future__ import annotations

from routing.endpoints.generate.endpoint import GENERATE

__all__ = ["GENERATE"]
