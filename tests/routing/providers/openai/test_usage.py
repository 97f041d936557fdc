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
        (told(0, 0, total_tokens=0), None),
        (told(-1, 3, total_tokens=2), None),
        (told(5, 5), Usage(input=5, output=5)),
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
        pytest.param(told(100, 2, reasoning_tokens=317), 319, 317, id="no total, but more reasoning than completion"),
        pytest.param(told(100, 2, total_tokens=0, reasoning_tokens=3), 5, 3, id="a total of nothing, more reasoning"),
        pytest.param(told(100, 2, total_tokens=102, reasoning_tokens=3), 2, 2, id="the total says inside"),
        pytest.param(told(100, 7, reasoning_tokens=7), 7, 7, id="all of it reasoning"),
        pytest.param(
            told(1, 7, reasoning_tokens=MOST_TOKENS - 7), MOST_TOKENS, MOST_TOKENS - 7, id="as much as can be believed"
        ),
        pytest.param(told(1, 7, reasoning_tokens=MOST_TOKENS - 6), 7, 7, id="more than can be believed"),
        pytest.param({"prompt_tokens": 100, "total_tokens": 110}, 10, 0, id="prompt and total alone"),
        pytest.param({"prompt_tokens": 100, "total_tokens": 100}, 0, 0, id="prompt and total alone, nothing written"),
        pytest.param({"input_tokens": 100, "total_tokens": 110, "cache_read_input_tokens": 900}, 10, 0, id="no output"),
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
        pytest.param({"num_cached_tokens": 900, "prompt_audio_seconds": None}, 900, id="Mistral"),
        pytest.param({"cached_prompt_text_tokens": 900}, 900, id="xAI"),
        pytest.param({"cached_content_token_count": 900}, 900, id="Google's client library"),
        pytest.param({"cachedContentTokenCount": 900}, 900, id="Google"),
        pytest.param({"prompt_cached_tokens": 900}, 900, id="a neighbour"),
        pytest.param({"cached_tokens": 0, "prompt_cache_hit_tokens": 900}, 900, id="one name as zero"),
        pytest.param({"prompt_tokens_details": {"cached_tokens": 900}, "cache_read_input_tokens": 900}, 900, id="both"),
        pytest.param({"cached_tokens": 5_000}, 1_000, id="more than there was"),
        pytest.param({"cached_tokens": "900"}, 900, id="digits as text"),
        pytest.param({"cached_tokens": "many"}, 0, id="words"),
        pytest.param({"cached_tokens": "-900"}, 0, id="a sign as text"),
        pytest.param({"cached_tokens": "9e2"}, 0, id="a power as text"),
        pytest.param({"cached_tokens": " 900"}, 0, id="a space and digits"),
        pytest.param({"cached_tokens": "٩٠٠"}, 0, id="other digits"),
    ],
)
def test_cached_tokens_are_read_wherever_they_stand(members: dict[str, Any], cached: int) -> None:
    assert usage_of(told(1_000, 10, total_tokens=1_010, **members)) == Usage(
        input=1_000, cached_input=cached, output=10
    )


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        pytest.param(
            told(100, 10, total_tokens=1_010, cache_read_input_tokens=900),
            Usage(input=1_000, cached_input=900, output=10),
            id="read, in the total",
        ),
        pytest.param(
            told(100, 10, total_tokens=1_510, cache_read_input_tokens=900, cache_creation_input_tokens=500),
            Usage(input=1_500, cached_input=900, cache_write=500, output=10),
            id="read and written, in the total",
        ),
        pytest.param(
            told(100, 10, total_tokens=610, cache_creation_input_tokens=500),
            Usage(input=600, cache_write=500, output=10),
            id="written, in the total",
        ),
        pytest.param(
            told(1_000, 10, total_tokens=1_510, cache_read_input_tokens=900, cache_creation_input_tokens=500),
            Usage(input=1_500, cached_input=900, cache_write=500, output=10),
            id="written alone in the total, as LiteLLM once counted",
        ),
        pytest.param(
            told(600, 10, total_tokens=1_510, cache_read_input_tokens=900, cache_creation_input_tokens=500),
            Usage(input=1_500, cached_input=900, cache_write=500, output=10),
            id="read alone in the total",
        ),
        pytest.param(
            told(1_000, 10, total_tokens=1_010, cache_read_input_tokens=900, cache_creation_input_tokens=50),
            Usage(input=1_000, cached_input=900, cache_write=50, output=10),
            id="LiteLLM: inside, the total says",
        ),
        pytest.param(
            told(100, 10, total_tokens=1_030, cache_read_input_tokens=900, reasoning_tokens=20),
            Usage(input=1_000, cached_input=900, output=30, reasoning=20),
            id="reasoning beside as well",
        ),
        pytest.param(
            told(100, 30, total_tokens=1_030, cache_read_input_tokens=900, reasoning_tokens=20),
            Usage(input=1_000, cached_input=900, output=30, reasoning=20),
            id="reasoning inside",
        ),
        pytest.param(
            told(100, 10, total_tokens=1_015, cache_read_input_tokens=900),
            Usage(input=1_000, cached_input=900, output=15),
            id="cannot be inside, thoughts in the total alone",
        ),
        pytest.param(
            told(100, 10, total_tokens=110, cache_read_input_tokens=900),
            Usage(input=1_000, cached_input=900, output=10),
            id="cannot be inside, whatever the total says",
        ),
        pytest.param(
            told(100, 10, total_tokens=110, cache_read_input_tokens=60, cache_creation_input_tokens=41),
            Usage(input=201, cached_input=60, cache_write=41, output=10),
            id="cannot be inside together",
        ),
        pytest.param(
            told(100, 10, total_tokens=110, cache_read_input_tokens=60, cache_creation_input_tokens=40),
            Usage(input=100, cached_input=60, cache_write=40, output=10),
            id="all of it from the cache",
        ),
        pytest.param(
            told(100, 10, total_tokens=1_010, prompt_tokens_details={"cached_tokens": 900}),
            Usage(input=1_000, cached_input=900, output=10),
            id="OpenAI's place, but more than the prompt, and the total",
        ),
        pytest.param(
            told(100, 10, total_tokens=110, prompt_tokens_details={"cached_tokens": 900}),
            Usage(input=100, cached_input=100, output=10),
            id="OpenAI's place, more than the prompt, not in the total",
        ),
        pytest.param(
            told(1_000, 10, total_tokens=1_110, prompt_tokens_details={"cached_tokens": 100}),
            Usage(input=1_000, cached_input=100, output=110),
            id="Google: as many thoughts as there were cached",
        ),
        pytest.param(
            {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 900},
            Usage(input=1_000, cached_input=900, output=10),
            id="Anthropic",
        ),
        pytest.param(
            {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 9, "cache_creation_input_tokens": 5},
            Usage(input=114, cached_input=9, cache_write=5, output=10),
            id="Anthropic, less than the rest",
        ),
        pytest.param(
            {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 5},
            Usage(input=110, cached_input=5, cache_write=5, output=10),
            id="Anthropic, as much read as written",
        ),
        pytest.param(
            {"input_tokens": 100, "output_tokens": 10, "cache_creation_input_tokens": 5},
            Usage(input=105, cache_write=5, output=10),
            id="Anthropic, written alone",
        ),
        pytest.param(
            {"input_tokens": 0, "output_tokens": 10, "cache_read_input_tokens": 9},
            Usage(input=9, cached_input=9, output=10),
            id="Anthropic, nothing but the cache",
        ),
        pytest.param(
            {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "cache_read_input_tokens": 90},
            Usage(input=100, cached_input=90, output=10),
            id="Anthropic's words with a total: inside",
        ),
        pytest.param(
            told(100, 10, cache_read_input_tokens=90), Usage(input=100, cached_input=90, output=10), id="OpenAI's input"
        ),
        pytest.param(
            {"input_tokens": 100, "output_tokens": 10, "cached_tokens": 90, "cache_read_input_tokens": 0},
            Usage(input=100, cached_input=90, output=10),
            id="no word of Anthropic's counts anything",
        ),
        pytest.param(
            {"input_tokens": 1, "output_tokens": 10, "cache_read_input_tokens": MOST_TOKENS - 1},
            Usage(input=MOST_TOKENS, cached_input=MOST_TOKENS - 1, output=10),
            id="as much as can be believed",
        ),
        pytest.param(
            {"input_tokens": 1, "output_tokens": 10, "cache_read_input_tokens": MOST_TOKENS},
            Usage(input=1, cached_input=1, output=10),
            id="more than can be believed",
        ),
    ],
)
def test_cache_beside_the_prompt_is_input_and_never_output(reported: dict[str, Any], usage: Usage) -> None:
    """Anthropic: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance."""
    assert usage_of(reported) == usage


