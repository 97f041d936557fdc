"""generateContent, in the format of Google's Gemini API."""

from __future__ import annotations

from typing import Final

from routing.endpoints.generate.endpoint import GENERATE

MODEL_ACTIONS: Final = ("generateContent", "streamGenerateContent", "countTokens")
"""What can be asked of a model, behind a colon in the path."""

__all__ = ["GENERATE", "MODEL_ACTIONS"]
