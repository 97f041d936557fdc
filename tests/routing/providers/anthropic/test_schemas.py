"""JSON schemas as Anthropic's constrained output takes them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from routing.providers.anthropic.schemas import constrained

CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}
OPEN = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("schema", "taken"),
    [
        pytest.param(OPEN, CLOSED, id="an object"),
        pytest.param(
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": "string"}},
            id="an open object stays open, and is refused",
        ),
        pytest.param({"properties": {"a": OPEN}}, {"properties": {"a": CLOSED}}, id="a property"),
        pytest.param({"$defs": {"a": OPEN}, "$ref": "#a"}, {"$defs": {"a": CLOSED}, "$ref": "#a"}, id="defs"),
        pytest.param({"definitions": {"a": OPEN}}, {"definitions": {"a": CLOSED}}, id="older defs"),
        pytest.param({"anyOf": [OPEN, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}, id="any of"),
        pytest.param({"allOf": [OPEN]}, {"allOf": [CLOSED]}, id="all of"),
        pytest.param({"type": "array", "items": OPEN}, {"type": "array", "items": CLOSED}, id="a list"),
        pytest.param(
            {"type": "number", "minimum": 0, "maximum": 1.5, "description": "A share."},
            {"type": "number", "description": "A share.\n\n{minimum: 0, maximum: 1.5}"},
            id="limits",
        ),
        pytest.param(
            {"type": "string", "minLength": 1, "pattern": "^a"},
            {"type": "string", "pattern": "^a", "description": "{minLength: 1}"},
            id="length",
        ),
        pytest.param({"type": "array", "minItems": 1}, {"type": "array", "minItems": 1}, id="one at least"),
        pytest.param(
            {"type": "array", "minItems": 2, "uniqueItems": True},
            {"type": "array", "description": "{minItems: 2, uniqueItems: true}"},
            id="two at least",
        ),
        pytest.param(
            {"type": "object", "properties": {"minimum": {"type": "string"}}},
            {"type": "object", "properties": {"minimum": {"type": "string"}}, "additionalProperties": False},
            id="a property of that name",
        ),
        pytest.param({"properties": 5, "anyOf": 5}, {"properties": 5, "anyOf": 5}, id="odd"),
        pytest.param({"items": True}, {"items": True}, id="anything in a list"),
        pytest.param(True, True, id="no schema"),
    ],
)  # fmt: skip
def test_schema_is_closed_and_limits_become_words(schema: Any, taken: Any) -> None:
    before = copy.deepcopy(schema)
    assert constrained(schema) == taken
    assert schema == before


def test_schema_that_is_nested_deep_ends() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"type": "object", "properties": {"a": schema}}
    inner: Any = constrained(schema)
    for _ in range(64):
        assert inner["additionalProperties"] is False
        inner = inner["properties"]["a"]
    assert "additionalProperties" in inner
    assert "additionalProperties" not in inner["properties"]["a"]
