"""Anthropic's counts: cached and written tokens beside the input, cumulative from event to event."""

from __future__ import annotations

from typing import Any

import pytest

from billing.kinds import Usage
from routing.providers.anthropic.usage import merged, tells_output, usage_of

MOST = 100_000_000


@pytest.mark.parametrize(
    ("reported", "counted"),
    [
        pytest.param({"input_tokens": 25, "output_tokens": 15}, Usage(input=25, output=15), id="plain"),
        pytest.param({"input_tokens": 25.0, "output_tokens": 15.0}, Usage(input=25, output=15), id="floating"),
        pytest.param({"input_tokens": "25", "output_tokens": 15}, Usage(input=25, output=15), id="digits"),
        pytest.param(
            {"input_tokens": 50, "cache_read_input_tokens": 100_000, "output_tokens": 5},
            Usage(input=100_050, cached_input=100_000, output=5),
            id="read",
        ),
        pytest.param(
            {"input_tokens": 50, "cache_creation_input_tokens": 248, "output_tokens": 5},
            Usage(input=298, cache_write=248, output=5),
            id="written",
        ),
        pytest.param(
            {
                "input_tokens": 2_048,
                "cache_read_input_tokens": 1_800,
                "cache_creation_input_tokens": 248,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 503,
                "total_tokens": 99,
            },
            Usage(input=4_096, cached_input=1_800, cache_write=248, cache_write_1h=100, output=503),
            id="all beside each other",
        ),
        pytest.param(
            {"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 7}, "output_tokens": 1},
            Usage(input=8, cache_write=7, cache_write_1h=7, output=1),
            id="for an hour, without a sum",
        ),
        pytest.param(
            {"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 7}, "output_tokens": 1},
            Usage(input=8, cache_write=7, output=1),
            id="for five minutes, without a sum",
        ),
        pytest.param(
            {"input_tokens": 0, "cache_read_input_tokens": 9, "output_tokens": 1},
            Usage(input=9, cached_input=9, output=1),
            id="everything read",
        ),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 5}},
            Usage(input=9, output=7, reasoning=5),
            id="thought",
        ),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 8}},
            Usage(input=9, output=7, reasoning=7),
            id="no more thought than output",
        ),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 7, "output_tokens_details": None, "cache_creation": None,
             "cache_read_input_tokens": None, "cache_creation_input_tokens": None},
            Usage(input=9, output=7),
            id="null is nothing",
        ),
        pytest.param({"input_tokens": 9, "output_tokens": 0}, Usage(input=9), id="no output"),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 7, "iterations": [
                {"type": "compaction", "input_tokens": 1_000, "output_tokens": 60, "cache_read_input_tokens": 400,
                 "cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_1h_input_tokens": 20}},
                {"type": "message", "input_tokens": 9, "output_tokens": 7},
                {"type": "compaction", "input_tokens": 500, "output_tokens": 3},
            ]},
            Usage(input=1_939, cached_input=400, cache_write=30, cache_write_1h=20, output=70),
            id="summaries beside it",
        ),
        pytest.param(
            {"input_tokens": 0, "output_tokens": 0,
             "iterations": [{"type": "compaction", "input_tokens": 500, "output_tokens": 3}]},
            Usage(input=500, output=3),
            id="a summary alone",
        ),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 7,
             "iterations": [5, {"type": "compaction", "input_tokens": -5, "output_tokens": 3}, {"type": "compaction"}]},
            Usage(input=9, output=7),
            id="summaries that cannot be believed",
        ),
        pytest.param({"input_tokens": 0, "output_tokens": 9}, Usage(output=9), id="no input"),
        pytest.param({"input_tokens": MOST - 1, "output_tokens": 1}, Usage(input=MOST - 1, output=1), id="the most"),
        pytest.param({"prompt_tokens": 9, "completion_tokens": 7}, Usage(input=9, output=7), id="in OpenAI's words"),
        pytest.param(
            {"input_tokens": 10, "output_tokens": 7, "cache_read_input_tokens": 90, "cached_tokens": 5},
            Usage(input=100, cached_input=90, output=7),
            id="read, in both words",
        ),
        pytest.param(
            {"input_tokens": 10, "output_tokens": 7, "cache_creation_input_tokens": 90, "cached_tokens": 5},
            Usage(input=100, cache_write=90, output=7),
            id="written, in both words",
        ),
        pytest.param(
            {"input_tokens": 9, "output_tokens": 7,
             "iterations": [{"type": "compaction", "input_tokens": 1, "output_tokens": 1}] * 1_001},
            Usage(input=1_009, output=1_007),
            id="more summaries than anyone makes",
        ),
    ],
)  # fmt: skip
def test_usage_is_counted_by_kind(reported: dict[str, Any], counted: Usage) -> None:
    assert usage_of(reported) == counted


@pytest.mark.parametrize(
    "reported",
    [
        {},
        {"input_tokens": 0, "output_tokens": 0},
        {"input_tokens": 9},
        {"input_tokens": 9, "output_tokens": None},
        {"input_tokens": -1, "output_tokens": 5},
        {"input_tokens": 5, "output_tokens": -1},
        {"input_tokens": True, "output_tokens": 5},
        {"input_tokens": 5.5, "output_tokens": 5},
        {"input_tokens": "five", "output_tokens": 5},
        {"input_tokens": MOST, "output_tokens": 1},
        {"input_tokens": MOST + 1, "output_tokens": 0},
        {"output_tokens": 5},
        {"prompt_tokens": -1},
    ],
    ids=str,
)
def test_counts_that_cannot_be_believed_are_none(reported: dict[str, Any]) -> None:
    assert usage_of(reported) is None


def counts(input_: Any, output: Any) -> dict[str, Any]:
    return {"input_tokens": input_, "output_tokens": output}


@pytest.mark.parametrize(
    ("before", "told", "known"),
    [
        (counts(25, 1), {"output_tokens": 15}, counts(25, 15)),
        (counts(25, 1), counts(0, 0), counts(25, 1)),
        (counts(0, 0), counts(9, 4), counts(9, 4)),
        ({"input_tokens": 25}, counts(None, 4), counts(25, 4)),
        ({}, {"input_tokens": 0, "service_tier": None}, {"input_tokens": 0, "service_tier": None}),
        ({"input_tokens": 2_679}, {"input_tokens": 10_682}, {"input_tokens": 10_682}),
    ],
)
def test_later_counts_are_cumulative_and_zeros_take_nothing_back(before: Any, told: Any, known: Any) -> None:
    assert merged(before, told) == known


@pytest.mark.parametrize(
    ("told", "does"),
    [
        ({"output_tokens": 1}, True),
        ({"completion_tokens": 1}, True),
        ({"output_tokens": 0}, False),
        ({"input_tokens": 5}, False),
    ],
)
def test_whether_the_output_is_told(told: dict[str, Any], does: bool) -> None:
    assert tells_output(told) is does
