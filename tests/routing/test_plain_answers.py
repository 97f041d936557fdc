"""An answer in nothing but OpenAI's own words is read by a shorter way, to the same end as every other."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from routing.providers.base import MalformedAnswer
from routing.providers.openai.reader import OpenAIReader
from routing.providers.openai.whole import is_plain_answer

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
    "at another place": with_choice(index=3),
    "at no place": {**ANSWER, "choices": [{"message": MESSAGE, "finish_reason": "stop"}]},
    "without usage": {name: value for name, value in ANSWER.items() if name != "usage"},
    "with usage that is null": {**ANSWER, "usage": None},
    "with usage that cannot be": {**ANSWER, "usage": {**USAGE, "prompt_tokens": -1}},
    "with usage in a list": {**ANSWER, "usage": [USAGE]},
    "with cached tokens": {**ANSWER, "usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}},
    "with a call of old for a reason": with_choice(finish_reason="function_call"),
}
OTHER = {
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


def read(answer: dict[str, Any]) -> tuple[Any, ...]:
    reader = OpenAIReader()
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
