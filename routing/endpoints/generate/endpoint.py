"""POST /v1/models/{model_id}:generateContent and :streamGenerateContent as an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import orjson

from accounts.errors import GatewayError
from billing.kinds import Usage
from routing.endpoints.base import Bill, Endpoint, Form, Head, Needs, Relay
from routing.endpoints.generate import refusals
from routing.endpoints.generate.answer import check, estimate_output, make_ours, public_usage, texts_of, written
from routing.endpoints.generate.in_chat import InChat
from routing.endpoints.generate.needs import needs_of
from routing.endpoints.generate.schema import GenerateRequest, read
from routing.endpoints.generate.stream import GenerateRelay, event
from routing.endpoints.plain import Plain
from routing.providers.base import MalformedAnswer


class Generate(Plain):
    name = "generate"
    id_prefix = "gen-"
    path = "/models/{model_id}:generateContent"
    streams = True
    over: tuple[Form, ...] = (InChat(),)
    keep_alive = b""  # Google's packages for Python and Go read a comment as JSON; its own server is silent, too
    smallest_cap = 16
    smallest: Mapping[str, Any] = {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {"maxOutputTokens": smallest_cap},
    }

    read = staticmethod(read)
    needs = staticmethod(needs_of)
    envelope = staticmethod(refusals.envelope)

    def words(self, chunk: Mapping[str, Any]) -> str:
        candidates = chunk.get("candidates")
        return "".join(texts_of(candidates[0])) if candidates else ""

    def pieces(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        return [answer]

    def check(self, request: GenerateRequest, answer: dict[str, Any]) -> None:
        check(answer, request.choices)

    def has_produced(self, usage: Usage) -> bool:
        return bool(usage.output or usage.images)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, output=estimate_output(answer))

    def complete(
        self, request: GenerateRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        make_ours(answer, head)
        answer["usageMetadata"] = public_usage(bill)
        if explanation is not None:
            answer["costrouter"] = explanation
        return b"[%b]" % written(answer, head) if request.is_list else written(answer, head)

    def relay(self, request: GenerateRequest, head: Head, most_output: int) -> Relay:
        return GenerateRelay(request.choices, head, most_output)

    def assembler(self, request: GenerateRequest) -> NoReturn:
        raise MalformedAnswer("events came where an answer should")

    def error_event(self, error: GatewayError, request_id: str, relay: Any) -> bytes:
        return event(orjson.dumps(self.envelope(error, request_id)))


GENERATE: Final[Endpoint] = Generate()
