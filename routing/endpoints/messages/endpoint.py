"""POST /v1/messages, and /v1/messages/count_tokens, as endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from accounts.errors import GatewayError
from billing.kinds import Usage
from routing.endpoints.base import Assembler, Bill, Form, Head, Needs, Relay
from routing.endpoints.messages import refusals
from routing.endpoints.messages.answer import check_message, complete_message, estimate_output
from routing.endpoints.messages.in_chat import InChat
from routing.endpoints.messages.needs import count_of, needs_of
from routing.endpoints.messages.schema import CountRequest, MessagesRequest, read, read_count
from routing.endpoints.messages.stream import MessagesAssembler, MessagesRelay, words_of
from routing.endpoints.plain import Plain
from routing.providers.anthropic.pieces import pieces_of


class Messages(Plain):
    name = "messages"
    id_prefix = "msg_"
    path = "/messages"
    streams = True
    over: tuple[Form, ...] = (InChat(),)
    passes = frozenset((b"anthropic-beta", b"anthropic-version"))
    smallest_cap = 16
    smallest: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": smallest_cap}

    needs = staticmethod(needs_of)
    words = staticmethod(words_of)
    pieces = staticmethod(pieces_of)

    def read(self, body: dict[str, Any]) -> CountRequest:
        return read(body)

    def has_produced(self, usage: Usage) -> bool:
        return bool(usage.output)

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return refusals.envelope(error, request_id)

    def error_event(self, error: GatewayError, request_id: str, relay: Any) -> bytes:
        return refusals.error_event(error, request_id)

    def check(self, request: MessagesRequest, answer: dict[str, Any]) -> None:
        check_message(answer)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, output=estimate_output(answer))

    def complete(
        self, request: MessagesRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        return complete_message(answer, head, bill, explanation)

    def relay(self, request: MessagesRequest, head: Head, most_output: int) -> Relay:
        return MessagesRelay(request, head, most_output)

    def assembler(self, request: MessagesRequest) -> Assembler:
        return MessagesAssembler()


class CountTokens(Messages):
    """The same request, of which nothing is asked but how long it is."""

    needs = staticmethod(count_of)

    def read(self, body: dict[str, Any]) -> CountRequest:
        return read_count(body)


MESSAGES: Final = Messages()
COUNT_TOKENS: Final = CountTokens()
