"""Embeddings of texts: ai.google.dev/api/embeddings#method:-models.batchembedcontents."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

from billing.kinds import Usage
from routing.providers.base import MalformedAnswer, UpstreamCall
from routing.providers.gemini.reader import object_in
from routing.providers.gemini.usage import usage_of
from routing.providers.openai.failures import raise_failure

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def request(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """One request for each text, all in one body."""
    asked = body["input"]
    length = {} if body.get("dimensions") is None else {"outputDimensionality": body["dimensions"]}
    texts = [asked] if type(asked) is str else asked
    return {"requests": [{"model": model, "content": {"parts": [{"text": text}]}, **length} for text in texts]}


class EmbeddingsReader:
    """One answer, which is whole."""

    usage: Usage | None = None
    is_exact = True
    is_partial = False
    is_doubtful = False
    abbreviates = False
    reported: Mapping[str, Any] = _NOTHING
    remark = ""
    told_cost = None

    def __init__(self, call: UpstreamCall) -> None:
        self._call = call

    def feed(self, data: bytes | None) -> NoReturn:
        raise NotImplementedError("never streamed")

    def is_piece(self, data: bytes) -> bool:
        return False

    def whole(self, body: bytes) -> dict[str, Any]:
        answer = object_in(body)
        if answer.get("error"):
            raise_failure(answer)
        vectors = answer.get("embeddings")
        if type(vectors) is not list:
            raise MalformedAnswer("the answer has no vectors")
        reported: Any = answer.get("usageMetadata")
        self.usage = usage_of(reported)
        if self.usage is not None:
            self.reported = reported
        data = [{"index": place, "embedding": _values(vector)} for place, vector in enumerate(vectors)]
        return {"object": "list", "data": data}


def _values(vector: Any) -> Any:
    return vector.get("values") if type(vector) is dict else None
