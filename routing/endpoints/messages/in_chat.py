"""Messages said in chat's format: the form for upstreams that do not speak Anthropic's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billing.kinds import Usage
from routing.endpoints.base import Assembler, Bill, Head, Needs, Relay
from routing.endpoints.chat import CHAT
from routing.endpoints.chat.answer import check_answer
from routing.endpoints.chat.assembler import ChatAssembler
from routing.endpoints.messages import from_chat
from routing.endpoints.messages.schema import MessagesRequest
from routing.endpoints.messages.to_chat import body_of


class InChat:
    name = CHAT.name
    path = CHAT.path

    words = staticmethod(CHAT.words)
    pieces = staticmethod(CHAT.pieces)

    def body(self, request: MessagesRequest, body: dict[str, Any]) -> Mapping[str, Any]:
        return body_of(body)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return CHAT.estimate(answer, needs)

    def check(self, request: MessagesRequest, answer: dict[str, Any]) -> None:
        check_answer(answer)
        from_chat.check_calls(answer)

    def complete(
        self, request: MessagesRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        return from_chat.complete(request, answer, head, bill, explanation)

    def relay(self, request: MessagesRequest, head: Head, most_output: int) -> Relay:
        return from_chat.InChatRelay(request, head, most_output)

    def assembler(self, request: MessagesRequest) -> Assembler:
        return ChatAssembler(1)
