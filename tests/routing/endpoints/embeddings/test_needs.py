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
