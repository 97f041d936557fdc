"""Text completions, OpenAI's older format: a prompt in, text out."""

from __future__ import annotations

from routing.endpoints.completions.endpoint import COMPLETIONS

__all__ = ["COMPLETIONS"]
