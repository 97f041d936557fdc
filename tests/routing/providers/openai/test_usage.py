"""Usage in the words and places of OpenAI-compatible vendors."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS, Event
from routing.providers.openai import OpenAIReader
from routing.providers.openai.usage import usage_of


def told(input_: int, output: int, **members: Any) -> dict[str, Any]:
    return {"prompt_tokens": input_, "completion_tokens": output, **members}


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 0}, Usage(input=5)),
        ({"prompt_tokens": 0, "completion_tokens": 5}, Usage(output=5)),
        ({"prompt_tokens": MOST_TOKENS, "completion_tokens": 1}, Usage(input=MOST_TOKENS, output=1)),
        ({"prompt_tokens": MOST_TOKENS + 1, "completion_tokens": 1}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({"prompt_tokens": 5}, None),
        ({"prompt_tokens": 5, "completion_tokens": None}, None),
        ({"prompt_tokens": 5.0, "completion_tokens": 1.0}, Usage(input=5, output=1)),
        ({"prompt_tokens": 5.5, "completion_tokens": 1}, None),
        ({"prompt_tokens": float("nan"), "completion_tokens": 1}, None),
        ({"prompt_tokens": float("inf"), "completion_tokens": 1}, None),
        ({"prompt_tokens": True, "completion_tokens": 1}, None),
        ({"prompt_tokens": -1, "completion_tokens": 1}, None),
        ("100", None),
        ([], None),
    ],
    ids=str,
)
def test_counts_are_believed_only_as_plain_numbers(reported: Any, usage: Usage | None) -> None:
    assert usage_of(reported) == usage


@pytest.mark.parametrize(
    ("reported", "output", "reasoning"),
    [
        pytest.param(
            told(100, 2, total_tokens=419, completion_tokens_details={"reasoning_tokens": 317}), 319, 317, id="xAI"
        ),
        pytest.param(
            told(65, 0, total_tokens=446, completion_tokens_details={"reasoning_tokens": 381}), 381, 381, id="no words"
        ),
        pytest.param(told(100, 2, total_tokens=419, reasoning_tokens=317), 319, 317, id="beside the counts"),
        pytest.param(told(9, 20, total_tokens=129), 120, 0, id="Google: thoughts in the total alone"),
        pytest.param(
            told(100, 319, total_tokens=419, completion_tokens_details={"reasoning_tokens": 317}), 319, 317, id="OpenAI"
        ),
        pytest.param(told(100, 7, total_tokens=0), 7, 0, id="a total of nothing"),
        pytest.param(told(100, 7, total_tokens=99), 7, 0, id="a total below its parts"),
        pytest.param(
            told(100, 7, total_tokens=300, completion_tokens_details={"reasoning_tokens": 5}),
            7,
            5,
            id="a total that nothing adds up to",
        ),
        pytest.param({"prompt_tokens": 100, "total_tokens": 110}, 10, 0, id="prompt and total alone"),
        pytest.param({"input_tokens": 100, "output_tokens": 10}, 10, 0, id="the Responses API's names"),
        pytest.param(
            {"input_tokens": 100, "output_tokens": 10, "output_tokens_details": {"reasoning_tokens": 4}},
            10,
            4,
            id="the Responses API's details",
        ),
    ],
)
def test_total_decides_whether_reasoning_stood_beside(reported: dict[str, Any], output: int, reasoning: int) -> None:
    usage = usage_of(reported)

    assert usage is not None
    assert (usage.output, usage.reasoning) == (output, reasoning)


@pytest.mark.parametrize(
    ("members", "cached"),
    [
        pytest.param({"cached_tokens": 900}, 900, id="Moonshot"),
        pytest.param({"prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 100}, 900, id="DeepSeek"),
        pytest.param({"cache_read_input_tokens": 900}, 900, id="Anthropic by LiteLLM"),
        pytest.param({"prompt_tokens_details": {"cached_tokens": 900}}, 900, id="OpenAI"),
        pytest.param({"input_tokens_details": {"cached_tokens": 900}}, 900, id="Responses API"),
        pytest.param({"prompt_tokens_details": {"cached_tokens": 300}, "cached_tokens": 900}, 300, id="nested wins"),
        pytest.param({"prompt_tokens_details": None, "cached_tokens": 900}, 900, id="nested is null"),
        pytest.param({"prompt_tokens_details": {}, "prompt_cache_hit_tokens": 900}, 900, id="nested is empty"),
        pytest.param({"cached_tokens": 5_000}, 1_000, id="more than there was"),
        pytest.param({"cached_tokens": "900"}, 0, id="text"),
    ],
)
def test_cached_tokens_are_read_wherever_they_stand(members: dict[str, Any], cached: int) -> None:
    assert usage_of(told(1_000, 10, total_tokens=1_010, **members)) == Usage(
        input=1_000, cached_input=cached, output=10
    )


def test_parts_are_counted_inside_their_whole() -> None:
    reported = told(
        10,
        8,
        prompt_tokens_details={"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 2},
        completion_tokens_details={"reasoning_tokens": 5, "audio_tokens": 1},
    )
    assert usage_of(reported) == Usage(
        input=10, cached_input=4, cache_write=3, input_audio=2, output=8, reasoning=5, output_audio=1
    )


def test_parts_larger_than_their_whole_are_cut_to_it() -> None:
    reported = told(
        10,
        8,
        prompt_tokens_details={"cached_tokens": 7, "cache_write_tokens": 7, "audio_tokens": 7},
        completion_tokens_details={"reasoning_tokens": 50, "audio_tokens": 50},
    )
    assert usage_of(reported) == Usage(input=10, cached_input=7, cache_write=3, output=8, reasoning=8)


@pytest.mark.parametrize(
    "details", [None, 5, [], {"cached_tokens": None}, {"cached_tokens": -4}, {"cached_tokens": "4"}], ids=str
)
def test_details_that_cannot_be_are_left_out(details: Any) -> None:
    assert usage_of(told(10, 5, prompt_tokens_details=details)) == Usage(input=10, output=5)


def test_endpoint_without_output_needs_no_output_count() -> None:
    assert usage_of({"prompt_tokens": 5, "total_tokens": 5}, has_output=False) == Usage(input=5)


# --- over a stream ---------------------------------------------------------------------------------------------------


def events(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)


def said(text: str, finish: str | None = None, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [choice], **members}


U = told(100, 10, total_tokens=110)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param((said("a"), said("", "stop"), {"choices": [], "usage": U}), id="alone, behind the answer"),
        pytest.param((said("a"), said("", "stop"), {"choices": None, "usage": U}), id="choices null"),
        pytest.param((said("a"), said("", "stop"), {"usage": U}), id="without choices"),
        pytest.param((said("a"), said("", "stop", usage=U)), id="with the finish reason"),
        pytest.param((said("a", usage=told(100, 1)), said("", "stop", usage=U)), id="in every chunk"),
        pytest.param((said("a"), said("", "stop", x_groq={"id": "r", "usage": U})), id="in x_groq"),
        pytest.param(
            (said("a"), {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": U}]}), id="in a choice"
        ),
    ],
)
def test_usage_is_read_wherever_it_stands_and_taken_out(chunks: tuple[dict[str, Any], ...]) -> None:
    reader = OpenAIReader()

    relayed: list[Event] = reader.feed(events(*chunks))

    assert (reader.usage, reader.is_partial) == (Usage(input=100, output=10), False)
    assert b"prompt_tokens" not in orjson.dumps([event for event in relayed if type(event) is dict])


def test_usage_before_the_last_words_is_partial() -> None:
    reader = OpenAIReader()

    reader.feed(events(said("a", usage=told(100, 1)), *[said("b")] * 3))

    assert (reader.usage, reader.is_partial) == (Usage(input=100, output=1), True)


def test_totals_that_come_one_an_answer_are_summed() -> None:
    reader = OpenAIReader(3)
    for output in (5, 7, 1):
        reader.note_usage(told(23, output), is_total=True)
    assert reader.usage == Usage(input=23, output=13)


def test_one_total_for_all_answers_is_taken_as_it_is() -> None:
    reader = OpenAIReader(3)
    reader.note_usage(told(23, 5), is_total=False)
    reader.note_usage(told(23, 13), is_total=True)
    assert reader.usage == Usage(input=23, output=13)


def test_more_totals_than_answers_are_running_totals() -> None:
    reader = OpenAIReader(2)
    for output in (5, 7, 14):
        reader.note_usage(told(23, output), is_total=True)
    assert reader.usage == Usage(input=23, output=14)


@pytest.mark.parametrize("usage", [None, 5, "x", {}, {"prompt_tokens": None}], ids=str)
def test_usage_that_says_nothing_does_not_undo_what_was_told(usage: Any) -> None:
    reader = OpenAIReader()

    reader.feed(events(said("a", "stop", usage=U), {"choices": [], "usage": usage}))

    assert reader.usage == Usage(input=100, output=10)
