"""POST /v1/vectors, after OpenAI's embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from billing.kinds import Usage
from routing.endpoints.base import Bill, Head, Learned, ModelFacts, Needs, to_json
from routing.endpoints.invalid import convert
from routing.endpoints.plain import Unstreamed
from routing.endpoints.preferences import ModelName, ProviderPreferences
from routing.providers.base import MalformedAnswer


class VectorsRequest(Struct):
    model: ModelName
    input: str | list[str]
    models: list[ModelName] | None = None
    provider: ProviderPreferences | None = None

    @property
    def is_stream(self) -> bool:
        return False


class Vectors(Unstreamed):
    name = "vectors"
    id_prefix = "vec-"
    path = "/vectors"
    smallest_cap = 0
    smallest: Mapping[str, Any] = {"input": "Hi"}

    def read(self, body: dict[str, Any]) -> VectorsRequest:
        return convert(body, VectorsRequest)

    def needs(
        self, request: VectorsRequest, body: Any, body_bytes: int, model: ModelFacts, learned: Learned, tenant_id: int
    ) -> Needs:
        return Needs(
            text_bytes=body_bytes,
            is_all_text=True,
            input_bound=int(body_bytes / learned.dense_bytes_per_token(model.name)),
            expected_input=int(body_bytes / learned.bytes_per_token(model.name)),
            least_input=0,
            cap=0,
            is_cap_ours=False,
            answers=1,
            expected_output=0,
            capabilities=frozenset(),
            prefix=0,
        )

    def has_produced(self, usage: Usage) -> bool:
        return bool(usage.input)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=needs.expected_input)

    def check(self, request: VectorsRequest, answer: dict[str, Any]) -> None:
        if type(answer.get("data")) is not list:
            raise MalformedAnswer("the answer has no data")

    def complete(
        self, request: VectorsRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        cost = orjson.Fragment(bill.cost)
        usage = {"prompt_tokens": bill.usage.input, "cost": cost, "cost_details": bill.details}
        told = {} if explanation is None else {"costrouter": explanation}
        return to_json({"id": head.public_id, "model": head.model, "data": answer["data"], "usage": usage, **told})


VECTORS: Final = Vectors()
