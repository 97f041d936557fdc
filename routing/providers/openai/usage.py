"""Usage in the words of OpenAI-compatible vendors: where the counts stand, and what they count.

OpenAI counts cached tokens inside `prompt_tokens` and reasoning inside `completion_tokens`
(https://platform.openai.com/docs/api-reference/chat/object). Others put them beside, or elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS

_INPUT: Final = ("prompt_tokens", "input_tokens")
_OUTPUT: Final = ("completion_tokens", "output_tokens")
"""The second names are those of OpenAI's Responses API, which some servers use for chat as well."""
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")
_CACHED: Final = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_prompt_tokens")
"""Beside the counts: Moonshot's, DeepSeek's, Anthropic's and others' names. The nested field wins where both stand."""


_PLAIN: Final = frozenset(("prompt_tokens", "completion_tokens", "total_tokens"))
_NOTHING: Final[Mapping[str, Any]] = {}


def usage_of(reported: Any, *, has_output: bool = True) -> Usage | None:
    """The counts an upstream reported, None if they cannot be believed (negative, text, missing).

    An endpoint without output has no `completion_tokens`.
    """
    if type(reported) is not dict:
        return None
    if has_output and reported.keys() == _PLAIN:  # most of them, at a third of what follows
        input_, output, total = reported["prompt_tokens"], reported["completion_tokens"], reported["total_tokens"]
        is_whole = type(input_) is type(output) is int and input_ >= 0 <= output
        if is_whole and 0 < input_ + output == total <= MOST_TOKENS:
            return Usage(input=input_, output=output)
    input_ = _first(reported, _INPUT)
    if input_ is None:
        return None
    prompt, completion = _details(reported, _INPUT_DETAILS), _details(reported, _OUTPUT_DETAILS)
    reasoning = _count(completion, "reasoning_tokens") or _count(reported, "reasoning_tokens") or 0
    output = _output(reported, input_, reasoning) if has_output else 0
    if output is None or input_ + output == 0:
        return None
    cached = _count(prompt, "cached_tokens") or _first(reported, _CACHED) or 0
    cached = min(cached, input_)
    written = min(_count(prompt, "cache_write_tokens") or 0, input_ - cached)
    heard = min(_count(prompt, "audio_tokens") or 0, input_ - cached - written)
    reasoning = min(reasoning, output)
    spoken = min(_count(completion, "audio_tokens") or 0, output - reasoning)
    return Usage(
        input=input_,
        cached_input=cached,
        cache_write=written,
        input_audio=heard,
        output=output,
        reasoning=reasoning,
        output_audio=spoken,
    )


def _output(reported: Mapping[str, Any], input_: int, reasoning: int) -> int | None:
    """The total decides: where it is what prompt, completion and reasoning add up to, reasoning stood beside.

    xAI counts so, and Google's compatible endpoint leaves thoughts out of both, and in the total alone.
    """
    told, total = _first(reported, _OUTPUT), _count(reported, "total_tokens")
    if told is None:
        stands_open = not reported.keys().isdisjoint(_OUTPUT)  # as null, or as something that is no count
        return total - input_ if total is not None and total >= input_ and not stands_open else None
    if total is not None and total > input_ + told and reasoning in (0, total - input_ - told):
        return total - input_
    return told


def _details(reported: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    for name in names:
        if type(value := reported.get(name)) is dict:
            return value
    return _NOTHING


def _first(reported: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:  # a loop, not a generator: usage is read for every answer
        count = _count(reported, name)
        if count is not None:
            return count
    return None


def _count(reported: Mapping[str, Any], name: str) -> int | None:
    value = reported.get(name)
    if type(value) is float and value.is_integer():  # where all numbers are floating
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
