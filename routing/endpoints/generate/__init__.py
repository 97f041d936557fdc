"""generateContent, in the format of Google's Gemini API."""

from __future__ import annotations

from typing import Final

from routing.endpoints.generate.endpoint import GENERATE

MODEL_ACTIONS: Final = ("generateContent", "streamGenerateContent", "countTokens")
"""What can be asked of a model, behind a colon in the path."""
OF_VECTORS: Final = frozenset(("embedContent", "batchEmbedContents", "asyncBatchEmbedContent"))
"""Google's actions that are not served: vectors are asked for in OpenAI's format alone."""

__all__ = ["GENERATE", "MODEL_ACTIONS", "OF_VECTORS"]
