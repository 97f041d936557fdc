"""How answers end, and what they used: the tables, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from billing.kinds import Usage
from routing.providers.base import MOST_TOKENS, MalformedAnswer
from routing.providers.gemini.usage import usage_of
from routing.providers.gemini.words import blocked, finish_reason


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("ESCALATION", "content_filter"),
        ("JAILBREAK", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_RECITATION", "content_filter"),
        ("stop", "stop"),
        ("FINISH_REASON_UNSPECIFIED", None),
        ("", None),
        (None, None),
        (5, None),
        ("NEWLY_MADE", None),
    ],
)
def test_finish_reason_is_the_public_schemas(said: Any, meant: str | None) -> None:
    assert finish_reason(said) == meant


@pytest.mark.parametrize(
    "said",
    ["OTHER", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
     "MALFORMED_RESPONSE", "PUP_LIMITED_DISABLED", "IMAGE_OTHER", "NO_IMAGE", "MALFORMED_SOMETHING_NEW"],
)  # fmt: skip
def test_failure_is_never_flattened(said: str) -> None:
    with pytest.raises(MalformedAnswer):
        finish_reason(said)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "SAFETY"),
        ({"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}}, ""),
        ({"promptFeedback": {"blockReason": 5}}, ""),
        ({"promptFeedback": {}}, ""),
        ({"promptFeedback": []}, ""),
        ({}, ""),
    ],
)
def test_prompt_is_blocked_for_a_reason(answer: dict[str, Any], reason: str) -> None:
    assert blocked(answer) == reason


def told(**counts: Any) -> dict[str, Any]:
    names = {"prompt": "promptTokenCount", "answer": "candidatesTokenCount", "thoughts": "thoughtsTokenCount",
             "tools": "toolUsePromptTokenCount", "total": "totalTokenCount", "cached": "cachedContentTokenCount",
             "heard": "promptTokensDetails", "spoken": "candidatesTokensDetails"}  # fmt: skip
    return {names[name]: value for name, value in counts.items()}


def sound(count: Any) -> list[dict[str, Any]]:
    return [{"modality": "TEXT", "tokenCount": 1}, {"modality": "AUDIO", "tokenCount": count}]


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (told(prompt=10, answer=5, total=15), Usage(input=10, output=5)),
        (told(prompt=34, answer=418, thoughts=438, total=890), Usage(input=34, output=856, reasoning=438)),
        (told(prompt=10, thoughts=7, total=17), Usage(input=10, output=7, reasoning=7)),
        (told(prompt=10, answer=5, tools=4, total=19), Usage(input=14, output=5)),
        (told(prompt=10, answer=5, cached=4), Usage(input=10, cached_input=4, output=5)),
        (told(prompt=10, answer=5, cached=40), Usage(input=10, cached_input=10, output=5)),
        (told(prompt=10, total=10), Usage(input=10)),
        (told(prompt=10, answer=0), Usage(input=10)),
        (told(prompt=5, answer=5), Usage(input=5, output=5)),
        (told(prompt=10, total=17), Usage(input=10, output=7)),
        (told(prompt=10, answer=2, total=17), Usage(input=10, output=7)),
        (told(prompt=10, answer=2, thoughts=1, total=17), Usage(input=10, output=3, reasoning=1)),
        (told(prompt=10, answer=5, total=3), Usage(input=10, output=5)),
        (told(prompt="10", answer="5"), Usage(input=10, output=5)),
        (told(prompt=10, answer=5, heard=sound(4)), Usage(input=10, input_audio=4, output=5)),
        (told(prompt=10, answer=5, cached=8, heard=sound(4)), Usage(input=10, cached_input=8, input_audio=2, output=5)),
        (told(prompt=10, answer=5, spoken=sound(3)), Usage(input=10, output=5, output_audio=3)),
        (
            told(prompt=10, answer=2, thoughts=3, spoken=sound(4)),
            Usage(input=10, output=5, reasoning=3, output_audio=2),
        ),
        (told(prompt=10, answer=5, heard="x", spoken=[5]), Usage(input=10, output=5)),
        (told(prompt=10, answer=5, heard=sound(-1)), Usage(input=10, output=5)),
        (told(answer=5), Usage(output=5)),
        (told(prompt=MOST_TOKENS - 1, answer=1), Usage(input=MOST_TOKENS - 1, output=1)),
        (told(prompt="0" * 8 + "10", answer=5), Usage(input=10, output=5)),
        (told(prompt="0" * 9 + "10", answer=5), None),
        (told(prompt=MOST_TOKENS, answer=1), None),
        (told(prompt=MOST_TOKENS + 1), None),
        (told(prompt=10, answer=-1), None),
        (told(prompt=10, answer=True), None),
        (told(prompt=10, answer=1.5), None),
        (told(prompt="x"), None),
        (told(prompt="٣"), None),
        (told(prompt=0, answer=0, total=0), None),
        ({"trafficType": "ON_DEMAND"}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_counts_are_by_kind(reported: Any, usage: Usage | None) -> None:
    assert usage_of(reported) == usage


BEFORE = Usage(input=10, cached_input=4, output=5, reasoning=2)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (told(prompt=0, answer=0, total=0), None),
        (told(answer=4), None),
        (told(answer=5), Usage(input=10, cached_input=4, output=5)),
        (told(answer=6, thoughts=3), Usage(input=10, cached_input=4, output=9, reasoning=3)),
        (told(prompt=11, answer=1), Usage(input=11, output=1)),
        (told(prompt=11, total=18), Usage(input=11, output=7)),
        (told(total=18), None),
    ],
)
def test_what_was_told_is_not_taken_back(reported: Any, usage: Usage | None) -> None:
    assert usage_of(reported, BEFORE) == usage
