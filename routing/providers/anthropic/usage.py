"""Usage in Anthropic's words: cached and written tokens stand beside the input, not in it.

platform.claude.com/docs/en/api/messages, "Total input tokens in a request is the summation of `input_tokens`,
`cache_creation_input_tokens`, and `cache_read_input_tokens`"; thinking is within the output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS
from routing.providers.openai.usage import is_whole
from routing.providers.openai.usage import usage_of as in_other_words

_OUTPUTS: Final = ("output_tokens", "completion_tokens")
_CACHED: Final = ("cached_tokens", "input_tokens_details", "prompt_tokens_details")
"""Where OpenAI and those that follow it tell what the cache gave."""
_MOST_ITERATIONS: Final = 1_000
_SUMMED: Final = ("input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning")


def usage_of(reported: Mapping[str, Any]) -> Usage | None:
    """The counts, None if they cannot be believed (negative, text, nothing but zeros) or the output is missing.

    What the upstream used to make a summary of the conversation stands beside them, and is paid for as they are.
    """
    if "input_tokens" not in reported or _is_in_other_words(reported):
        return in_other_words(reported)
    usage = _counted(reported)
    if usage is None:
        return None
    for summary in _summaries(reported):
        usage = Usage(**{name: getattr(usage, name) + getattr(summary, name) for name in _SUMMED})
    return usage if 0 < usage.input + usage.output <= MOST_TOKENS else None


def _is_in_other_words(reported: Mapping[str, Any]) -> bool:
    """Whether the cache is told in OpenAI's words alone, whose sums are others."""
    if _count(reported, "cache_read_input_tokens") or _count(reported, "cache_creation_input_tokens"):
        return False
    return any(reported.get(name) for name in _CACHED)


def _counted(reported: Mapping[str, Any]) -> Usage | None:
    """The counts in one place."""
    fresh, output = _count(reported, "input_tokens"), _count(reported, "output_tokens")
    if fresh is None or output is None:
        return None
    cached = _count(reported, "cache_read_input_tokens") or 0
    written, for_an_hour = _written(reported)
    details = reported.get("output_tokens_details")
    reasoning = _count(details, "thinking_tokens") if type(details) is dict else None
    return Usage(
        input=fresh + cached + written,
        cached_input=cached,
        cache_write=written,
        cache_write_1h=for_an_hour,
        output=output,
        reasoning=min(reasoning or 0, output),
    )


def _summaries(reported: Mapping[str, Any]) -> Iterator[Usage]:
    """What each compaction used: "a `compaction` entry's tokens are not included in the top-level `usage` fields"
    (the `anthropic` package's BetaUsage)."""
    iterations = reported.get("iterations")
    for each in iterations[:_MOST_ITERATIONS] if type(iterations) is list else ():
        counted = _counted(each) if type(each) is dict and each.get("type") == "compaction" else None
        if counted is not None:
            yield counted


def merged(before: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """What is known once an event told more: counts are cumulative, so that nothing and null take none back."""
    return {**before, **{name: value for name, value in told.items() if value or name not in before}}


def tells_output(told: Mapping[str, Any]) -> bool:
    return any(_count(told, name) for name in _OUTPUTS)


def _written(reported: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens written to the cache, and how many of these for an hour; the parts may be told without their sum."""
    told = _count(reported, "cache_creation_input_tokens") or 0
    parts = reported.get("cache_creation")
    if type(parts) is not dict:
        return told, 0
    for_an_hour = _count(parts, "ephemeral_1h_input_tokens") or 0
    return max(told, for_an_hour + (_count(parts, "ephemeral_5m_input_tokens") or 0)), for_an_hour


def _count(reported: Mapping[str, Any], name: str) -> int | None:
    value: Any = reported.get(name)
    if type(value) is not int and is_whole(value):
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
