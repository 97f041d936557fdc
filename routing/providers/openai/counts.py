"""What a count is called: the words of its name, however spelt, and the name that OpenAI or Anthropic has for it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_LONGEST: Final = 48
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_FILLING: Final = frozenset(
    ("token", "tokens", "count", "counts", "n", "num", "number", "of", "total", "in", "from", "by")
)
_INPUT: Final = frozenset(("prompt", "input", "evaluated", "prefill"))
_OUTPUT: Final = frozenset(("completion", "output", "generated", "predicted", "generation", "decode"))
_CACHED: Final = frozenset(("cached", "cache"))
_READ: Final = frozenset(("read", "reads", "hit", "hits"))
_WRITTEN: Final = frozenset(("write", "writes", "written", "creation", "created"))
_THOUGHT: Final = frozenset(("reasoning", "thinking", "thought", "thoughts", "think"))
_DETAILS: Final = frozenset(("detail", "details"))
_MOST_NAMES: Final = 512


@lru_cache(_MOST_NAMES)
def meaning_of(name: str) -> str | None:
    """The name that OpenAI, or Anthropic, has for it; None for one with a word that says anything else."""
    if len(name) > _LONGEST:
        return None
    all_words = frozenset(word.lower() for word in _WORD.findall(name))
    words = all_words - _FILLING
    if not words:
        return "total_tokens" if "total" in all_words else None
    if words & _DETAILS:
        return _details(words - _DETAILS)
    if words & _CACHED:
        return _cache(words - _CACHED)
    for known, meaning in ((_INPUT, "prompt_tokens"), (_OUTPUT, "completion_tokens"), (_THOUGHT, "reasoning_tokens")):
        if words <= known:
            return meaning
    return "reasoning_tokens" if words & _THOUGHT and words <= _THOUGHT | _OUTPUT else None


def _details(words: frozenset[str]) -> str | None:
    if words and words <= _INPUT:
        return "prompt_tokens_details"
    return "completion_tokens_details" if words and words <= _OUTPUT else None


def _cache(words: frozenset[str]) -> str | None:
    if words and words & _WRITTEN and words <= _WRITTEN | _INPUT:
        return "cache_creation_input_tokens"
    return "cached_tokens" if words <= _READ | _INPUT else None
