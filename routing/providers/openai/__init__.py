"""OpenAI's formats, and those of every vendor that follows them more or less."""

from __future__ import annotations

from routing.providers.openai.adapter import OPENAI, OpenAI
from routing.providers.openai.reader import OpenAIReader

__all__ = ["OPENAI", "OpenAI", "OpenAIReader"]
