"""Google's Schema, a part of OpenAPI's, as JSON Schema: ai.google.dev/api/caching#Schema."""

from __future__ import annotations

from typing import Any, Final

_RENAMED: Final[dict[str, str]] = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "additional_properties": "additionalProperties",
}
_COUNTS: Final = frozenset(("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"))
"""64-bit integers, which Google's JSON has as text."""
_MOST_DIGITS: Final = 18
"""More may be no such number; that is the upstream's to say."""
_LEFT_OUT: Final = frozenset(("nullable", "propertyOrdering", "property_ordering", "example"))
"""An order of members and an example say nothing of what is valid; null is a type."""


def json_schema(schema: Any) -> Any:
    """The same in JSON Schema's words."""
    if type(schema) is not dict:
        return schema
    found: dict[str, Any] = {}
    given: str
    for given, value in schema.items():
        name = _RENAMED.get(given, given)
        if name in _LEFT_OUT:
            continue
        if name == "type" and type(value) is str:
            value = value.lower()
        elif name in {"properties", "$defs"} and type(value) is dict:
            value = {key: json_schema(inner) for key, inner in value.items()}
        elif name in {"items", "additionalProperties"}:
            value = json_schema(value)
        elif name == "anyOf" and type(value) is list:
            value = [json_schema(each) for each in value]
        elif name in _COUNTS and type(value) is str and value.isdecimal() and len(value) <= _MOST_DIGITS:
            value = int(value)
        found[name] = value
    return _nullable(found) if schema.get("nullable") else found


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if type(schema.get("enum")) is list:
        schema = {**schema, "enum": [*schema["enum"], None]}
    kind: Any = schema.get("type")
    return {**schema, "type": [kind, "null"]} if type(kind) is str else schema
