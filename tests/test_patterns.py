"""Our patterns against long hostile text, each as it is used: the time grows with the text, never with its square."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from accounts import errors, keys, origins, refusals
from administration import requests
from routing.api import cors, paths
from routing.endpoints import invalid
from routing.providers.openai import usage
from routing.wire import addresses, wholeness

LETTERS: Final = 100_000
PATTERNS: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    "a parameter's name": (errors._PLAIN_NAME, "fullmatch"),
    "an origin's host": (origins._HOST, "fullmatch"),
    "a key in a message": (refusals._SECRET, "search"),
    "a key": (keys.PATTERN, "fullmatch"),
    "a request's id": (requests._PUBLIC_ID, "fullmatch"),
    "a path before the endpoint": (paths._NO_ENDPOINT, "fullmatch"),
    "a model in a path": (paths._MODEL, "fullmatch"),
    "names of headers": (cors._NAMES, "fullmatch"),
    "where a fault stands": (invalid._PLACE, "fullmatch"),
    "a bound": (invalid._BOUND, "match"),
    "a missing field": (invalid._MISSING, "match"),
    "marks of JSON": (wholeness._MARKS, "search"),
    "an address": (addresses._URL, "fullmatch"),
    "an authority": (addresses._AUTHORITY, "fullmatch"),
    "a label": (addresses._LABEL, "fullmatch"),
    "a path": (addresses._PATH, "fullmatch"),
    "a number": (addresses._NUMBER, "fullmatch"),
    "a count": (usage._DIGITS, "fullmatch"),
}
"""Those of an upstream's refusals have their own test, behind the bounds that stand before them."""
PIECES: Final = [
    "a", "0", "-", ".", "/", ":", "a.", "a-", "-a", "/a", "a/", "a, ", "sk-", "sk-a", "sk-cr-", "0x", "[", "[:",
    "`", "$", " - at `", " - at `$.", " - at `key` in `$", "Expected `int", "Object missing required field `", "a://",
    "deadbeef-", "chatcmpl-", "v1", "api", "\n", " ", "\\", '"', "\N{LATIN SMALL LETTER E WITH ACUTE}",
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "how"), PATTERNS.values(), ids=PATTERNS.keys())
def test_long_text_costs_no_more_than_its_length(pattern: re.Pattern[str], how: str) -> None:
    look: Callable[[str], Any] = getattr(pattern, how)
    for piece in PIECES:
        text = (piece * LETTERS)[: LETTERS - 1] + "\x00"
        for hostile in (text, "!" + text, text[:50] + text):
            began = time.process_time()
            look(hostile)
            took = time.process_time() - began
            assert took < 0.05, (piece, took)  # a square of the length takes seconds; 1 ms is usual
