"""How much a ranking may use, and how many results it has."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.rerank import RERANK
from routing.endpoints.rerank.schema import read
from routing.errors import ContextLengthExceeded
from routing.providers.base import MalformedAnswer
from tests.routing.endpoints.media import LEARNED, MODEL

BILL = Bill(Usage(input=9), {}, "0.5", {"currency": "USD"})


def asked(**members: Any) -> Any:
    return read({"model": "m", "query": "q", "documents": ["a", "b", "c"], **members})


@pytest.mark.parametrize(("top_n", "results"), [(None, 3), (1, 1), (3, 3), (9, 3)])
def test_results_are_as_many_as_were_asked_for_and_there_are(top_n: int | None, results: int) -> None:
    assert asked(top_n=top_n).results == results


def result(place: Any, score: Any = 0.5) -> dict[str, Any]:
    return {"index": place, "relevance_score": score}


@pytest.mark.parametrize(
    "results",
    [
        [result(0), result(1)],
        [result(0), result(1), result(3)],
        [result(-1), result(1), result(2)],
        [result(0), result(0), result(1)],
        [result(0), result(1), result(True)],
        [result(0), result(1), result(2, float("nan"))],
        [result(0), result(1), result(2, None)],
        [result(0), result(1), result(2, False)],
    ],
    ids=["few", "beyond", "before", "twice", "no place", "no number", "null", "no score"],
)
def test_ranking_that_is_not_whole_is_malformed(results: list[Any]) -> None:
    with pytest.raises(MalformedAnswer):
        RERANK.check(asked(), {"results": results})


def test_ranking_that_is_whole_is_taken_whatever_its_order() -> None:
    RERANK.check(asked(top_n=2), {"results": [result(2, -5), result(0, 1)]})


def completed(explanation: Any = None, **members: Any) -> Any:
    answer = {"results": [result(0, 0.1), result(2, 0.9), result(1, 0.5)]}
    raw = RERANK.complete(asked(**members), answer, Head("rerank-1", "lab/a", 5), BILL, explanation)
    return orjson.loads(raw)


def test_best_comes_first_and_no_more_than_were_asked_for() -> None:
    assert [each["index"] for each in completed()["results"]] == [2, 1, 0]
    assert completed(top_n=2)["results"] == [result(2, 0.9), result(1, 0.5)]
    assert "costrouter" not in completed()
    assert completed({"route": 1})["costrouter"] == {"route": 1}


def test_documents_are_told_where_they_are_asked_for() -> None:
    found = completed(documents=["a", {"text": "b", "id": 1}, "c"], return_documents=True)["results"]
    assert [each["document"] for each in found] == [{"text": "c"}, {"text": "b", "id": 1}, {"text": "a"}]


def test_each_document_is_read_with_the_query() -> None:
    needs = RERANK.needs(asked(query="é" * 4), {}, 100, MODEL, LEARNED, 1)
    assert (needs.text_bytes, needs.input_bound, needs.expected_input) == (116, 58, 29)


def test_document_that_surely_is_too_long_is_refused() -> None:
    RERANK.needs(asked(query="q" * 7, documents=["a", "b" * 8_000]), {}, 9_000, MODEL, LEARNED, 1)
    with pytest.raises(ContextLengthExceeded, match="at least 1001"):
        RERANK.needs(asked(query="q" * 8, documents=["a", "b" * 8_000]), {}, 9_000, MODEL, LEARNED, 1)
