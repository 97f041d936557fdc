"""What is fuzzed: an endpoint before an upstream, what its bodies look like, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from hypothesis import strategies as st

from tests import schemas
from tests.callers import Caller
from tests.fuzz.words import values
from tests.installation import SINGLE, Shape

PREFERENCES: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "models": st.lists(st.one_of(st.just("lab/none"), values), max_size=3),
    "provider": st.dictionaries(
        st.sampled_from(["order", "only", "ignore", "sort", "max_price", "max_cost", "allow_fallbacks", "zdr"]),
        values,
        max_size=3,
    ),
    "usage": st.fixed_dictionaries({}, optional={"include": st.one_of(st.booleans(), values)}),
}
"""What every endpoint has beside its own members."""
STRAY: Final = ("transforms", "api_key", "n", "x", "")


def as_json(body: Mapping[str, Any]) -> bytes:
    """With NaN, Infinity and surrogate escapes as they are."""
    return json.dumps(body).encode()


@dataclass(frozen=True, repr=False)
class Subject:
    """An endpoint before an upstream."""

    path: str
    """`{model}` stands for the model, where the path has it."""
    frame: Mapping[str, st.SearchStrategy[Any]]
    """What every request says besides its model, nearly valid."""
    smallest: Mapping[str, Any]
    """A body that is answered, but for the model."""
    valid: Mapping[str, st.SearchStrategy[Any]]
    """What a request may say, nearly valid."""
    odd: Sequence[str] = ()
    """Further members that it may have, of which any value is tried."""
    refusal: Mapping[str, Any] = field(default_factory=lambda: schemas.ERROR)
    """The schema of its envelope."""
    shape: Shape = SINGLE
    media: str = "application/json"
    write: Callable[[Mapping[str, Any]], bytes] = as_json

    @property
    def names(self) -> Sequence[str]:
        """Of members that a body may have, and of some that it has not."""
        return ["model", *self.frame, *self.valid, *self.odd, *PREFERENCES, *STRAY]

    def member(self, name: str) -> st.SearchStrategy[Any]:
        """A value for the member of this name: of the right kind, or of any."""
        known = {**PREFERENCES, **self.valid, **self.frame}
        return st.one_of(known.get(name, values), values)

    def body(self, model: str) -> bytes:
        """The smallest one that is answered."""
        return self.write({"model": model, **self.smallest})

    def post(self, caller: Caller, model: str, content: bytes, **headers: str) -> httpx.Response:
        headers = {"content-type": self.media, **headers}
        return caller.client.post(self.path.format(model=model), content=content, headers=headers)


OF_ANTHROPIC: Final = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "request_id": {"type": "string", "pattern": "^req_"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string", "minLength": 1}},
        },
    },
    "additionalProperties": False,
}
"""A refusal as Anthropic's clients read it."""
OF_GOOGLE: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status", "details"],
            "properties": {
                "code": {"type": "integer", "minimum": 400, "maximum": 499},
                "message": {"type": "string", "minLength": 1},
                "status": {"type": "string", "pattern": "^[A-Z_]+$"},
                "details": {"type": "array", "minItems": 1},
            },
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}
"""The same for Google's."""
