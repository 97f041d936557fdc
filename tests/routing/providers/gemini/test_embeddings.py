"""Embeddings of Google's: one request for each text, and the vectors in their places."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from billing.kinds import Usage
from routing.providers.base import MalformedAnswer, UpstreamCall
from routing.providers.gemini import GEMINI

VECTORS: Final = [{"values": [0.5, 1.0]}, {"values": [2.0, 3.0]}]


def call(**body: Any) -> UpstreamCall:
    return UpstreamCall(
        endpoint="embeddings", path="/embeddings", body={"model": "public", "input": "a", **body},
        upstream_model="embedding-001", host="generativelanguage.googleapis.com", secret="s", cap=0, answers=1,
        is_stream=False,
    )  # fmt: skip


def asked(**body: Any) -> list[dict[str, Any]]:
    sent = GEMINI.request(call(**body))
    assert sent.path == "/models/embedding-001:batchEmbedContents"
    requests: list[dict[str, Any]] = orjson.loads(sent.body)["requests"]
    return requests


def for_text(text: str, **members: Any) -> dict[str, Any]:
    return {"model": "models/embedding-001", "content": {"parts": [{"text": text}]}, **members}


@pytest.mark.parametrize(
    ("body", "requests"),
    [
        ({}, [for_text("a")]),
        ({"input": ["a", "b"]}, [for_text("a"), for_text("b")]),
        ({"dimensions": 2}, [for_text("a", outputDimensionality=2)]),
        ({"dimensions": None}, [for_text("a")]),
    ],
    ids=str,
)
def test_each_text_is_a_request(body: dict[str, Any], requests: list[dict[str, Any]]) -> None:
    assert asked(**body) == requests


def test_vectors_have_their_places_and_are_counted() -> None:
    reader = GEMINI.open(call(input=["a", "b"]))
    told = reader.whole(orjson.dumps({"embeddings": VECTORS, "usageMetadata": {"promptTokenCount": 7}}))
    assert told["data"] == [{"index": 0, "embedding": [0.5, 1.0]}, {"index": 1, "embedding": [2.0, 3.0]}]
    assert (reader.usage, reader.reported) == (Usage(input=7), {"promptTokenCount": 7})


def test_vector_that_is_none_leaves_the_others_in_their_places() -> None:
    told = GEMINI.open(call()).whole(orjson.dumps({"embeddings": [5, VECTORS[1]]}))
    assert [each["embedding"] for each in told["data"]] == [None, [2.0, 3.0]]


@pytest.mark.parametrize("usage", [None, {"promptTokenCount": -1}, 5], ids=str)
def test_vectors_without_counts_are_vectors(usage: Any) -> None:
    reader = GEMINI.open(call())
    assert len(reader.whole(orjson.dumps({"embeddings": VECTORS, "usageMetadata": usage}))["data"]) == 2
    assert (reader.usage, reader.reported) == (None, {})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": {"message": "worker limit"}, "embeddings": VECTORS}, "worker limit"),
        ({"embeddings": {"values": [1.0]}}, "no vectors"),
        ({"embeddings": None}, "no vectors"),
        ({}, "no vectors"),
    ],
    ids=str,
)
def test_answer_without_vectors_is_none(answer: dict[str, Any], words: str) -> None:
    with pytest.raises(MalformedAnswer, match=words):
        GEMINI.open(call()).whole(orjson.dumps(answer))
