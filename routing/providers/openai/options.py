"""What can be set of a channel whose upstream follows OpenAI's formats."""

from __future__ import annotations

from typing import Literal

from routing.providers.base import Options

Spoken = Literal[
    "chat.completions", "responses", "embeddings", "completions", "rerank", "moderations", "images.generations",
    "audio.speech", "audio.transcriptions", "audio.translations",
]  # fmt: skip
"""Endpoints whose formats are OpenAI's, or said as its are."""


class OpenAIOptions(Options, frozen=True):
    endpoints: tuple[Spoken, ...] | None = None
    """The endpoints that the upstream has, all of them; None: those that its host is known for."""