def anthropic(written: Any, parts: Any, **members: Any) -> dict[str, Any]:
    counts = {"input_tokens": 100, "output_tokens": 10, "cache_creation_input_tokens": written}
    return {**counts, "cache_creation": parts, **members}


def kept(short: Any, hour: Any) -> dict[str, Any]:
    return {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        pytest.param(
            anthropic(248, kept(148, 100)),
            Usage(input=348, cache_write=248, cache_write_1h=100, output=10),
            id="Anthropic's own example",
        ),
        pytest.param(
            anthropic(248, kept(148, 100), cache_read_input_tokens=1_800),
            Usage(input=2_148, cached_input=1_800, cache_write=248, cache_write_1h=100, output=10),
            id="read as well",
        ),
        pytest.param(anthropic(248, kept(248, 0)), Usage(input=348, cache_write=248, output=10), id="none for an hour"),
        pytest.param(
            anthropic(248, kept(0, 248)),
            Usage(input=348, cache_write=248, cache_write_1h=248, output=10),
            id="all for an hour",
        ),
        pytest.param(
            anthropic(200, kept(148, 100)),
            Usage(input=348, cache_write=248, cache_write_1h=100, output=10),
            id="the parts are more than the sum that is told",
        ),
        pytest.param(anthropic(248, None), Usage(input=348, cache_write=248, output=10), id="no parts"),
        pytest.param(anthropic(248, [100]), Usage(input=348, cache_write=248, output=10), id="parts of another shape"),
        pytest.param(
            anthropic(248, kept(None, "some")), Usage(input=348, cache_write=248, output=10), id="parts are no counts"
        ),
        pytest.param(
            told(1_000, 10, cache_creation=kept(0, 5_000)),
            Usage(input=1_000, cache_write=1_000, cache_write_1h=1_000, output=10),
            id="more than there was",
        ),
        pytest.param(
            told(
                348,
                10,
                total_tokens=358,
                prompt_tokens_details={"cached_tokens": 0, "cache_creation_token_details": kept(148, 100)},
            ),
            Usage(input=348, cache_write=248, cache_write_1h=100, output=10),
            id="LiteLLM",
        ),
    ],
)
def test_cache_writes_of_an_hour_are_a_part_of_the_writes(reported: dict[str, Any], usage: Usage) -> None:
    """Anthropic: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#1-hour-cache-duration."""
    assert usage_of(reported) == usage


