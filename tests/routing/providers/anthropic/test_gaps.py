"""What Anthropic's format cannot say is named, and nothing is lost in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from routing.endpoints.chat.schema import ChatRequest
from routing.providers.anthropic import ANTHROPIC
from routing.providers.anthropic.gaps import GAPS, HINTS, SAID
from routing.providers.base import NO_OPTIONS
from tests.routing.providers.anthropic.calls import HI
from tests.routing.tables import rows


def lacks(**members: Any) -> str:
    return ANTHROPIC.lacks("chat.completions", {"model": "m", "messages": HI, **members}, NO_OPTIONS)


ASKED: dict[str, tuple[Any, ...]] = {
    "n": (2,),
    "logprobs": (True,),
    "top_logprobs": (1,),
    "logit_bias": ({"5": 1},),
    "frequency_penalty": (0.5, -0.5),
    "presence_penalty": (0.5,),
    "prediction": ({"type": "content", "content": "x"},),
    "audio": ({"voice": "alloy", "format": "mp3"},),
    "modalities": (["text", "audio"], ["audio"]),
    "verbosity": ("low", "high"),
    "web_search_options": ({},),
    "moderation": ({"model": "x"},),
    "functions": ([{"name": "f"}],),
    "function_call": ("auto", {"name": "f"}),
    "service_tier": ("flex", "priority", "scale"),
    "response_format": ({"type": "json_object"},),
    "stop": (" ", ["a", "\n"]),
    "tools": ([{"type": "custom", "custom": {"name": "c"}}],),
    "tool_choice": (
        "maybe",
        {"type": "custom", "custom": {"name": "c"}},
        5,
        {"type": "function"},
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": {"mode": ["auto"]}},
    ),
}
"""Values that ask for what cannot be said."""
NOTHING: dict[str, tuple[Any, ...]] = {
    "n": (1, None),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0,),
    "prediction": (None,),
    "audio": (None,),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "web_search_options": (None,),
    "moderation": (None,),
    "functions": ([],),
    "function_call": ("none",),
    "service_tier": ("auto", "default"),
    "response_format": ({"type": "text"}, {"type": "json_schema", "json_schema": {"name": "n"}}),
    "stop": ("END", ["a", "b"]),
    "tools": ([], [{"type": "function", "function": {"name": "f"}}]),
    "tool_choice": ("auto", "none", "required", {"type": "function", "function": {"name": "f"}}),
}
"""Values of the same members that ask for nothing, or are said."""


def test_table_is_held_to_its_last_row() -> None:
    assert ASKED.keys() == NOTHING.keys() == GAPS.keys()
    assert all(gap.why for gap in GAPS.values())


def test_every_member_of_chat_stands_in_one_of_the_tables() -> None:
    known = [*SAID, *HINTS, *GAPS]
    assert len(known) == len(set(known))
    assert set(ChatRequest.__struct_fields__) <= set(known)


@pytest.mark.parametrize(("name", "value"), rows(ASKED))
def test_what_cannot_be_said_is_named(name: str, value: Any) -> None:
    assert lacks(**{name: value}) == name


@pytest.mark.parametrize(("name", "value"), rows(NOTHING))
def test_what_asks_for_nothing_is_no_gap(name: str, value: Any) -> None:
    assert lacks(**{name: value}) == ""


@pytest.mark.parametrize("name", sorted(HINTS))
def test_hints_are_no_gap(name: str) -> None:
    assert lacks(**{name: "x"}) == ""


def test_members_that_nobody_knows_are_named() -> None:
    assert lacks(min_p=0.1) == "min_p"
    assert lacks(min_p=None) == ""


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"role": "user", "content": [{"type": "text", "text": "a"}]}, ""),
        ({"role": "user", "content": [{"type": "refusal", "refusal": "a"}]}, ""),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}, ""),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,x"}}]}, ""),
        ({"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,x"}}]}, ""),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, ""),
        ({"role": "tool", "tool_call_id": "a", "content": "1"}, ""),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:audio/mp3,x"}}]}, "messages"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]}, "messages"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}, "messages"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/csv,a"}}]}, "messages"),
        ({"role": "user", "content": [{"type": "file"}]}, "messages"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "messages"),
        ({"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://x"}}]}, "messages"),
        ({"role": "user", "content": ["a"]}, "messages"),
        ({"role": "function", "name": "f", "content": "1"}, "messages"),
        ({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}, "messages"),
        ({"role": "assistant", "content": None, "audio": {"id": "x"}}, "messages"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "custom"}]}, "messages"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function"}]}, "messages"),
    ],
    ids=str,
)  # fmt: skip
def test_parts_and_messages_without_a_block_are_named(message: dict[str, Any], name: str) -> None:
    assert lacks(messages=[*HI, message]) == name


def test_its_own_format_lacks_nothing() -> None:
    assert ANTHROPIC.lacks("messages", {"model": "m", "messages": HI, "top_k": 5, "n": 2}, NO_OPTIONS) == ""


@pytest.mark.parametrize(
    ("endpoint", "speaks"), [("messages", True), ("chat.completions", True), ("embeddings", False)]
)
def test_two_formats_are_spoken(endpoint: str, speaks: bool) -> None:
    assert ANTHROPIC.speaks(endpoint, "api.anthropic.com", NO_OPTIONS) is speaks


def test_page_tells_what_the_tables_say() -> None:
    page = Path("routing/README.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| chat in Anthropic's |"))
    _empty, _name, left_out, refused, _end = row.split("|")
    assert set(re.findall(r"`(\w+)`", left_out)) == HINTS.keys()
    assert set(re.findall(r"`(\w+)`", refused)) == GAPS.keys()
