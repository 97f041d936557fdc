"""How much vectors may use, which inputs are too long, and how many vectors there must be."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.embeddings import EMBEDDINGS
from routing.endpoints.embeddings.schema import read
from routing.errors import ContextLengthExceeded
from routing.providers.base import MalformedAnswer
from tests.routing.endpoints.media import LEARNED, MODEL

BILL = Bill(Usage(input=7), {}, "0.5", {})


def asked(given: Any) -> Any:
    return read({"model": "m", "input": given})


@pytest.mark.parametrize(
    ("given", "needs"),
    [
        ("text", (True, 50, 25)),
        (["a", "b"], (True, 50, 25)),
        ([1, 2, 3], (False, 3, 3)),
        ([[1, 2], [3]], (False, 3, 3)),
    ],
    ids=["text", "texts", "tokens", "lists of tokens"],
)
def test_text_is_estimated_and_tokens_are_counted(given: Any, needs: Any) -> None:
    found = EMBEDDINGS.needs(asked(given), {}, 100, MODEL, LEARNED, 1)
    assert (found.is_all_text, found.input_bound, found.expected_input) == needs


@pytest.mark.parametrize("longest", ["a" * 8_000, [1] * 1_000], ids=["text", "tokens"])
def test_window_is_one_inputs(longest: Any) -> None:
    longer = longest + longest[:8]
    EMBEDDINGS.needs(asked([longest, longest]), {}, 100, MODEL, LEARNED, 1)
    for given in (longer, [longest, longer]):
        with pytest.raises(ContextLengthExceeded):
            EMBEDDINGS.needs(asked(given), {}, 100, MODEL, LEARNED, 1)


@pytest.mark.parametrize("count", [1, 3])
def test_answer_has_a_vector_for_each_input(count: int) -> None:
    EMBEDDINGS.check(asked(["a", "b"]), {"data": [{"embedding": [0.5]}] * 2})
    with pytest.raises(MalformedAnswer, match=f"the answer has {count} vectors for 2"):
        EMBEDDINGS.check(asked(["a", "b"]), {"data": [{"embedding": [0.5]}] * count})


def test_explanation_is_told_where_it_is_asked_for() -> None:
    head, bill = Head("embd-1", "lab/a", 5), Bill(Usage(input=1), {}, "0.5", {})
    answer = {"data": [{"embedding": [0.5]}]}
    assert "costrouter" not in orjson.loads(EMBEDDINGS.complete(asked("a"), answer, head, bill))
    assert orjson.loads(EMBEDDINGS.complete(asked("a"), answer, head, bill, {"route": 1}))["costrouter"] == {"route": 1}


@pytest.mark.parametrize(
    "data",
    [
        None, {}, [5, 5], [{"embedding": [0.5]}, {"embedding": []}], [{"embedding": [0.5]}, {}],
        [{"index": 0, "embedding": [0.5]}] * 2, [{"index": 1, "embedding": [0.5]}, {"embedding": [0.5]}],
        [{"index": 1, "embedding": [0.5]}, {"index": 2, "embedding": [0.5]}],
    ],
    ids=str,
)  # fmt: skip
def test_answer_whose_vectors_are_none_or_in_no_place_is_malformed(data: Any) -> None:
    with pytest.raises(MalformedAnswer):
        EMBEDDINGS.check(asked(["a", "b"]), {"data": data})


HALF, ONE = "AAAAPw==", "AACAPw=="
"""In 32 bits, little end first."""


@pytest.mark.parametrize(
    ("form", "vectors"), [(None, [[0.5], [1.0]]), ("float", [[0.5], [1.0]]), ("base64", [HALF, ONE])]
)
@pytest.mark.parametrize("given", [(HALF, [1]), ([0.5], ONE)], ids=["text first", "numbers first"])
@pytest.mark.parametrize("places", [(0, 1), ("0", "1"), (None, None)], ids=str)
@pytest.mark.parametrize("is_turned", [False, True], ids=["in order", "turned"])
def test_vectors_stand_in_their_places_in_the_encoding_that_was_asked_for(
    form: Any, vectors: Any, given: Any, places: Any, is_turned: bool
) -> None:
    told = [
        {"embedding": vector, **({} if place is None else {"index": place})}
        for vector, place in zip(given, places, strict=True)
    ]
    answer = {"data": told[::-1] if is_turned and places[0] is not None else told}
    request = read({"model": "m", "input": ["a", "b"], "encoding_format": form})
    EMBEDDINGS.check(request, answer)
    found = orjson.loads(EMBEDDINGS.complete(request, answer, Head("embd-1", "lab/a", 5), BILL))
    assert [(each["index"], each["embedding"]) for each in found["data"]] == [(0, vectors[0]), (1, vectors[1])]
    assert (found["usage"]["prompt_tokens"], found["usage"]["total_tokens"], found["model"]) == (7, 7, "lab/a")


def test_what_nobody_counted_is_the_prompt_and_at_least_a_token() -> None:
    assert EMBEDDINGS.estimate({}, EMBEDDINGS.needs(asked("a"), {}, 100, MODEL, LEARNED, 1)) == Usage(input=25)
    assert EMBEDDINGS.estimate({}, EMBEDDINGS.needs(asked("a"), {}, 3, MODEL, LEARNED, 1)) == Usage(input=1)
    assert (EMBEDDINGS.has_produced(Usage(input=1)), EMBEDDINGS.has_produced(Usage())) == (True, False)
