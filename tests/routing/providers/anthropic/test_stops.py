"""Why an answer ended."""

from __future__ import annotations

from typing import Any

import pytest

from routing.providers.anthropic.stops import FINISH, finish_of, stop_of
from routing.providers.base import MalformedAnswer


def test_table_is_anthropics_list() -> None:
    assert FINISH == {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "refusal": "content_filter",
    }


@pytest.mark.parametrize("has_calls", [False, True])
@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("MAX_TOKENS", "length"),
        ("length", "length"),
        ("compaction", None),
        ("", None),
        (None, None),
        (5, None),
        ({"type": "length"}, "length"),
    ],
)
def test_reasons_are_said_in_chats_words(reason: Any, finish: str | None, has_calls: bool) -> None:
    assert finish_of(reason, has_calls=has_calls) == finish


@pytest.mark.parametrize("reason", ["end_turn", "stop_sequence", "stop", "eos"])
def test_answer_that_calls_tools_ends_for_them(reason: str) -> None:
    assert finish_of(reason, has_calls=False) == "stop"
    assert finish_of(reason, has_calls=True) == "tool_calls"


@pytest.mark.parametrize("reason", ["error", "network_error", "aborted"])
def test_failure_is_none_of_them(reason: str) -> None:
    with pytest.raises(MalformedAnswer):
        finish_of(reason, has_calls=False)


@pytest.mark.parametrize(
    ("reason", "has_calls", "own"),
    [
        ("stop_sequence", False, "stop_sequence"),
        ("model_context_window_exceeded", False, "model_context_window_exceeded"),
        ("pause_turn", True, "pause_turn"),
        ("stop_sequence", True, "stop_sequence"),
        ("end_turn", True, "tool_use"),
        ("tool_calls", False, "tool_use"),
        ("length", True, "max_tokens"),
        ("a new one", False, "end_turn"),
    ],
)
def test_reason_of_anthropics_stays_and_others_are_said_in_its_words(reason: str, has_calls: bool, own: str) -> None:
    assert stop_of(reason, finish_of(reason, has_calls=has_calls)) == own
