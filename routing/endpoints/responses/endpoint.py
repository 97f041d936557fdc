"""POST /v1/responses as an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from accounts.errors import GatewayError
from billing.kinds import Usage
from routing.endpoints.base import Assembler, Bill, Endpoint, Form, Head, Needs, Relay, to_json
from routing.endpoints.chat.answer import estimate_strings
from routing.endpoints.plain import Plain
from routing.endpoints.received import BYTES_PER_TOKEN
from routing.endpoints.responses.answer import check_response, complete_native, public_usage
from routing.endpoints.responses.in_chat import InChat, error_event
from routing.endpoints.responses.needs import needs_of
from routing.endpoints.responses.schema import ResponsesRequest, read
from routing.endpoints.responses.stream import ResponsesAssembler, ResponsesRelay, pieces_of, words_of


class Responses(Plain):
    name = "responses"
    id_prefix = "resp_"
    path = "/responses"
    streams = True
    over: tuple[Form, ...] = (InChat(),)
    smallest_cap = 16
    smallest: Mapping[str, Any] = {"input": "Hi", "max_output_tokens": smallest_cap}

    read = staticmethod(read)
    needs = staticmethod(needs_of)
    words = staticmethod(words_of)
    pieces = staticmethod(pieces_of)

    def check(self, request: ResponsesRequest, answer: dict[str, Any]) -> None:
        check_response(answer)

    def has_produced(self, usage: Usage) -> bool:
        return bool(usage.output or usage.images)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        written = sum(map(estimate_strings, answer["output"]))
        return Usage(input=needs.expected_input, output=-(-written // BYTES_PER_TOKEN))

    def complete(
        self, request: ResponsesRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        response = {**complete_native(request, answer, head), "usage": public_usage(bill)}
        return to_json(response if explanation is None else {**response, "costrouter": explanation})

    def relay(self, request: ResponsesRequest, head: Head, most_output: int) -> Relay:
        return ResponsesRelay(request, head, most_output)

    def assembler(self, request: ResponsesRequest) -> Assembler:
        return ResponsesAssembler()

    def error_event(self, error: GatewayError, request_id: str, relay: Any) -> bytes:
        return error_event(self.envelope(error, request_id), relay.written)


RESPONSES: Final[Endpoint] = Responses()