def test_cache_beside_the_prompt_of_an_endpoint_without_output() -> None:
    reported = {"prompt_tokens": 5, "total_tokens": 12, "cache_read_input_tokens": 7}
    assert usage_of(reported, has_output=False) == Usage(input=12, cached_input=7)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        pytest.param(
            told(0, 0, total_tokens=110, input_tokens=100, output_tokens=10),
            Usage(input=100, output=10),
            id="new-api: OpenAI's names as zero",
        ),
        pytest.param(
            told(100, 10, total_tokens=110, input_tokens=0, output_tokens=0),
            Usage(input=100, output=10),
            id="new-api: the other names as zero",
        ),
        pytest.param(told(100, 10, input_tokens=7, output_tokens=7), Usage(input=100, output=10), id="both, OpenAI's"),
        pytest.param(
            {
                "inputTokens": 100,
                "outputTokens": 10,
                "totalTokens": 1_015,
                "cacheReadInputTokens": 900,
                "cacheWriteInputTokens": 5,
            },
            Usage(input=1_005, cached_input=900, cache_write=5, output=10),
            id="Bedrock's Converse",
        ),
        pytest.param(
            {
                "inputTokenCount": 100,
                "outputTokenCount": 10,
                "invocationLatency": 1_234,
                "cacheReadInputTokenCount": 900,
                "cacheWriteInputTokenCount": 5,
            },
            Usage(input=1_005, cached_input=900, cache_write=5, output=10),
            id="Bedrock's metrics",
        ),
        pytest.param(
            {
                "promptTokenCount": 100,
                "candidatesTokenCount": 10,
                "thoughtsTokenCount": 20,
                "totalTokenCount": 130,
                "cachedContentTokenCount": 60,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
            },
            Usage(input=100, cached_input=60, output=30, reasoning=20),
            id="Google",
        ),
        pytest.param(
            {"promptTokenCount": 100, "thoughtsTokenCount": 20, "totalTokenCount": 120},
            Usage(input=100, output=20, reasoning=20),
            id="Google, nothing but thoughts",
        ),
        pytest.param(
            {
                "prompt_token_count": 100,
                "candidates_token_count": 10,
                "thoughts_token_count": 20,
                "total_token_count": 130,
                "cached_content_token_count": 60,
            },
            Usage(input=100, cached_input=60, output=30, reasoning=20),
            id="Google's client library",
        ),
        pytest.param(
            {
                "billed_units": {"input_tokens": 90, "output_tokens": 9},
                "tokens": {"input_tokens": 100.0, "output_tokens": 10.0},
                "cached_tokens": 60,
            },
            Usage(input=100, cached_input=60, output=10),
            id="Cohere",
        ),
        pytest.param(
            {"billed_units": {"input_tokens": 90, "output_tokens": 9}, "tokens": None},
            Usage(input=90, output=9),
            id="Cohere, what is billed alone",
        ),
        pytest.param(told(100, 10, tokens=5, inputTokens=7), Usage(input=100, output=10), id="OpenAI's words win"),
        pytest.param({"inputTokens": -1, "outputTokens": 5}, None, id="not to be believed"),
    ],
)
def test_counts_are_read_in_the_words_of_other_vendors(reported: dict[str, Any], usage: Usage | None) -> None:
    assert usage_of(reported) == usage


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
        total_tokens=18,
        prompt_tokens_details={"cached_tokens": 7, "cache_write_tokens": 7, "audio_tokens": 7},
        completion_tokens_details={"reasoning_tokens": 50, "audio_tokens": 50},
    )
    assert usage_of(reported) == Usage(input=10, cached_input=7, cache_write=3, output=8, reasoning=8)


