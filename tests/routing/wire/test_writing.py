"""Large values written piece by piece: the same bytes as in one go, and no piece for long."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routing.wire.writing import SIZE, pieces_of

N = 20 * 1024 * 1024
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
scalar = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | text
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=70) | st.dictionaries(text, inner, max_size=70), max_leaves=100
)


@given(value, st.integers(1, 400))
@example("", 1)
@example({}, 1)
@example([], 1)
@example({"": ""}, 1)
@example(["a\n", "\N{GRINNING FACE}\x01", "ab"], 2)
@example([[]] * 33, 1)
@example({str(number): {} for number in range(65)}, 16)
@example({"n" * 40: [{"n" * 40: "x" * 40}] * 40}, 30)
def test_bytes_are_those_of_one_go(value: Any, size: int) -> None:
    assert b"".join(pieces_of(value, size)) == orjson.dumps(value)


def test_little_value_is_one_piece() -> None:
    assert list(pieces_of({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})) == [
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
    ]


def test_what_cannot_be_written_is_refused_as_in_one_go() -> None:
    with pytest.raises(TypeError):
        list(pieces_of(["x" * 100, b"bytes"], 10))


def nested(depth: int, inmost: Any) -> Any:
    for _level in range(depth):
        inmost = [inmost]
    return inmost


LONGEST = {
    "a picture": {"a": "A" * N},
    "letters": {"a": "\N{LATIN SMALL LETTER E WITH CIRCUMFLEX}" * (N // 2)},
    "one wide letter": {"a": "a" * 10_000_000 + "\N{GRINNING FACE}"},
    "escapes": {"a": "\n" * (N // 2)},
    "controls": {"a": "\x01" * (N // 6)},
    "parts": {"a": [{"type": "text", "text": "a" * 290} for _part in range(65_000)]},
    "texts of escapes": {"a": ["\n" * 50 for _text in range(190_000)]},
    "names": {f"{number:0100}": 1 for number in range(190_000)},
    "a long name": {"\n" * (N // 2): 1},
    "numbers": {"a": [0.1111111111111111] * 190_000},
    "empty lists": {"a": [[] for _list in range(199_000)]},
    "deep": {"a": [nested(60, 1) for _list in range(3_000)]},
    "deep in many": {"a": nested(60, ["\n" * SIZE] * 100)},
}


@pytest.mark.parametrize("value", LONGEST.values(), ids=LONGEST.keys())
def test_no_piece_of_twenty_megabytes_takes_long(value: Any) -> None:
    pieces, longest, began = [], 0.0, time.thread_time()
    for piece in pieces_of(value):
        pieces.append(piece)
        longest, began = max(longest, time.thread_time() - began), time.thread_time()

    assert b"".join(pieces) == orjson.dumps(value)
    assert longest < 0.025
