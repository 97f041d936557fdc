"""The shape of a rerank request, as Cohere, Jina, Voyage, vLLM and llama.cpp have in common.

docs.cohere.com/reference/rerank, jina.ai/reranker, docs.vllm.ai (score and rerank APIs). Unknown fields travel on
(`max_tokens_per_doc`, `truncation` and the like). Null is absent.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from accounts.errors import InvalidRequest
from routing.endpoints.invalid import InvalidType, convert
from routing.endpoints.preferences import ModelName, ProviderPreferences, UsageOptions, refuse_wishes

_MOST_DOCUMENTS: Final = 2048
Text = Annotated[str, Meta(min_length=1)]


class RerankRequest(Struct):
    model: ModelName
    query: Text
    documents: Annotated[list[str | dict[str, Any]], Meta(min_length=1, max_length=_MOST_DOCUMENTS)]
    top_n: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    """Voyage's name."""
    return_documents: bool | None = None
    user: str | None = None
    models: Annotated[list[ModelName], Meta(max_length=8)] | None = None
    provider: ProviderPreferences | None = None
    usage: UsageOptions | None = None

    @property
    def is_stream(self) -> bool:
        return False

    @property
    def results(self) -> int:
        """How many results are asked for."""
        return min(self.top_n or self.top_k or len(self.documents), len(self.documents))

    @property
    def texts(self) -> list[str]:
        return [each if type(each) is str else each["text"] for each in self.documents]  # type: ignore[index]


def read(body: dict[str, Any]) -> RerankRequest:
    """The checked request; raises an InvalidRequest that names the field in `param`."""
    request = convert(body, RerankRequest)
    refuse_wishes(body)
    if body.get("stream"):
        raise InvalidRequest("Rankings are not streamed.", param="stream")
    for place, document in enumerate(request.documents):
        if type(document) is dict and type(document.get("text")) is not str:
            raise InvalidType(
                f"Invalid type for 'documents[{place}]': expected a text, or an object with a text as 'text'.",
                param=f"documents[{place}]",
            )
    return request