@pytest.mark.parametrize(
    "details", [None, 5, [], {"cached_tokens": None}, {"cached_tokens": -4}, {"cached_tokens": "four"}], ids=str
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
GOOGLE = {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110}


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
        pytest.param(
            (said("a"), {"choices": [{"index": 0, "delta": {"usage": U}, "finish_reason": "stop"}]}), id="in a delta"
        ),
        pytest.param(
            (said("a", usage=told(7, 1)), {"choices": [{"message": {"usage": U}, "finish_reason": "stop"}]}),
            id="in a message",
        ),
        pytest.param((said("a"), said("", "stop", usageMetadata=GOOGLE)), id="Google's place"),
        pytest.param((said("a"), said("", "stop", usage_metadata=GOOGLE)), id="Google's place in another spelling"),
        pytest.param((said("a"), said("", "stop", usage=None, usageMetadata=GOOGLE)), id="beside a null"),
        pytest.param((said("a"), said("", "stop", usage=told(0, 0), x_groq={"usage": U})), id="beside zeros"),
        pytest.param((said("a"), said("", "stop", usage=U, x_groq={"usage": told(7, 7)})), id="in two places"),
        pytest.param(
            (
                said("a"),
                said(
                    "", "stop", **{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 100, "outputTokenCount": 10}}
                ),
            ),
            id="Bedrock's place",
        ),
        pytest.param(
            (said("", usage=told(100, 0, total_tokens=100)), said("a"), said("", "stop", usage=told(0, 10))),
            id="Anthropic's two events",
        ),
    ],
)
def test_usage_is_read_wherever_it_stands_and_taken_out(chunks: tuple[dict[str, Any], ...]) -> None:
    reader = OpenAIReader()

    relayed: list[Event] = reader.feed(events(*chunks))

    assert (reader.usage, reader.is_partial) == (Usage(input=100, output=10), False)
    shown = orjson.dumps([event for event in relayed if type(event) is dict])
    assert not [word for word in (b"prompt_tokens", b"TokenCount") if word in shown]


