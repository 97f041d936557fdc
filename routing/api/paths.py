"""The path that a client probably meant: base URLs get their `/v1` wrong in many ways."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Final

ENDPOINTS: Final = (
    "chat/completions",
    "embeddings",
    "images/generations",
    "audio/speech",
    "audio/transcriptions",
    "audio/translations",
    "completions",
    "rerank",
    "moderations",
    "messages",
    "messages/count_tokens",
    "responses",
    "models",
    "key",
    "credits",
    "generation",
)
"""Below `/v1/`."""
_NO_ENDPOINT: Final = re.compile(r"v[0-9]+(?:alpha|beta)?[0-9]*|api|openai|openrouter")
"""What stands before an endpoint's name in other gateways' paths."""
_MODEL: Final = re.compile(r"[\w.:@-]+(?:/[\w.:@-]+)*")
_MOST_LETTERS: Final = 256
_LIKENESS: Final = 0.8


def nearest(path: str) -> str | None:
    """An endpoint's path that differs from this one by its prefix, its case, a slash or a few letters; else None."""
    if len(path) > _MOST_LETTERS:
        return None
    names = [name for name in path.split("/") if name]
    lower = [name.lower() for name in names]
    for start in range(len(lower)):
        if "/".join(lower[start:]) in ENDPOINTS:
            return "/v1/" + "/".join(lower[start:])
    if "models" in lower:
        model = "/".join(names[lower.index("models") + 1 :])
        return f"/v1/models/{model}" if _MODEL.fullmatch(model) else "/v1/models"
    while lower and _NO_ENDPOINT.fullmatch(lower[0]):
        del lower[0]
    tail = "/".join(lower)
    alike = get_close_matches(tail, ENDPOINTS, n=1, cutoff=_LIKENESS)
    alike += [endpoint for endpoint in ENDPOINTS if tail and endpoint.startswith(f"{tail}/")]
    return f"/v1/{alike[0]}" if alike else None
