"""Responses said in chat's format: for every upstream that has no Responses API of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from billing.kinds import Usage
from routing.endpoints.base import Assembler, Bill, Head, Needs, Relay, to_json
from routing.endpoints.chat.answer import check_answer, complete_answer, estimate_output
from routing.endpoints.chat.assembler import ChatAssembler
from routing.endpoints.chat.carried import CarriedRelay
from routing.endpoints.chat.stream import pieces_of, words_of
from routing.endpoints.responses.answer import hex_of, public_usage, response_of
from routing.endpoints.responses.messages import chat_body
from routing.endpoints.responses.output import Output
from routing.endpoints.responses.schema import ResponsesRequest
from routing.endpoints.responses.stream import Events


class InChat:
    name = "chat.completions"
    path = "/chat/completions"

    words = staticmethod(words_of)
    pieces = staticmethod(pieces_of)

    def body(self, request: ResponsesRequest, body: dict[str, Any]) -> Mapping[str, Any]:
        return chat_body(request)

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=needs.expected_input, output=estimate_output(answer))

    def check(self, request: ResponsesRequest, answer: dict[str, Any]) -> None:
        check_answer(answer)

    def complete(
        self, request: ResponsesRequest, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None
    ) -> bytes:
        complete_answer(answer, head)
        output = Output(request, hex_of(head), lambda _event, _members: None)
        for piece in pieces_of(answer):
            if piece["choices"][0]["index"] == 0:
                output.add(piece["choices"][0])
        output.close()
        return to_json(_whole(request, head, output, bill, explanation))

    def relay(self, request: ResponsesRequest, head: Head, most_output: int) -> Relay:
        return InChatRelay(request, head, most_output)

    def assembler(self, request: ResponsesRequest) -> Assembler:
        return ChatAssembler(1)


def _whole(
    request: ResponsesRequest, head: Head, output: Output, bill: Bill, explanation: Any
) -> dict[str, Any]:  # fmt: skip
    response = response_of(request, head, "completed", output.items)
    if output.incomplete:
        response.update(status="incomplete", incomplete_details={"reason": output.incomplete})
    response["usage"] = public_usage(bill)
    return response if explanation is None else {**response, "costrouter": explanation}


class InChatRelay(CarriedRelay):
    """A chat stream as a Response's events."""

    def __init__(self, request: ResponsesRequest, head: Head, most_output: int) -> None:
        self._request = request
        self._head = head
        super().__init__(request.model, 1, head, most_output)
        self._events = Events()
        self._output = Output(request, hex_of(head), self._events.add)
        self._has_begun = False
        self._is_cut = False

    @property
    def written(self) -> int:
        """How many events were made."""
        return self._events.number

    def relay(self, chunk: dict[str, Any]) -> bytes:
        self._chat.relay(chunk)  # counts, and completes the chunk in place
        if not self._has_begun:
            self._begin()
        for choice in chunk["choices"]:
            if choice["index"] == 0:
                self._output.add(choice)
        return self._events.take()

    def _begin(self) -> None:
        self._has_begun = True
        response = response_of(self._request, self._head, "in_progress", [])
        self._events.add("response.created", {"response": response})
        self._events.add("response.in_progress", {"response": response})

    def cut(self) -> bytes:
        self._chat.cut()
        self._output.cut()
        return b""

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        self._output.close()
        response = _whole(self._request, self._head, self._output, bill, explanation)
        self._events.add(f"response.{response['status']}", {"response": response})
        return self._events.take()


def error_event(envelope: Mapping[str, Any], number: int) -> bytes:
    """A failure after `number` events, as the public schema has it and, beside that, as OpenAI's servers send it."""
    error = envelope["error"]
    flat = {"code": error["code"], "message": error["message"], "param": error["param"]}
    event = {"type": "error", **flat, "sequence_number": number, "error": error}
    return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"
