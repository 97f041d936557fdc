"""POST /v1/moderations as an endpoint. OpenAI's own counts no tokens, so what the input has is estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from routing.endpoints.base import Bill, Endpoint, Head, Learned, ModelFacts, Needs, to_json
from routing.endpoints.chat.needs import IMAGE_TOKENS, IMAGE_TOKENS_AT_MOST
from routing.endpoints.members import is_number
from routing.endpoints.moderations.schema import ModerationsRequest, read
from routing.endpoints.plain import InputOnly, usage_of_input
from routing.providers.base import MalformedAnswer

_SEES: Final = frozenset(("images",))
_PLAIN: Final[frozenset[str]] = frozenset()
_YES: Final = ("true", "1")
_INPUTS: Final = ("text", "image")


class Moderations(InputOnly):
    name = "moderations"
    id_prefix = "modr-"
    path = "/moderations"
    smallest: Mapping[str, Any] = {"input": "Hi"}

    read = staticmethod(read)

    def needs(
        self,
        request: ModerationsRequest,
        body: dict[str, Any],
        body_bytes: int,
        model: ModelFacts,
        learned: Learned,
        tenant_id: int,
    ) -> Needs:
        images = request.images
        text_bytes = body_bytes - sum(map(len, images))
        return Needs(
            text_bytes=text_bytes,
            is_all_text=not images,
            input_bound=int(text_bytes / learned.dense_bytes_per_token(model.name))
            + len(images) * IMAGE_TOKENS_AT_MOST,
            expected_input=int(text_bytes / learned.bytes_per_token(model.name)) + len(images) * IMAGE_TOKENS,
            capabilities=_SEES if images else _PLAIN,
        )

    def check(self, request: ModerationsRequest, answer: dict[str, Any]) -> None:
        """A judgement of each input: fewer would pass for harmless."""
        results = answer.get("results")
        if type(results) is not list or len(results) != request.results:
            count = len(results) if type(results) is list else 0
            raise MalformedAnswer(f"the answer has {count} results for {request.results} inputs")
        for result in results:
            if type(result) is not dict or type(result.get("categories")) is not dict or not result["categories"]:
                raise MalformedAnswer("a result has no categories")
            if not all(type(verdict) is bool or verdict is None for verdict in result["categories"].values()):
                raise MalformedAnswer("a category is neither true nor false")

    def complete(
        self, request: ModerationsRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        results = [_completed(result) for result in answer["results"]]
        told = {} if explanation is None else {"costrouter": explanation}
        whole = {"id": head.public_id, "model": head.model, "results": results, "usage": usage_of_input(bill)}
        return to_json({**whole, **told})


def _completed(result: dict[str, Any]) -> dict[str, Any]:
    """With what the public schema requires: some say no more than categories and scores (Mistral)."""
    categories = {name: bool(verdict) for name, verdict in result["categories"].items()}
    flagged = result.get("flagged")
    scores, applied = _members(result, "category_scores"), _members(result, "category_applied_input_types")
    return {
        "flagged": flagged if type(flagged) is bool else any(categories.values()) or str(flagged).lower() in _YES,
        "categories": categories,
        "category_scores": {
            name: scores[name] if is_number(scores.get(name)) else float(is_so) for name, is_so in categories.items()
        },
        "category_applied_input_types": {
            name: applied[name] if _are_inputs(applied.get(name)) else ["text"] for name in categories
        },
    }


def _members(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    told = result.get(name)
    return told if type(told) is dict else {}


def _are_inputs(told: Any) -> bool:
    return type(told) is list and all(each in _INPUTS for each in told)


MODERATIONS: Final[Endpoint] = Moderations()
