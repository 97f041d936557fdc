"""POST /v1/embeddings as an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from routing.endpoints.base import Bill, Head, Learned, ModelFacts, Needs, to_json
from routing.endpoints.embeddings.schema import EmbeddingsRequest, read
from routing.endpoints.embeddings.vectors import as_base64, as_floats, len_of
from routing.endpoints.plain import InputOnly, usage_of_input
from routing.errors import ContextLengthExceeded
from routing.providers.base import MalformedAnswer

_BYTES_OF_A_TOKEN_AT_MOST: Final = 8


class Embeddings(InputOnly):
    name = "embeddings"
    id_prefix = "embd-"
    path = "/embeddings"
    smallest: Mapping[str, Any] = {"input": "Hi"}

    read = staticmethod(read)

    def needs(
        self,
        request: EmbeddingsRequest,
        body: dict[str, Any],
        body_bytes: int,
        model: ModelFacts,
        learned: Learned,
        tenant_id: int,
    ) -> Needs:
        """Raises ContextLengthExceeded where one text surely passes the model's window."""
        tokens = request.tokens
        _check_window(request, model)
        return Needs(
            text_bytes=body_bytes,
            is_all_text=tokens is None,
            input_bound=int(body_bytes / learned.dense_bytes_per_token(model.name)) if tokens is None else tokens,
            expected_input=int(body_bytes / learned.bytes_per_token(model.name)) if tokens is None else tokens,
        )

    def check(self, request: EmbeddingsRequest, answer: dict[str, Any]) -> None:
        """One vector for each input, each in its place: fewer would pass for the whole."""
        data = answer.get("data")
        if type(data) is not list or not all(type(each) is dict and each.get("embedding") for each in data):
            raise MalformedAnswer("the answer has no vectors")
        if len(data) != request.inputs:
            raise MalformedAnswer(f"the answer has {len(data)} vectors for {request.inputs} inputs")
        if sorted(map(str, _places_in(data))) != sorted(map(str, range(len(data)))):
            raise MalformedAnswer("the vectors are not in their places")
        if len({len_of(each["embedding"]) for each in data}) > 1:
            raise MalformedAnswer("the vectors have different lengths")

    def complete(
        self, request: EmbeddingsRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        """In the encoding that was asked for, whichever the upstream has sent."""
        write = as_base64 if request.encoding_format == "base64" else as_floats
        places = map(int, _places_in(answer["data"]))
        vectors = zip(places, [each["embedding"] for each in answer["data"]], strict=True)
        data = [
            {"object": "embedding", "index": place, "embedding": write(vector)}
            for place, vector in sorted(vectors, key=lambda pair: pair[0])
        ]
        told = {} if explanation is None else {"costrouter": explanation}
        return to_json(
            {
                "object": "list",
                "id": head.public_id,
                "model": head.model,
                "data": data,
                "usage": usage_of_input(bill),
                **told,
            }
        )


def _places_in(data: list[dict[str, Any]]) -> list[Any]:
    """Which input each vector is of: those that say nothing, or null, are in order."""
    told = [each.get("index") for each in data]
    return [place if index is None else index for place, index in enumerate(told)]


def _check_window(request: EmbeddingsRequest, model: ModelFacts) -> None:
    """The window is one input's: a list of many is as many texts of it."""
    least = max(map(_least_tokens, _each(request)))
    if least > model.context_window:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {model.context_window} tokens, but an input has at least {least}.",
            param="input",
        )


def _each(request: EmbeddingsRequest) -> list[Any]:
    whole = request.input
    return [whole] if type(whole) is str or type(whole[0]) is int else list(whole)


def _least_tokens(text: str | list[int]) -> int:
    return len(text) // _BYTES_OF_A_TOKEN_AT_MOST if type(text) is str else len(text)


EMBEDDINGS: Final = Embeddings()
