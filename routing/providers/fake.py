"""The fake provider: OpenAI's format, answered inside the process, for demo, tests and load.

A channel's base URL says how it behaves: `fake://cheap?delay_ms=5&chunk_ms=20&fail=0.1`. The transport that plays the
upstream is routing/wire/fake.py; this adapter is the canonical one.
"""

from __future__ import annotations

from typing import Any, Final

from routing.providers.base import Options
from routing.providers.openai import OpenAI

_PLAYED: Final = frozenset(
    (
        "chat.completions",
        "embeddings",
        "completions",
        "rerank",
        "moderations",
        "images.generations",
        "audio.speech",
        "audio.transcriptions",
        "audio.translations",
    )
)


class Fake(OpenAI):
    label = "Fake (demo and tests)"
    options: type[Options] = Options

    def speaks(self, endpoint: str, host: str, options: Any) -> bool:
        """What routing/wire/fake.py plays."""
        return endpoint in _PLAYED


FAKE: Final = Fake()
