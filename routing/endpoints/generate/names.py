"""The names of members: Google reads `systemInstruction` and `system_instruction` alike, and so do its own examples.

protobuf.dev/programming-guides/json: parsers accept both a field's lowerCamelCase name and its original one.
"""

from __future__ import annotations

import re
from typing import Any, Final

_FREE: Final = frozenset(
    ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels",
     "partMetadata", "provider", "usage", "models")
)  # fmt: skip
"""Members whose inner names are the client's own, or the gateway's."""
_LISTS: Final = frozenset(("contents", "parts", "tools", "functionDeclarations", "safetySettings"))
"""Lists that Google's older examples write as one object."""
_HUMP: Final = re.compile(r"_([a-z0-9])")


def in_json(value: Any) -> Any:
    """The value with members under their JSON names; null is absent."""
    if type(value) is list:
        return [in_json(each) for each in value]
    if type(value) is not dict:
        return value
    found = {}
    for given, inner in value.items():
        name = _HUMP.sub(lambda match: match[1].upper(), given) if "_" in given else given
        if inner is None:
            continue
        if name not in _FREE:
            inner = in_json(inner)
        found[name] = [inner] if name in _LISTS and type(inner) is dict else inner
    return found