def whole(choice: dict[str, Any] | None = None, message: dict[str, Any] | None = None, **members: Any) -> bytes:
    said = {"role": "assistant", "content": "a", **(message or {})}
    return orjson.dumps({"choices": [{"message": said, "finish_reason": "stop", **(choice or {})}], **members})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(whole(usage=U), id="beside the choices"),
        pytest.param(whole({"usage": U}), id="in a choice"),
        pytest.param(whole({"usage": U}, usage=None), id="in a choice, beside a null"),
        pytest.param(whole({"usage": U}, usage=told(0, 0)), id="in a choice, beside zeros"),
        pytest.param(whole({"usage": told(7, 7)}, usage=U), id="in two places"),
        pytest.param(whole(message={"usage": U}), id="in a message"),
        pytest.param(whole({"message": None, "delta": {"content": "a", "usage": U}}), id="in a delta"),
        pytest.param(whole(x_groq={"id": "r", "usage": U}), id="in x_groq"),
        pytest.param(whole(x_groq="r", usageMetadata=GOOGLE), id="Google's place"),
        pytest.param(whole(usage_metadata=GOOGLE, error=None), id="Google's place in another spelling"),
        pytest.param(
            whole(**{"amazon-bedrock-invocationMetrics": {"inputTokenCount": 100, "outputTokenCount": 10}}),
            id="Bedrock's place",
        ),
    ],
)
def test_usage_of_a_whole_answer_is_read_wherever_it_stands_and_taken_out(body: bytes) -> None:
    reader = OpenAIReader(2)

    answer = reader.whole(body)

    assert reader.usage == Usage(input=100, output=10)
    assert not [word for word in (b"usage", b"prompt_tokens", b"TokenCount") if word in orjson.dumps(answer)]


def test_no_later_count_undoes_the_input() -> None:
    reader = OpenAIReader()
    first = {"input_tokens": 100, "output_tokens": 1, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 5}
    last = told(0, 10, completion_tokens_details={"reasoning_tokens": 4, "audio_tokens": 3})

    reader.feed(events(said("a", usage=first), said("", "stop", usage=last)))

    assert reader.usage == Usage(input=1_005, cached_input=900, cache_write=5, output=10, reasoning=4, output_audio=3)


def test_a_later_count_of_the_input_replaces_the_first() -> None:
    reader = OpenAIReader()
    reader.feed(events(said("a", usage=told(100, 1)), said("", "stop", usage=told(7, 10))))
    assert reader.usage == Usage(input=7, output=10)


def test_total_in_two_places_of_one_chunk_is_counted_once() -> None:
    reader = OpenAIReader(2)
    reader.feed(events(said("a", "stop"), {"choices": [], "usage": U, "x_groq": {"usage": U}}))
    assert reader.usage == Usage(input=100, output=10)


@pytest.mark.parametrize("nothing", [{}, {"usage": None}], ids=str)
def test_a_delta_without_figures_leaves_early_usage_partial(nothing: dict[str, Any]) -> None:
    reader = OpenAIReader()
    later = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "b", **nothing}}]}

    relayed = reader.feed(events(said("a", usage=told(100, 1)), later))

    assert (reader.usage, reader.is_partial, len(relayed)) == (Usage(input=100, output=1), True, 2)


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


@pytest.mark.parametrize(
    "reported",
    [
        pytest.param({"promptTokens": 100, "completionTokens": 10, "totalTokens": 110}, id="camel case"),
        pytest.param({"prompt_eval_count": 100, "eval_count": 10}, id="Ollama"),
        pytest.param({"prompt_tokens": 100, "completion_tokens": 10, "cached_input_tokens": 90}, id="cached input"),
    ],
)
def test_counts_under_other_names_are_counts(reported: dict[str, Any]) -> None:
    cached = reported.get("cached_input_tokens", 0)

    assert usage_of(reported) == Usage(input=100, cached_input=cached, output=10)
