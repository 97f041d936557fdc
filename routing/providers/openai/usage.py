"""Usage in the words of OpenAI-compatible vendors: where the counts stand, and what they count.

OpenAI counts cached tokens inside `prompt_tokens` and reasoning inside `completion_tokens`
(https://platform.openai.com/docs/api-reference/chat/object). Others put them beside, or elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS
from routing.providers.openai.counts import meaning_of

_INPUT: Final = ("prompt_tokens", "input_tokens")
_INPUT_ALONE: Final = (*_INPUT, "total_tokens")
"""Where nothing is written the total is the input: Jina and Voyage say no more."""
_OUTPUT: Final = ("completion_tokens", "output_tokens")
"""The second names are those of OpenAI's Responses API and of Anthropic; new-api sends both, one of them as zero."""
_INPUT_DETAILS: Final = (
    "prompt_tokens_details", "input_tokens_details", "promptTokensDetails", "inputTokensDetails", "input_token_details",
    "prompt_token_details",
)  # fmt: skip
_OUTPUT_DETAILS: Final = (
    "completion_tokens_details", "output_tokens_details", "completionTokensDetails", "outputTokensDetails",
    "output_token_details", "completion_token_details",
)  # fmt: skip
_CACHED: Final = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_prompt_tokens")
"""Beside the counts: Moonshot's, DeepSeek's, Anthropic's and others' names. The nested field wins where both stand."""
_WRITTEN: Final = ("cache_write_tokens", "cache_creation_input_tokens")
_OTHER_WORDS: Final = {
    # Bedrock: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html, and its invocation metrics
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "totalTokens": "total_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
    "inputTokenCount": "input_tokens",
    "outputTokenCount": "output_tokens",
    "cacheReadInputTokenCount": "cache_read_input_tokens",
    "cacheWriteInputTokenCount": "cache_creation_input_tokens",
    # Google, as JSON and as its client libraries write it: ai.google.dev/api/generate-content#UsageMetadata
    "promptTokenCount": "prompt_tokens",
    "candidatesTokenCount": "completion_tokens",
    "thoughtsTokenCount": "reasoning_tokens",
    "totalTokenCount": "total_tokens",
    "cachedContentTokenCount": "cached_tokens",
    "prompt_token_count": "prompt_tokens",
    "candidates_token_count": "completion_tokens",
    "thoughts_token_count": "reasoning_tokens",
    "total_token_count": "total_tokens",
    "cached_content_token_count": "cached_tokens",
    # camelCase of client libraries that pass it on, Ollama's own
    "promptTokens": "prompt_tokens",
    "completionTokens": "completion_tokens",
    "prompt_eval_count": "prompt_tokens",
    "eval_count": "completion_tokens",
    "cached_input_tokens": "cached_tokens",
    "num_cached_tokens": "cached_tokens",  # Mistral, vLLM
    "cached_prompt_text_tokens": "cached_tokens",  # xAI
    "prompt_cached_tokens": "cached_tokens",
    "prompt_tokens_cached": "cached_tokens",
    "cache_read_tokens": "cached_tokens",
    "cache_hit_tokens": "cached_tokens",
    "cachedInputTokens": "cached_tokens",
    "thinking_tokens": "reasoning_tokens",
    # LangChain's details
    "cache_read": "cached_tokens",
    "reasoning": "reasoning_tokens",
    # watsonx
    "input_token_count": "input_tokens",
    "generated_token_count": "output_tokens",
    # within camelCase's details
    "cachedTokens": "cached_tokens",
    "reasoningTokens": "reasoning_tokens",
    "audioTokens": "audio_tokens",
}
_INNER: Final = ("billed_units", "tokens")
"""Cohere's: what is charged, and what was counted, which says more (docs.cohere.com/reference/chat)."""
_HIT_AND_MISS: Final = ("prompt_cache_hit_tokens", "prompt_cache_miss_tokens")
_KNOWN: Final = frozenset(
    (*_INPUT, *_OUTPUT, *_INPUT_DETAILS, *_OUTPUT_DETAILS, *_CACHED, *_WRITTEN, *_HIT_AND_MISS, "total_tokens",
     "reasoning_tokens", "audio_tokens", "text_tokens", "image_tokens", "video_tokens", "accepted_prediction_tokens",
     "rejected_prediction_tokens", "cache_creation", "cache_creation_token_details", "cost", "cost_details", "is_byok")
)  # fmt: skip
"""Names that mean what they say: most usages have no others."""
_PLAIN: Final = frozenset(
    ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details")
)
_OF_PROMPTS: Final = frozenset(("cached_tokens", "audio_tokens"))
_OF_COMPLETIONS: Final = frozenset(
    ("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")
)
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
"""Protocol buffers write 64-bit counts as text in JSON (https://protobuf.dev/programming-guides/json/)."""
_NOTHING: Final[Mapping[str, Any]] = {}


