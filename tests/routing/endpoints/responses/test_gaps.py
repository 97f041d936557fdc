"""What chat cannot say of a Responses request: the tables against OpenAI's own types, the pages against the tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from openai.types import responses as types
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from portal.reference import document
from routing.endpoints.invalid import UnsupportedParameter
from routing.endpoints.responses import gaps
from routing.endpoints.responses.messages import chat_body
from routing.endpoints.responses.schema import ITEMS, read
from tests.routing.tables import rows

NAMES: Final = re.compile(r"`(\w+)`")


def said(**members: Any) -> dict[str, Any]:
    return chat_body(read({"model": "m", "input": "a", **members}))


def refused(**members: Any) -> str | None:
    with pytest.raises(UnsupportedParameter) as caught:
        said(**members)
    return caught.value.param


# --- members ---------------------------------------------------------------------------------------------------------

ASKED: dict[str, tuple[Any, ...]] = {
    "context_management": ([{"type": "compaction"}],),
    "access_programs": ([{"name": "x"}], "x"),
    "image": ({"detail": "high"},),
}
NOTHING: dict[str, tuple[Any, ...]] = {
    "context_management": ([], None),
    "access_programs": ([], None),
    "image": ({}, None),
}
EMPTY: dict[str, Any] = {
    "previous_response_id": "resp_1",
    "conversation": "conv_1",
    "background": True,
    "prompt": {"id": "p"},
    "moderation": {"model": "m"},
    "search_parameters": {"mode": "on"},
    "enable_search": True,
}


def test_every_member_of_a_request_stands_in_one_table() -> None:
    members = set(get_type_hints(ResponseCreateParamsBase)) | {"stream"}
    tables = [gaps.SAID, gaps.HINTS.keys(), gaps.EMPTY, gaps.REFUSED.keys()]
    known = [name for table in tables for name in table]
    assert members - set(known) == set()
    assert len(known) == len(set(known))


def test_tables_are_held_to_their_last_row() -> None:
    assert ASKED.keys() == NOTHING.keys() == gaps.REFUSED.keys()
    assert EMPTY.keys() == gaps.EMPTY
    assert all(gap.why for gap in gaps.REFUSED.values())
    assert all((*gaps.HINTS.values(), *gaps.HINTS_OF_ITEMS.values()))


@pytest.mark.parametrize(("name", "value"), rows(ASKED))
def test_what_cannot_be_said_is_refused_by_name(name: str, value: Any) -> None:
    assert refused(**{name: value}) == name


@pytest.mark.parametrize(("name", "value"), rows(NOTHING))
def test_what_asks_for_nothing_is_no_refusal(name: str, value: Any) -> None:
    assert said(**{name: value})["messages"] == [{"role": "user", "content": "a"}]


@pytest.mark.parametrize(("name", "value"), EMPTY.items(), ids=EMPTY)
def test_what_needs_something_kept_is_refused_before_a_format_is_chosen(name: str, value: Any) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        read({"model": "m", "input": "a", name: value})
    assert caught.value.param == name


@pytest.mark.parametrize("name", sorted(gaps.OF_CHAT))
def test_member_that_only_chat_has_is_refused_by_name(name: str) -> None:
    assert refused(**{name: 2}) == name
    assert refused(**{name: {}}) == name
    assert said(**{name: None})["messages"] == [{"role": "user", "content": "a"}]


def test_several_answers_searches_and_sounds_are_among_what_only_chat_has() -> None:
    assert {"n", "web_search_options", "audio", "modalities", "functions", "messages", "max_tokens"} <= gaps.OF_CHAT


def test_member_that_nobody_knows_travels_on() -> None:
    assert said(min_p=0.1)["min_p"] == 0.1


@pytest.mark.parametrize("name", sorted(gaps.HINTS))
def test_hint_is_left_out(name: str) -> None:
    values: dict[str, Any] = {"metadata": {"a": "b"}, "store": True, "max_tool_calls": 3, "truncation": "auto"}
    options = {"stream_options": {"include_obfuscation": False}, "stream": True}
    members = options if name == "stream_options" else {name: values.get(name, {"a": "b"})}
    assert said(**members) == {"model": "m", "messages": [{"role": "user", "content": "a"}]}


# --- items, parts and tools ------------------------------------------------------------------------------------------


def _kinds(union: Any) -> Iterator[str]:
    """The types that the members of a union name."""
    for each in get_args(union) if get_origin(union) is Union else (union,):
        kind = get_type_hints(each)["type"]
        while get_origin(kind) is not Literal:
            kind = next(arg for arg in get_args(kind) if arg is not type(None))
        yield from get_args(kind)


ITEM_KINDS: Final = sorted(set(_kinds(types.ResponseInputItemParam)))
TOOL_KINDS: Final = sorted(set(_kinds(types.ToolParam)))
NAMED: Final = {"name": "n", "tools": [{"type": "function", "name": "f"}], "execution": "client"}


def test_items_that_are_said_are_those_that_are_read() -> None:
    assert ITEMS.keys() == gaps.SAID_ITEMS
    assert set(ITEM_KINDS) >= gaps.SAID_ITEMS
    assert set(TOOL_KINDS) >= gaps.SAID_TOOLS


@pytest.mark.parametrize("kind", sorted(set(ITEM_KINDS) - gaps.SAID_ITEMS))
def test_every_other_kind_of_item_is_refused_in_its_place(kind: str) -> None:
    user = {"role": "user", "content": "a"}
    place = refused(input=[user, {"type": kind}]) or ""
    assert place.startswith("input[1]")


@pytest.mark.parametrize("kind", sorted(gaps.SAID_TOOLS))
def test_tool_that_is_said_is_a_function(kind: str) -> None:
    assert [tool["type"] for tool in said(tools=[{"type": kind, **NAMED}])["tools"]] == ["function"]


@pytest.mark.parametrize("kind", sorted(set(TOOL_KINDS) - gaps.SAID_TOOLS))
def test_every_other_kind_of_tool_is_refused_in_its_place(kind: str) -> None:
    assert refused(tools=[{"type": kind, **NAMED}]) == "tools[0].type"


PARTS: dict[str, dict[str, Any]] = {
    "input_text": {"text": "a"},
    "output_text": {"text": "a"},
    "text": {"text": "a"},
    "input_image": {"image_url": "https://a.example/b.png"},
    "input_file": {"file_data": "data:text/plain;base64,YQ==", "filename": "a.txt"},
    "refusal": {"refusal": "no"},
}


def test_every_part_that_is_said_has_its_case() -> None:
    assert PARTS.keys() == gaps.SAID_PARTS


@pytest.mark.parametrize("kind", sorted(gaps.SAID_PARTS))
def test_part_is_said(kind: str) -> None:
    role = "assistant" if kind == "refusal" else "user"
    (message,) = said(input=[{"role": role, "content": [{"type": kind, **PARTS[kind]}]}])["messages"]
    assert message.get("content") or message.get("refusal") == "no"


@pytest.mark.parametrize("kind", ["computer_screenshot", "summary_text", "of the future"])
def test_every_other_part_is_refused_in_its_place(kind: str) -> None:
    assert refused(input=[{"role": "user", "content": [{"type": kind}]}]) == "input[0].content[0].type"


@pytest.mark.parametrize("name", sorted(gaps.HINTS_OF_ITEMS))
def test_hint_of_an_item_is_left_out(name: str) -> None:
    plain = {"type": "message", "role": "assistant", "content": "a"}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]}
    asked = [{**item, name: "foreign"} for item in (plain, thought)]
    assert said(input=asked) == said(input=[plain, thought])


# --- the pages -------------------------------------------------------------------------------------------------------


def test_page_of_the_room_tells_what_the_tables_say() -> None:
    page = Path("routing/README.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| responses in chat |"))
    _empty, _name, left_out, refused_, _end = row.split("|")
    assert set(NAMES.findall(left_out)) == gaps.HINTS.keys() | gaps.HINTS_OF_ITEMS.keys()
    assert set(NAMES.findall(refused_)) == gaps.REFUSED.keys()


@pytest.mark.parametrize("language", ["en", "vi"])
def test_document_tells_what_the_tables_say(language: str) -> None:
    described = document.document(language)["paths"]["/responses"]["post"]["description"]
    told = set(re.findall(r"`(\w+)[`:]", described.partition("\n\n")[2] or described))
    assert told >= gaps.HINTS.keys() | gaps.HINTS_OF_ITEMS.keys() | gaps.REFUSED.keys()
    assert told >= gaps.EMPTY - {"moderation"} or set(re.findall(r"`(\w+)`", described)) >= gaps.EMPTY - {"moderation"}
