"""Which counts are billed: the upstream's where they can be believed, else what was received."""

from __future__ import annotations

from typing import Any

import pytest

from billing.kinds import NOTHING, Usage
from routing.pipeline.counts import counted, most_output, remarks
from routing.providers.openai import OpenAIReader

RECEIVED = Usage(input=90, output=20)
TOO_MUCH = "the upstream counted more output than its cap allows; the output was estimated"


def reader(usage: Usage | None, *, remark: str = "", **members: Any) -> OpenAIReader:
    """A reader that has come to this."""
    made = OpenAIReader()
    made.usage, made.ends.remark = usage, remark
    for name, value in members.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(("cap", "answers", "most"), [(0, 1, 64), (100, 1, 189), (100, 3, 439), (7, 1, 72)])
def test_upstream_may_pass_its_cap_by_a_quarter_and_some_tokens(cap: int, answers: int, most: int) -> None:
    assert most_output(cap, answers) == most


def test_output_that_no_cap_bounds_may_come_on_top() -> None:
    assert most_output(100, 1, 60) == 160 + 40 + 64


@pytest.mark.parametrize(
    ("told", "members", "usage", "source"),
    [
        pytest.param(Usage(input=80, output=30), {}, Usage(input=80, output=30), "upstream", id="believed"),
        pytest.param(Usage(output=100), {}, Usage(output=100), "upstream", id="at most"),
        pytest.param(Usage(output=9), {"is_exact": False}, Usage(output=9), "estimated", id="not exact"),
        pytest.param(None, {}, RECEIVED, "estimated", id="none told"),
        pytest.param(Usage(input=80, output=101), {}, Usage(input=80, output=20), "estimated", id="too much"),
        pytest.param(
            Usage(output=101, reasoning=101), {}, Usage(output=20, reasoning=20), "estimated", id="too much reasoning"
        ),
        pytest.param(Usage(output=19), {"is_partial": True}, Usage(output=20), "estimated", id="told too early"),
        pytest.param(Usage(output=20), {"is_partial": True}, Usage(output=20), "upstream", id="told at the end"),
        pytest.param(Usage(output=21), {"is_partial": True}, Usage(output=21), "upstream", id="told more"),
        pytest.param(Usage(output=19), {}, Usage(output=19), "upstream", id="less than received"),
    ],
)
def test_upstreams_counts_are_billed_where_they_can_be_believed(
    told: Usage | None, members: dict[str, Any], usage: Usage, source: str
) -> None:
    assert counted(reader(told, **members), lambda: RECEIVED, 100) == (usage, source)


def test_estimate_of_nothing_has_no_source() -> None:
    assert counted(reader(None), lambda: NOTHING, 100) == (NOTHING, "none")


def test_estimate_is_never_above_the_most() -> None:
    assert counted(reader(Usage(output=11)), lambda: RECEIVED, 10) == (Usage(output=10), "estimated")


@pytest.mark.parametrize(
    ("told", "remark", "found"),
    [
        (None, "", []),
        (Usage(output=100), "", []),
        (Usage(output=101), "", [TOO_MUCH]),
        (Usage(output=100), "odd", ["odd"]),
        (None, "odd", ["odd"]),
        (Usage(output=101), "odd", ["odd", TOO_MUCH]),
    ],
)
def test_what_is_odd_about_an_answer_is_said(told: Usage | None, remark: str, found: list[str]) -> None:
    assert list(remarks(reader(told, remark=remark), 100)) == found
