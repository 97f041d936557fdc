"""POST /v1/chat/completions as an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from billing.kinds import Usage
from routing.endpoints.base import Assembler, Bill, Endpoint, Head, Learned, ModelFacts, Needs, Relay, to_json
from routing.endpoints.chat import identity
from routing.endpoints.chat.answer import check_answer, complete_answer, estimate_output, public_usage
from routing.endpoints.chat.assembler import ChatAssembler
from routing.endpoints.chat.needs import needs_of
from routing.endpoints.chat.schema import ChatRequest, read
from routing.endpoints.chat.stream import ChatRelay, pieces_of, words_of


class Chat:
    name = "chat.completions"
    id_prefix = "chatcmpl-"
    path = "/chat/completions"
    smallest_cap = 16
    smallest: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": smallest_cap}

    def read(self, body: dict[str, Any]) -> ChatRequest:
        return read(body)

    def needs(
        self,
        request: ChatRequest,
        body: dict[str, Any],
        body_bytes: int,
        model: ModelFacts,
        learned: Learned,
        tenant_id: int,
    ) -> Needs:
        return needs_of(request, body, body_bytes, model, learned, tenant_id)

    def has_produced(self, usage: Usage) -> bool:
        return bool(usage.output or usage.images)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, output=estimate_output(answer))

    def words(self, chunk: Mapping[str, Any]) -> str:
        return words_of(chunk)

    def check(self, answer: dict[str, Any]) -> None:
        check_answer(answer)

    def complete(self, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None) -> bytes:
        complete_answer(answer, head)
        whole = to_json(answer)
        if any(word in whole for word in head.hidden):
            identity.drop_hidden(answer, head.hidden)
        answer["usage"] = public_usage(bill)
        if explanation is not None:
            answer["costrouter"] = explanation
        return to_json(answer)

    def pieces(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        return pieces_of(answer)

    def relay(self, request: ChatRequest, head: Head) -> Relay:
        return ChatRelay(request, head)

    def assembler(self, request: ChatRequest) -> Assembler:
        return ChatAssembler(request.choices)


CHAT: Final[Endpoint] = Chat()
