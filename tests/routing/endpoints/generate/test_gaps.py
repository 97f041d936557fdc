"""What chat cannot say of a generateContent request: tables against Google's own types, the page against the tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
from google.genai import types
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from routing.endpoints.generate import GENERATE, gaps
from routing.endpoints.generate.schema import read
from routing.endpoints.invalid import UnsupportedParameter

HI: Final = {"role": "user", "parts": [{"text": "Hi"}]}
PICTURE: Final = {"mimeType": "image/png", "data": "AA=="}
ADDRESS: Final = {"mimeType": "image/png", "fileUri": "https://x.example/a"}
OF_GOOGLE: Final[dict[str, type[BaseModel]]] = {
    "generationConfig": types.GenerationConfig,
    "generationConfig.thinkingConfig": types.ThinkingConfig,
    "toolConfig": types.ToolConfig,
    "toolConfig.functionCallingConfig": types.FunctionCallingConfig,
    "tools.functionDeclarations": types.FunctionDeclaration,
    "contents.parts": types.Part,
    "contents.parts.functionCall": types.FunctionCall,
    "contents.parts.functionResponse": types.FunctionResponse,
    "contents.parts.inlineData": types.Blob,
    "contents.parts.fileData": types.FileData,
}


def said(**members: Any) -> dict[str, Any]:
    """The chat body."""
    body = {"model": "m", "contents": [HI], **members}
    (form,) = GENERATE.over
    return dict(form.body(read(body), body))


def shown(part: dict[str, Any]) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [part]}]}


def called(call: dict[str, Any], returned: dict[str, Any]) -> dict[str, Any]:
    """A conversation in which a function was called and has answered."""
    contents = [
        HI,
        {"role": "model", "parts": [{"functionCall": {"name": "f", **call}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}, **returned}}]},
    ]
    return {"contents": contents}


def asked(place: str, members: dict[str, Any]) -> dict[str, Any]:
    """A request that has these members in this place."""
    return {
        "request": members,
        "generationConfig": {"generationConfig": members},
        "generationConfig.thinkingConfig": {"generationConfig": {"thinkingConfig": members}},
        "toolConfig": {"toolConfig": members},
        "toolConfig.functionCallingConfig": {"toolConfig": {"functionCallingConfig": members}},
        "tools.functionDeclarations": {"tools": [{"functionDeclarations": [{"name": "f", **members}]}]},
        "contents.parts": shown({"text": "Hi", **members}),
        "contents.parts.functionCall": called(members, {}),
        "contents.parts.functionResponse": called({}, members),
        "contents.parts.inlineData": shown({"inlineData": {**PICTURE, **members}}),
        "contents.parts.fileData": shown({"fileData": {**ADDRESS, **members}}),
    }[place]


HINTS: Final = [(place, name) for place, table in gaps.TABLES.items() for name in table.hints]
REFUSED: Final = [(place, name) for place, table in gaps.TABLES.items() for name in sorted(table.refused)]
VALUES: Final[dict[str, Any]] = {"serviceTier": "standard", "parts": [{"text": "a"}]}
"""Of members whose kind the edge checks."""
OF_NO_PRICE: Final = {"cachedContent", "speechConfig", "translationConfig"}
"""Refused by name before any format is chosen."""


@pytest.mark.parametrize("place", OF_GOOGLE)
def test_every_member_stands_in_one_table(place: str) -> None:
    table = gaps.TABLES[place]
    known = [*table.said, *table.hints, *table.refused]
    assert {to_camel(name) for name in OF_GOOGLE[place].model_fields} - set(known) == set()
    assert len(known) == len(set(known))


def test_every_table_is_held_to_a_type() -> None:
    assert gaps.TABLES.keys() - {"request"} == OF_GOOGLE.keys()
    assert all(why for table in gaps.TABLES.values() for why in table.hints.values())


@pytest.mark.parametrize(("place", "name"), HINTS)
def test_hint_is_left_out(place: str, name: str) -> None:
    assert said(**asked(place, {name: VALUES.get(name, {"a": "b"})})) == said(**asked(place, {}))


@pytest.mark.parametrize(("place", "name"), [*REFUSED, *((place, "ofTheFuture") for place in gaps.TABLES)])
def test_what_chat_cannot_say_is_refused_by_its_path(place: str, name: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        said(**asked(place, {name: VALUES.get(name, {"a": "b"})}))
    assert caught.value.param == (name if place == "request" else f"{place}.{name}")


@pytest.mark.parametrize("nothing", ["", [], {}], ids=["text", "list", "object"])
@pytest.mark.parametrize(("place", "name"), [each for each in REFUSED if each[1] != "parts"])
def test_what_asks_for_nothing_is_no_refusal(place: str, name: str, nothing: Any) -> None:
    assert said(**asked(place, {name: nothing})) == said(**asked(place, {}))


def test_answer_of_a_function_without_parts_is_said() -> None:
    assert said(**called({}, {"parts": []})) == said(**called({}, {}))


def test_page_tells_what_the_tables_say() -> None:
    page = Path("routing/README.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| generate in chat |"))
    _empty, _name, left_out, refused, _end = row.split("|")
    assert set(re.findall(r"`(\w+)`", left_out)) == {name for _place, name in HINTS}
    assert set(re.findall(r"`(\w+)`", refused)) == {name for _place, name in REFUSED}