def object_of(reported: Any) -> Any:
    """The object with the counts where it stands in a list, of which the last says most, in a text, or in another."""
    if type(reported) is list:
        return next((each for each in reversed(reported) if type(each) is dict), None)
    if type(reported) is str and reported.startswith("{"):
        try:
            return orjson.loads(reported)
        except orjson.JSONDecodeError:
            return None
    inner = reported.get("usage") if type(reported) is dict else None
    return inner if type(inner) is dict else reported


def usage_of(reported: Any, *, has_output: bool = True) -> Usage | None:
    """The counts an upstream reported, None if they cannot be believed (negative, words, missing).

    An endpoint without output has no `completion_tokens`.
    """
    if type(reported) is not dict:
        return None
    plain = _plain(reported, has_output=has_output)
    if plain is not None:
        return plain
    if not reported.keys() <= _KNOWN:
        reported = _translated(reported)
    input_ = _first(reported, _INPUT if has_output else _INPUT_ALONE)
    if input_ is None:
        input_ = _input_besides(reported)
        if input_ is None:
            return None
    prompt, completion = _details(reported, _INPUT_DETAILS), _details(reported, _OUTPUT_DETAILS)
    reasoning = _count(completion, "reasoning_tokens") or _count(reported, "reasoning_tokens") or 0
    cached = _first(prompt, _CACHED) or _first(reported, _CACHED) or 0
    written, for_an_hour = _written(reported, prompt)
    told = _first(reported, _OUTPUT) if has_output else 0
    if input_ == 0 and told and not reasoning:
        input_ = max(0, (_count(reported, "total_tokens") or 0) - told)  # no prompt is empty
    if told is not None and cached + written:
        input_ += _cache_beside(reported, input_, told, cached, written, reasoning)
    output = _output(reported, input_, told, reasoning) if has_output else 0
    if output is None or input_ + output == 0:
        return None
    cached = min(cached, input_)
    written = min(written, input_ - cached)
    heard = min(_count(prompt, "audio_tokens") or 0, input_ - cached - written)
    reasoning = min(reasoning, output)
    spoken = min(_count(completion, "audio_tokens") or 0, output - reasoning)
    return Usage(
        input=input_,
        cached_input=cached,
        cache_write=written,
        cache_write_1h=min(for_an_hour, written),
        input_audio=heard,
        output=output,
        reasoning=reasoning,
        output_audio=spoken,
    )


def _plain(reported: Mapping[str, Any], *, has_output: bool) -> Usage | None:
    """Counts in OpenAI's own words, of which the total is the sum: most are, at a third of what all others take."""
    input_, total = reported.get("prompt_tokens", -1), reported.get("total_tokens", -1)
    output = reported.get("completion_tokens", -1) if has_output else 0
    if not (type(input_) is int and type(output) is int and input_ >= 0 <= output):
        return None
    if not 0 < input_ + output == total <= MOST_TOKENS or not reported.keys() <= _PLAIN:
        return None
    prompt = reported.get("prompt_tokens_details") or _NOTHING
    completion = reported.get("completion_tokens_details") or _NOTHING
    if prompt is completion:
        return Usage(input=input_, output=output)
    if not (_is_plain(prompt, _OF_PROMPTS) and _is_plain(completion, _OF_COMPLETIONS)):
        return None
    cached, reasoning = min(prompt.get("cached_tokens", 0), input_), min(completion.get("reasoning_tokens", 0), output)
    return Usage(
        input=input_,
        cached_input=cached,
        input_audio=min(prompt.get("audio_tokens", 0), input_ - cached),
        output=output,
        reasoning=reasoning,
        output_audio=min(completion.get("audio_tokens", 0), output - reasoning),
    )


def _is_plain(details: Any, names: frozenset[str]) -> bool:
    if details is _NOTHING:
        return True
    if type(details) is not dict or not details.keys() <= names:
        return False
    for count in details.values():  # noqa: SIM110 - for every answer: a generator costs twice this
        if type(count) is not int or not 0 <= count <= MOST_TOKENS:
            return False
    return True


