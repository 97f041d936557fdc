"""How much a ranking may use, and how many results it has."""

from __future__ import annotations

from typing import Any

import pytest

from routing.endpoints.rerank import RERANK
from routing.endpoints.rerank.schema import read
from routing.providers.base import MalformedAnswer


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
