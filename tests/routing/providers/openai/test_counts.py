"""What counts are called: names made of known words mean what these say, all others mean nothing."""

from __future__ import annotations

import pytest

from routing.providers.openai.counts import meaning_of


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("PromptTokens", "prompt_tokens"),
        ("input", "prompt_tokens"),
        ("generated_tokens", "completion_tokens"),
        ("TOTAL_TOKENS", "total_tokens"),
        ("tokens", None),
        ("thoughts_count", "reasoning_tokens"),
        ("reasoning_output_tokens", "reasoning_tokens"),
        ("reasoning_cost", None),
        ("prompt_completion", None),
        ("inputDetails", "prompt_tokens_details"),
        ("output_token_detail", "completion_tokens_details"),
        ("details", None),
        ("token_details", None),
        ("cost_details", None),
        ("prompt_output_details", None),
        ("cache_hit", "cached_tokens"),
        ("cache", "cached_tokens"),
        ("cache_creation_tokens", "cache_creation_input_tokens"),
        ("cache_miss_tokens", None),
        ("cached_cost", None),
        ("cache_write_cost", None),
        ("cached_" + "_" * 41, "cached_tokens"),
        ("cached_" + "_" * 42, None),
        ("", None),
        ("prompt_input_evaluated_prefill_tokens", "prompt_tokens"),
        ("promptInputEvaluatedPrefillDetails", "prompt_tokens_details"),
        ("reasoning_thinking_thought_thoughts_think", "reasoning_tokens"),
        ("cacheReadReadsHitHitsPromptInputEvaluatedPrefill", "cached_tokens"),
    ],
)
def test_name_of_a_count_means_what_its_words_say(name: str, meaning: str | None) -> None:
    assert meaning_of(name) == meaning
