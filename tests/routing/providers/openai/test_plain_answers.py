"""An answer in nothing but OpenAI's own words is read by a shorter way, to the same end as every other."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS, MalformedAnswer
from routing.providers.openai.reader import OpenAIReader
from routing.providers.openai.usage import usage_of
from routing.providers.openai.whole import is_plain_answer, is_plain_list

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
MESSAGE = {"role": "assistant", "content": "Four."}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": None}
ANSWER = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE], "usage": USAGE}


def with_choice(**members: Any) -> dict[str, Any]:
    return {**ANSWER, "choices": [{**CHOICE, **members}]}


PLAIN = {
    "as OpenAI writes it": ANSWER,
    "with all that stands beside": {**ANSWER, "system_fingerprint": "fp", "service_tier": "default"},
    "cut at the cap": with_choice(finish_reason="length"),
    "filtered": with_choice(finish_reason="content_filter", message={**MESSAGE, "content": ""}),
    "with a refusal that is none": with_choice(message={**MESSAGE, "refusal": None, "annotations": []}),
    "without usage": {name: value for name, value in ANSWER.items() if name != "usage"},
    "with usage that is null": {**ANSWER, "usage": None},
    "with usage that cannot be": {**ANSWER, "usage": {**USAGE, "prompt_tokens": -1}},
    "with usage in a list": {**ANSWER, "usage": [USAGE]},
    "with cached tokens": {**ANSWER, "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}},
    "with a call of old for a reason": with_choice(finish_reason="function_call"),
}
OTHER = {
    "another place": with_choice(index=3),
    "a place that is no number": with_choice(index=False),
    "no place": {**ANSWER, "choices": [{"message": MESSAGE, "finish_reason": "stop"}]},
    "another member": {**ANSWER, "citations": []},
    "an error beside": {**ANSWER, "error": None},
    "an error by name": {**ANSWER, "object": "error"},
    "two choices": {**ANSWER, "choices": [CHOICE, CHOICE]},
    "no choice": {**ANSWER, "choices": []},
    "choices that are an object": {**ANSWER, "choices": CHOICE},
    "a choice that is null": {**ANSWER, "choices": [None]},
    "a member of the choice": with_choice(native_finish_reason="stop"),
    "an unknown reason": with_choice(finish_reason="end_turn"),
    "a reason that is a list": with_choice(finish_reason=["stop"]),
    "no reason": with_choice(finish_reason=None),
    "a refusal": with_choice(message={**MESSAGE, "refusal": "No."}),
    "thoughts": with_choice(message={**MESSAGE, "reasoning_content": "Hm."}),
    "calls": with_choice(message={**MESSAGE, "tool_calls": []}),
    "parts": with_choice(message={**MESSAGE, "content": [{"type": "text", "text": "Four."}]}),
    "a message that is text": with_choice(message="Four."),
}
VECTORS = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "m"}
INPUT = {"prompt_tokens": 7, "total_tokens": 7}
PLAIN_LISTS = {
    "as OpenAI writes it": {**VECTORS, "usage": INPUT},
    "without usage": VECTORS,
    "with usage of a chat": {**VECTORS, "usage": USAGE},
    "with a total alone": {**VECTORS, "usage": {"total_tokens": 7}},
}
OTHER_LISTS = {
    "another member": {**VECTORS, "code": 0},
    "an error by name": {**VECTORS, "object": "error"},
    "no vectors": {**VECTORS, "data": []},
    "an envelope": {**VECTORS, "data": {"data": VECTORS["data"]}},
}
PROMPT, COMPLETION = {"cached_tokens": 4, "audio_tokens": 1}, {"reasoning_tokens": 2, "audio_tokens": 1}
COUNTS = {
    "plain": USAGE,
    "nothing written": {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7},
    "nothing read": {"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 5},
    "nothing at all": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "a total of more": {**USAGE, "total_tokens": 15},
    "no total": {"prompt_tokens": 7, "completion_tokens": 5},
    "the input alone": INPUT,
    "less than nothing": {"prompt_tokens": -1, "completion_tokens": 5, "total_tokens": 4},
    "too many": {"prompt_tokens": 7, "completion_tokens": 10**9, "total_tokens": 10**9 + 7},
    "the most": {"prompt_tokens": 0, "completion_tokens": MOST_TOKENS, "total_tokens": MOST_TOKENS},
    "a count in words": {**USAGE, "prompt_tokens": "7"},
    "a count that is true": {"prompt_tokens": True, "completion_tokens": 5, "total_tokens": 6},
    "details": {**USAGE, "prompt_tokens_details": PROMPT, "completion_tokens_details": COMPLETION},
    "details of the prompt": {**USAGE, "prompt_tokens_details": PROMPT},
    "details of the completion": {**USAGE, "completion_tokens_details": COMPLETION},
    "details that are empty": {**USAGE, "prompt_tokens_details": {}, "completion_tokens_details": None},
    "details in other words": {**USAGE, "prompt_tokens_details": {"cache_read": 4}},
    "details in a list": {**USAGE, "prompt_tokens_details": [PROMPT]},
    "details that are null": {**USAGE, "prompt_tokens_details": {"cached_tokens": None, "audio_tokens": 1}},
    "details that are too many": {**USAGE, "prompt_tokens_details": {"cached_tokens": 10**10}},
    "details that are less than nothing": {**USAGE, "completion_tokens_details": {"reasoning_tokens": -1}},
    "more cached than read": {**USAGE, "prompt_tokens_details": {"cached_tokens": 9, "audio_tokens": 3}},
    "more heard than is left": {**USAGE, "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 3}},
    "more thought than written": {**USAGE, "completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 1}},
    "more spoken than is left": {**USAGE, "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 4}},
}


def read(answer: dict[str, Any], *, has_output: bool = True) -> tuple[Any, ...]:
    reader = OpenAIReader(has_output=has_output)
    found = reader.whole(orjson.dumps(answer))
    return found, reader.usage, reader.reported, reader.is_partial, reader.is_exact


@pytest.mark.parametrize("answer", PLAIN.values(), ids=PLAIN)
def test_plain_answers_are_read_as_they_are_beside_a_member_that_nobody_knows(answer: dict[str, Any]) -> None:
    unknown = {**answer, "x_unknown": 1}
    assert is_plain_answer(orjson.loads(orjson.dumps(answer)))
    assert not is_plain_answer(orjson.loads(orjson.dumps(unknown)))
    (found, *counts), (as_ever, *counts_as_ever) = read(answer), read(unknown)
    assert as_ever.pop("x_unknown") == 1
    assert (found, counts) == (as_ever, counts_as_ever)


@pytest.mark.parametrize("answer", OTHER.values(), ids=OTHER)
def test_answers_with_anything_else_take_the_long_way(answer: dict[str, Any]) -> None:
    assert not is_plain_answer(orjson.loads(orjson.dumps(answer)))


def test_an_error_by_name_is_none_though_all_else_is_plain() -> None:
    with pytest.raises(MalformedAnswer):
        read(OTHER["an error by name"])


@pytest.mark.parametrize("answer", PLAIN_LISTS.values(), ids=PLAIN_LISTS)
def test_plain_lists_are_read_as_they_are_beside_a_member_that_nobody_knows(answer: dict[str, Any]) -> None:
    unknown = {**answer, "x_unknown": 1}
    assert is_plain_list(orjson.loads(orjson.dumps(answer)))
    assert not is_plain_list(orjson.loads(orjson.dumps(unknown)))
    (found, *counts), (as_ever, *counts_as_ever) = read(answer, has_output=False), read(unknown, has_output=False)
    assert as_ever.pop("x_unknown") == 1
    assert (found, counts) == (as_ever, counts_as_ever)


@pytest.mark.parametrize("answer", OTHER_LISTS.values(), ids=OTHER_LISTS)
def test_lists_with_anything_else_take_the_long_way(answer: dict[str, Any]) -> None:
    assert not is_plain_list(orjson.loads(orjson.dumps(answer)))


@pytest.mark.parametrize("has_output", [True, False])
@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_plain_counts_are_what_they_are_beside_a_word_that_counts_nothing(
    counts: dict[str, Any], *, has_output: bool
) -> None:
    """`is_byok` is a word of OpenRouter's, with which the counts take the long way."""
    assert usage_of(counts, has_output=has_output) == usage_of({**counts, "is_byok": False}, has_output=has_output)


@pytest.mark.parametrize(
    ("beside", "usage"),
    [
        ({}, Usage(input=7, output=5)),
        ({"prompt_tokens_details": PROMPT}, Usage(input=7, cached_input=4, input_audio=1, output=5)),
        ({"completion_tokens_details": COMPLETION}, Usage(input=7, output=5, reasoning=2, output_audio=1)),
        ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 3}, Usage(input=7, cached_input=4, output=5)),
        ({"cached_tokens": 4, "reasoning_tokens": 2}, Usage(input=7, cached_input=4, output=5, reasoning=2)),
    ],
    ids=str,
)
def test_counts_whose_total_is_their_sum(beside: dict[str, Any], usage: Usage) -> None:
    assert usage_of({**USAGE, **beside}) == usage
