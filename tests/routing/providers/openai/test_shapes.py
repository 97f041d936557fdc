"""Chunks, choices and deltas in shapes of their own: read where they can mean one thing, refused where they cannot."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from routing.providers.base import End, MalformedAnswer
from routing.providers.openai import OpenAIReader
from tests.routing.providers.openai.test_reader import DONE, GOOD, chunk, deltas, event, read, reasons


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_chunks_in_one_list_are_all_read(chunks: int) -> None:
    events, _reader = read(event([chunk({"content": "a"})] * chunks), GOOD[2], DONE)
    assert ([delta.get("content") for delta in deltas(events)], reasons(events)[-1]) == (
        ["a"] * chunks + [None],
        "stop",
    )


@pytest.mark.parametrize("delta", [5, [5], [{"content": "a"}, {"content": "b"}], [[{"content": "a"}]]], ids=str)
def test_delta_that_is_none_ends_the_answer(delta: Any) -> None:
    events, _reader = read(*GOOD[:2], event(chunk(delta)), GOOD[2], DONE)
    assert events[-1] == End("a choice has no delta")


@pytest.mark.parametrize(
    "choices", [{"a": {"delta": {"content": "a"}}}, {"0": 5}, {"0": {"delta": {}}, "b": {"delta": {}}}], ids=str
)
def test_choices_in_an_object_are_read_by_number_alone(choices: Any) -> None:
    events, _reader = read(*GOOD[:2], event({"choices": choices}), GOOD[2], DONE)
    assert events[-1] == End("the chunk has no choices")


@pytest.mark.parametrize(
    ("body", "told"),
    [(b"{" + b"x" * 200, "the answer is not JSON: {" + "x" * 119), (orjson.dumps("x" * 310), ", but: " + "x" * 300)],
    ids=["no JSON", "words"],
)
def test_words_in_place_of_an_answer_are_cut(body: bytes, told: str) -> None:
    with pytest.raises(MalformedAnswer, match=f"{told}$"):
        OpenAIReader().whole(body)
