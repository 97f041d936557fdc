"""What most endpoints have in common: one format, OpenAI's own, and its envelope for errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import orjson

from accounts.errors import GatewayError
from billing.kinds import NOTHING, Usage
from routing.endpoints.base import Bill, Form, Needs
from routing.providers.base import MalformedAnswer
from routing.wire.events import KEEP_ALIVE

_NO_HEADERS: Final[frozenset[bytes]] = frozenset()


def usage_of_input(bill: Bill) -> dict[str, Any]:
    """The usage object where nothing is written: the input's tokens, and the exact cost."""
    count = bill.usage.input
    cost = orjson.Fragment(bill.cost)  # digit by digit
    return {"prompt_tokens": count, "total_tokens": count, "cost": cost, "cost_details": bill.details}


class Plain:
    """An endpoint whose requests go upstream as they came, in its one format."""

    over: tuple[Form, ...] = ()
    keep_alive = KEEP_ALIVE
    passes = _NO_HEADERS

    def __init__(self) -> None:
        # What each request asks for becomes the instance's own: Python 3.11 finds that four times as fast.
        for name in ("name", "path", "id_prefix", "over", "passes"):
            setattr(self, name, getattr(self, name))

    def body(self, request: Any, body: dict[str, Any]) -> Mapping[str, Any]:
        return body

    def received(self, relay: Any, needs: Needs) -> Usage:
        output = relay.received_tokens()
        return Usage(input=needs.expected_input, output=output) if output else NOTHING

    def prompt(self, needs: Needs) -> Usage:
        return Usage(input=needs.expected_input)

    def media(self, request: Any, told: bytes) -> bytes:
        return b""

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        return {**error.envelope}

    def error_event(self, error: GatewayError, request_id: str, relay: Any) -> bytes:
        return b"data: " + orjson.dumps(self.envelope(error, request_id)) + b"\n\n"


class Unassembled(Plain):
    """One whose upstreams are asked to stream only where the client wants a stream."""

    streams = False

    def words(self, chunk: Mapping[str, Any]) -> str:
        return ""

    def pieces(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        raise NotImplementedError("never streamed instead")

    def assembler(self, request: Any) -> NoReturn:
        raise MalformedAnswer("events came where an answer should")


class Unstreamed(Unassembled):
    """One whose answers are whole, always."""

    def relay(self, request: Any, head: Any, most_output: int) -> NoReturn:
        raise NotImplementedError("never streamed")


class InputOnly(Unstreamed):
    """One whose answers are paid by what was read: nothing is written."""

    smallest_cap = 0

    def has_produced(self, usage: Usage) -> bool:
        return usage.input > 0

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        return Usage(input=max(1, needs.expected_input))
