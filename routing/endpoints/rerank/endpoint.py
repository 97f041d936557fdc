"""POST /v1/rerank as an endpoint.

Its price is that of input tokens and the fee of a request. Vendors that charge by the search tell no tokens: of those
the fee is the price, and tokens are estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from routing.endpoints.base import Bill, Endpoint, Head, Learned, ModelFacts, Needs, to_json
from routing.endpoints.members import is_number
from routing.endpoints.plain import InputOnly, usage_of_input
from routing.endpoints.rerank.schema import RerankRequest, read
from routing.errors import ContextLengthExceeded
from routing.providers.base import MalformedAnswer

_BYTES_OF_A_TOKEN_AT_MOST: Final = 8


class Rerank(InputOnly):
    name = "rerank"
    id_prefix = "rerank-"
    path = "/rerank"
    smallest: Mapping[str, Any] = {"query": "Hi", "documents": ["Hi"]}

    read = staticmethod(read)

    def needs(
        self,
        request: RerankRequest,
        body: dict[str, Any],
        body_bytes: int,
        model: ModelFacts,
        learned: Learned,
        tenant_id: int,
    ) -> Needs:
        """Each document is read together with the query. Raises ContextLengthExceeded where one surely is too long."""
        _check_window(request, model)
        read_bytes = body_bytes + len(request.query.encode()) * (len(request.documents) - 1)
        return Needs(
            text_bytes=read_bytes,
            is_all_text=False,
            input_bound=int(read_bytes / learned.dense_bytes_per_token(model.name)),
            expected_input=int(read_bytes / learned.bytes_per_token(model.name)),
        )

    def check(self, request: RerankRequest, answer: dict[str, Any]) -> None:
        """As many results as were asked for, or more, each with its document's place and a score."""
        results = answer.get("results")
        if type(results) is not list:
            results = answer["results"] = answer.get("data")  # Voyage's name
        if type(results) is not list or not all(type(each) is dict for each in results):
            raise MalformedAnswer("the answer has no results")
        for each in results:
            if "relevance_score" not in each and "score" in each:  # TEI's name, and that of vLLM's scores
                each["relevance_score"] = each["score"]
        places = [each.get("index") for each in results]
        if not all(type(place) is int and 0 <= place < len(request.documents) for place in places):
            raise MalformedAnswer("a result is of no document")
        if len(set(places)) != len(places) or len(places) < request.results:
            raise MalformedAnswer(f"the answer has {len(set(places))} results for {request.results} asked for")
        if not all(is_number(each.get("relevance_score")) for each in results):
            raise MalformedAnswer("a result has no score")

    def complete(
        self, request: RerankRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        """The best first, as many as were asked for, with the documents only where they were asked for."""
        ranked = sorted(answer["results"], key=lambda each: -each["relevance_score"])[: request.results]
        results = [
            {"index": each["index"], "relevance_score": each["relevance_score"], **_document(request, each["index"])}
            for each in ranked
        ]
        told = {} if explanation is None else {"costrouter": explanation}
        whole = {
            "object": "list",
            "id": head.public_id,
            "model": head.model,
            "results": results,
            "usage": usage_of_input(bill),
        }
        return to_json({**whole, **told})


def _document(request: RerankRequest, place: int) -> dict[str, Any]:
    if not request.return_documents:
        return {}
    document = request.documents[place]
    return {"document": {"text": document} if type(document) is str else document}


def _check_window(request: RerankRequest, model: ModelFacts) -> None:
    longest = max(map(len, request.texts))
    least = (len(request.query) + longest) // _BYTES_OF_A_TOKEN_AT_MOST
    if least > model.context_window:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {model.context_window} tokens, but a document with the query has "
            f"at least {least}.",
            param="documents",
        )


RERANK: Final[Endpoint] = Rerank()