def _input_besides(reported: Mapping[str, Any]) -> int | None:
    """The input where it is told by its parts alone, cached and not (DeepSeek), or by the total."""
    if not reported.keys().isdisjoint(_INPUT):  # as null, or as something that is no count
        return None
    parts = [_count(reported, name) for name in _HIT_AND_MISS]
    if None not in parts:
        return sum(filter(None, parts))
    total, output = _count(reported, "total_tokens"), _first(reported, _OUTPUT)
    return total - output if total is not None and output is not None and total > output else None


def _translated(reported: Mapping[str, Any]) -> dict[str, Any]:
    """In the words of OpenAI and Anthropic, which win where both stand."""
    inner = [reported[name] for name in _INNER if type(reported.get(name)) is dict]
    told = {name: value for part in (*inner, reported) for name, value in part.items()}
    words = {name: _OTHER_WORDS.get(name) or meaning_of(name) for name in told if name not in _KNOWN}
    return {word: told[name] for name, word in words.items() if word is not None} | told


def _cache_beside(
    reported: Mapping[str, Any], input_: int, told: int, cached: int, written: int, reasoning: int
) -> int:
    """How much of the cached and written tokens the input does not contain.

    Anthropic's own does not (docs.anthropic.com/en/docs/build-with-claude/prompt-caching), Bedrock's neither; gateways
    use its names for both. The total decides. Without one, its name of the input does; and more than there is of the
    input cannot be inside. In other words than Anthropic's they are beside only where both say so.
    """
    cache, total = cached + written, _count(reported, "total_tokens")
    if input_ + cache > MOST_TOKENS:
        return 0
    is_anthropic = bool(_count(reported, "cache_read_input_tokens") or _count(reported, "cache_creation_input_tokens"))
    is_larger = cache > input_
    if total is not None and total > input_ + told and (is_anthropic or is_larger):
        for beside in (cache, cached, written):
            if beside and total - input_ - told - beside in (0, reasoning):
                return beside
    if is_anthropic and (is_larger or (not total and not _count(reported, "prompt_tokens"))):
        return cache
    return 0


def _written(reported: Mapping[str, Any], prompt: Mapping[str, Any]) -> tuple[int, int]:
    """How many tokens were written to the cache, and how many of these for an hour.

    Anthropic says both (docs.anthropic.com/en/docs/build-with-claude/prompt-caching#1-hour-cache-duration), LiteLLM
    and Alibaba have the parts among the details.
    """
    told = _first(prompt, _WRITTEN) or _count(reported, _WRITTEN[1]) or 0
    parts = reported.get("cache_creation") or prompt.get("cache_creation_token_details") or prompt.get("cache_creation")
    if type(parts) is not dict:
        return told, 0
    for_an_hour = _count(parts, "ephemeral_1h_input_tokens") or 0
    return max(told, for_an_hour + (_count(parts, "ephemeral_5m_input_tokens") or 0)), for_an_hour


def _output(reported: Mapping[str, Any], input_: int, told: int | None, reasoning: int) -> int | None:
    """The total decides: where it is what prompt, completion and reasoning add up to, reasoning stood beside.

    xAI counts so, and Google's compatible endpoint leaves thoughts out of both, and in the total alone. Without a total
    reasoning stood beside if it is more than the completion.
    """
    total = _count(reported, "total_tokens")
    if told is None:
        stands_open = not reported.keys().isdisjoint(_OUTPUT)  # as null, or as something that is no count
        return total - input_ if total is not None and total >= input_ and not stands_open else None
    if total is None or total < input_ + told:
        return told + reasoning if told < reasoning <= MOST_TOKENS - told else told
    return total - input_ if reasoning in (0, total - input_ - told) else told


def _details(reported: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    for name in names:
        value = object_of(reported.get(name)) if name in reported else None
        if type(value) is dict:
            return value if value.keys() <= _KNOWN else _translated(value)
    return _NOTHING


def _first(reported: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The first count that is more than nothing."""
    if reported.keys().isdisjoint(names):
        return None
    found = None
    for name in names:  # a loop, not a generator: usage is read for every answer
        count = _count(reported, name)
        if count:
            return count
        if count is not None:
            found = count
    return found


def _count(reported: Mapping[str, Any], name: str) -> int | None:
    value: Any = reported.get(name)
    if value is None:  # as most names are
        return None
    if type(value) is not int and is_whole(value):
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def is_whole(value: Any) -> bool:
    """Whether it says a count in another type: a float where all numbers are, digits as text."""
    return value.is_integer() if type(value) is float else type(value) is str and bool(_DIGITS.fullmatch(value))
