"""Streams of pictures and sound: events that stand by themselves, each with its type, the last one with the usage."""

from __future__ import annotations

from typing import Any

import orjson

from routing.endpoints.base import Bill, to_json
from routing.wire.frames import Again


class EventRelay:
    """What the relays of such streams have in common: the last event waits for the bill."""

    is_past_cap = False
    takes_again = False

    def __init__(self) -> None:
        self.is_done = False
        self.last: dict[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        return self.last is not None

    def again(self, text: Again) -> bytes:
        """Never asked: every event comes whole."""
        raise NotImplementedError

    def cut(self) -> bytes:
        """Never asked: these streams have no cap."""
        return b""

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        told = {} if explanation is None else {"costrouter": explanation}
        return self.write({**(self.last or {}), "usage": self.usage(bill), **told})

    def usage(self, bill: Bill) -> dict[str, Any]:
        """The usage object of the last event."""
        return with_cost({}, bill)

    def write(self, event: dict[str, Any]) -> bytes:
        """An event as the client gets it."""
        return b"data: " + to_json(event) + b"\n\n"


def with_cost(usage: dict[str, Any], bill: Bill) -> dict[str, Any]:
    """A usage object with the exact cost, digit by digit, and the terms of its sum."""
    return {**usage, "cost": orjson.Fragment(bill.cost), "cost_details": bill.details}
