"""How much a moderation may use, and what of its answer is told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head
from routing.endpoints.chat.needs import IMAGE_TOKENS, IMAGE_TOKENS_AT_MOST
from routing.endpoints.moderations import MODERATIONS
from routing.endpoints.moderations.schema import read
from routing.providers.base import MalformedAnswer
from tests.routing.endpoints.media import LEARNED, MODEL

PICTURE = {"type": "image_url", "image_url": {"url": "data:xxxx"}}
BILL = Bill(Usage(input=9), {}, "0.5", {"currency": "USD"})


def asked(given: Any = "a") -> Any:
    return read({"model": "m", "input": given})


def test_pictures_are_no_text() -> None:
    needs = MODERATIONS.needs(asked([{"type": "text", "text": "a"}, PICTURE, PICTURE]), {}, 118, MODEL, LEARNED, 1)
    assert (needs.text_bytes, needs.is_all_text, needs.capabilities) == (100, False, frozenset({"images"}))
    assert needs.input_bound == 50 + 2 * IMAGE_TOKENS_AT_MOST
    assert needs.expected_input == 25 + 2 * IMAGE_TOKENS
    plain = MODERATIONS.needs(asked(), {}, 100, MODEL, LEARNED, 1)
    assert (plain.text_bytes, plain.is_all_text, plain.capabilities, plain.input_bound) == (100, True, frozenset(), 50)


def completed(result: dict[str, Any], explanation: Any = None) -> Any:
    answer = {"results": [result]}
    MODERATIONS.check(asked(), answer)
    return orjson.loads(MODERATIONS.complete(asked(), answer, Head("modr-1", "lab/a", 5), BILL, explanation))


def test_odd_scores_are_the_verdicts() -> None:
    result = {
        "categories": {"hate": True, "law": False, "pii": None},
        "category_scores": {"hate": "high", "law": 0.25, "pii": float("nan"), "of no category": 1},
        "category_applied_input_types": {"hate": ["image"], "law": ["sound"], "pii": "text"},
    }
    assert completed(result)["results"] == [
        {
            "flagged": True,
            "categories": {"hate": True, "law": False, "pii": False},
            "category_scores": {"hate": 1.0, "law": 0.25, "pii": 0.0},
            "category_applied_input_types": {"hate": ["image"], "law": ["text"], "pii": ["text"]},
        }
    ]
    assert "costrouter" not in completed(result)
    assert completed(result, {"route": 1})["costrouter"] == {"route": 1}


@pytest.mark.parametrize("results", [None, [], [{}, {}], [5], [{"categories": {}}], [{"categories": {"hate": 1}}]])
def test_judgement_that_is_none_is_malformed(results: Any) -> None:
    with pytest.raises(MalformedAnswer):
        MODERATIONS.check(asked(), {"results": results})
