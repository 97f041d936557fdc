"""POST /v1/chat/completions as an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from billing.kinds import Usage
from routing.endpoints.base import Assembler, Bill, Endpoint, Head, Needs, Relay, to_json
from routing.endpoints.chat.answer import check_answer, complete_answer, estimate_output, public_usage
from routing.endpoints.chat.assembler import ChatAssembler
from routing.endpoints.chat.identity import drop_hidden, is_in
from routing.endpoints.chat.needs import needs_of
from routing.endpoints.chat.schema import ChatRequest, read
from routing.endpoints.chat.stream import ChatRelay, pieces_of, words_of
from routing.endpoints.plain import Plain


class Chat(Plain):
    name = "chat.completions"
    id_prefix = "chatcmpl-"
    path = "/chat/completions"
    streams = True
    smallest_cap = 16
    smallest: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": smallest_cap}

    read = staticmethod(read)
    needs = staticmethod(needs_of)
    words = staticmethod(words_of)
    pieces = staticmethod(pieces_of)

    def check(self, request: ChatRequest, answer: dict[str, Any]) -> None:
        check_answer(answer, request.choices)

    def has_produced(self, usage: Usage) -> bool:
        return usage.output > 0 or usage.images > 0

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, output=estimate_output(answer))

    def complete(
        self, request: ChatRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        complete_answer(answer, head)
        answer["usage"] = public_usage(bill)
        whole = to_json(answer)
        if is_in(whole, head.hidden):
            drop_hidden(answer, head.hidden)
            whole = to_json(answer)
        return whole if explanation is None else to_json({**answer, "costrouter": explanation})

    def relay(self, request: ChatRequest, head: Head, most_output: int) -> Relay:
        return ChatRelay(request, head, most_output)

    def assembler(self, request: ChatRequest) -> Assembler:
        return ChatAssembler(request.choices)


CHAT: Final[Endpoint] = Chat()
