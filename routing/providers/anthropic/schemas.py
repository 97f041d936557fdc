"""JSON schemas as Anthropic's constrained output takes them.

It refuses objects that are not closed, and limits of numbers, lengths and lists. What it refuses is said to the model
in the description instead, as Anthropic's own libraries do (platform.claude.com/docs/en/build-with-claude/
structured-outputs#json-schema-limitations).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import orjson

_LIMITS: Final = frozenset(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems",
     "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties")
)  # fmt: skip
_NAMED: Final = ("properties", "$defs", "definitions")
"""Members that hold schemas by name."""
_LISTED: Final = ("anyOf", "allOf", "oneOf", "prefixItems")
_MOST_DEPTH: Final = 64


def constrained(schema: Any, depth: int = 0) -> Any:
    """The schema, copied where it changes; what is no schema stays as it is."""
    if type(schema) is not dict or depth > _MOST_DEPTH:
        return schema
    inner = partial(constrained, depth=depth + 1)
    limits = {name: schema[name] for name in schema if name in _LIMITS or (name == "minItems" and _is_many(schema))}
    out = {name: value for name, value in schema.items() if name not in limits}
    for name in _NAMED:
        if type(out.get(name)) is dict:
            out[name] = {key: inner(each) for key, each in out[name].items()}
    for name in _LISTED:
        if type(out.get(name)) is list:
            out[name] = [inner(each) for each in out[name]]
    if "items" in out:
        out["items"] = inner(out["items"])
    if out.get("type") == "object" and "additionalProperties" not in out:
        out["additionalProperties"] = False
    if limits:
        words = ", ".join(f"{name}: {orjson.dumps(value).decode()}" for name, value in limits.items())
        out["description"] = "\n\n".join(filter(None, (str(out.get("description") or ""), f"{{{words}}}")))
    return out


def _is_many(schema: dict[str, Any]) -> bool:
    """Of the least length of a list only none and one can be asked for."""
    return schema["minItems"] not in (0, 1)
