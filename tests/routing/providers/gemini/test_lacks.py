"""What a request asks for and Google cannot be asked for is named, and nothing is lost in silence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from routing.endpoints.chat.schema import ChatRequest
from routing.providers.base import Options
from routing.providers.gemini import GEMINI
from routing.providers.gemini.lacks import GAPS, HINTS, SAID
from tests.routing.providers.gemini.test_requests import FUNCTION, HELLO, OTHER
from tests.routing.tables import rows


def called(arguments: str, **members: Any) -> dict[str, Any]:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    return {"messages": [*HELLO, {"role": "assistant", "tool_calls": calls, **members}]}


def shown(**part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]}


def chosen(choice: Any) -> dict[str, Any]:
    return {"tools": [FUNCTION], "tool_choice": choice}


ASKED: dict[str, tuple[Any, ...]] = {
    "n": (9,),
    "stop": (list("abcdef"),),
    "seed": (2**31, -(2**31) - 1),
    "tools": ([{"type": "custom", "custom": {"name": "c"}}],),
    "tool_choice": ({"type": "custom", "custom": {"name": "c"}},),
    "parallel_tool_calls": (),
    "logit_bias": ({"5": 1},),
    "store": (True,),
    "verbosity": ("low", "high"),
    "audio": ({"voice": "alloy", "format": "mp3"},),
    "moderation": ({"model": "x"},),
    "web_search_options": ({},),
    "functions": ([{"name": "f"}],),
    "function_call": ("auto", {"name": "f"}),
}
"""Values that ask for what cannot be said; of parallel calls only beside functions."""
NOTHING: dict[str, tuple[Any, ...]] = {
    "n": (8, 1, None),
    "stop": (list("abcde"), "abcdefgh"),
    "seed": (2**31 - 1, -(2**31)),
    "tools": ([], [FUNCTION, OTHER]),
    "tool_choice": ("auto", {"type": "function", "function": {"name": "f"}}),
    "parallel_tool_calls": (True, False),
    "logit_bias": ({},),
    "store": (False,),
    "verbosity": ("medium",),
    "audio": (None,),
    "moderation": (None,),
    "web_search_options": (None,),
    "functions": ([],),
    "function_call": ("none",),
}
"""Values of the same members that ask for nothing, or are said."""


def lacks(**members: Any) -> str:
    return GEMINI.lacks("chat.completions", {"model": "m", "messages": HELLO, **members}, Options())


def test_table_is_held_to_its_last_row() -> None:
    assert ASKED.keys() == NOTHING.keys() == GAPS.keys()
    assert all((*(gap.why for gap in GAPS.values()), *HINTS.values()))


def test_every_member_of_chat_stands_in_one_of_the_tables() -> None:
    known = [*SAID, *HINTS, *GAPS]
    assert len(known) == len(set(known))
    assert set(ChatRequest.__struct_fields__) | set(get_type_hints(CompletionCreateParamsBase)) <= set(known)


@pytest.mark.parametrize(("name", "value"), rows(ASKED))
def test_what_asks_for_too_much_is_named(name: str, value: Any) -> None:
    assert lacks(**{name: value}) == name


@pytest.mark.parametrize(("name", "value"), rows(NOTHING))
def test_what_asks_for_nothing_is_no_gap(name: str, value: Any) -> None:
    assert lacks(**{name: value}) == ""


@pytest.mark.parametrize("name", sorted(HINTS))
def test_hints_are_no_gap(name: str) -> None:
    assert lacks(**{name: "x"}) == ""


LACKING: list[tuple[dict[str, Any], str]] = [
    (chosen({"type": "function", "function": {"name": 5}}), "tool_choice"),
    (chosen({"type": "function", "function": {"name": "f"}}), ""),
    (chosen({"type": "allowed_tools", "allowed_tools": 5}), "tool_choice"),
    (chosen({"type": "allowed_tools", "allowed_tools": {"tools": 5}}), "tool_choice"),
    (chosen({"type": "allowed_tools", "allowed_tools": {"tools": [5]}}), "tool_choice"),
    ({"parallel_tool_calls": False, "tools": [FUNCTION]}, "parallel_tool_calls"),
    ({"parallel_tool_calls": True, "tools": [FUNCTION]}, ""),
    ({"min_p": 0.1}, "min_p"),
    ({"min_p": None}, ""),
    (called("{}"), ""),
    (called(""), ""),
    (called("[]"), "messages"),
    (called("{"), "messages"),
    (called("{}", function_call={"name": "f", "arguments": ""}), "messages"),
    (called("{}", audio={"id": "a"}), "messages"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages"),
    ({"messages": [*HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}]}, "messages"),
    (shown(type="image_url", image_url={"url": "data:image/png,AA"}), "messages"),
    (shown(type="image_url", image_url={"url": "ftp://x.example/a"}), "messages"),
    (shown(type="file", file={"file_id": "f"}), "messages"),
    (shown(type="file", file=5), "messages"),
    (shown(type="refusal", refusal="no"), "messages"),
    (shown(type="video_url", video_url={"url": "https://x.example/a"}), "messages"),
    (
        {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https:"}}]}]},
        "messages",
    ),
]


@pytest.mark.parametrize(("members", "name"), LACKING)
def test_what_cannot_be_said_is_named(members: dict[str, Any], name: str) -> None:
    assert lacks(**members) == name


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"input": "a"}, ""),
        ({"input": ["a", "b"], "dimensions": 3, "encoding_format": "base64", "user": "u"}, ""),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1], [2]]}, "input"),
        ({"input": "a", "input_type": "query"}, "input_type"),
        ({"input": "a", "input_type": None}, ""),
    ],
)
def test_embeddings_that_cannot_be_asked_for_are_named(members: dict[str, Any], name: str) -> None:
    assert GEMINI.lacks("embeddings", {"model": "m", **members}, Options()) == name


def test_own_format_lacks_nothing() -> None:
    assert GEMINI.lacks("generate", {"anything": 5}, Options()) == ""


@pytest.mark.parametrize(
    ("row", "hints", "refused"),
    [("chat in Google's", HINTS.keys(), GAPS.keys()), ("embeddings in Google's", {"user"}, {"input"})],
    ids=["chat", "embeddings"],
)
def test_page_tells_what_the_tables_say(row: str, hints: set[str], refused: set[str]) -> None:
    page = Path("routing/README.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith(f"| {row} |"))
    _empty, _name, left_out, told, _end = line.split("|")
    assert set(re.findall(r"`(\w+)`", left_out)) == hints
    assert set(re.findall(r"`(\w+)`", told)) == refused
