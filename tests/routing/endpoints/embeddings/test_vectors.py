"""A vector in both of its forms."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.endpoints.embeddings.vectors import as_base64, as_floats
from routing.providers.base import MalformedAnswer

FLOATS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50)


@given(FLOATS)
def test_base64_is_32_bit_floats_little_end_first_and_comes_back_the_same(vector: list[float]) -> None:
    text = as_base64(vector)
    assert base64.b64decode(text) == struct.pack(f"<{len(vector)}f", *vector)
    assert as_floats(text) == vector
    assert as_base64(text) == text
    assert as_floats(vector) is vector


@pytest.mark.parametrize(
    "vector", [None, "", [], {}, 1, "no base64!", "AAA=", "AAAAAAA=", [None], ["1"], [True], [[1.0]]]
)
def test_what_is_no_vector_is_refused(vector: Any) -> None:
    with pytest.raises(MalformedAnswer):
        as_floats(vector)
    with pytest.raises(MalformedAnswer):
        as_base64(vector)


def test_number_beyond_32_bits_is_refused_only_where_it_has_to_fit() -> None:
    assert as_floats([1e300]) == [1e300]
    with pytest.raises(MalformedAnswer):
        as_base64([1e300])


@pytest.mark.parametrize("text", ["AADAfw==", "AACAfw==", "AAAAPwAAgP8="], ids=["not a number", "infinity", "the last"])
def test_number_that_json_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(MalformedAnswer):
        as_floats(text)
