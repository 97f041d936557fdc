"""A stream split at any byte is relayed as if it had come at once, whatever the client's format and the dialect."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import pytest

from billing.kinds import Usage
from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Bill, Form, Head
from routing.providers import ADAPTERS, read_options
from routing.providers.base import End, UpstreamCall
from routing.wire.frames import Again
from tests.dialects import ANTHROPIC, ARGUMENTS, CHAT, COMPLETIONS, GEMINI, RESPONSES, TEXT, TOOL, Dialect

HEAD: Final = Head("request-1", "lab/m", 1_700_000_000, expected_input=9)
BILL: Final = Bill(Usage(input=12, cached_input=4, output=5), {}, "0.5", {"currency": "USD"})
ASKED: Final[dict[str, dict[str, Any]]] = {
    "chat.completions": {"tools": [{"type": "function", "function": {"name": TOOL}}]},
    "messages": {"tools": [{"name": TOOL, "input_schema": {"type": "object"}}]},
    "responses": {"tools": [{"type": "function", "name": TOOL}]},
    "generate": {"tools": [{"functionDeclarations": [{"name": TOOL}]}]},
    "completions": {},
}
"""What requests have beside the smallest that there is."""
TRANSLATED: Final = ("chat.completions", "messages", "responses", "generate")
PAIRS: Final = [*product(TRANSLATED, (CHAT, ANTHROPIC, GEMINI)), ("responses", RESPONSES), ("completions", COMPLETIONS)]


class Exchange:
    """A stream from an upstream's bytes to the client's."""

    def __init__(self, name: str, dialect: Dialect) -> None:
        endpoint, (via,) = ENDPOINTS[name], dialect.shape.vias
        adapter, options = ADAPTERS[via.provider], read_options(via.provider, dict(via.options))
        spoken = (each for each in (endpoint, *endpoint.over) if adapter.speaks(each.name, "up.example", options))
        self._form: Form = next(spoken)
        self._adapter = adapter
        body = {**endpoint.smallest, **ASKED[name], "model": "lab/m", "stream": True}
        self._request = endpoint.read(body)
        self._call = UpstreamCall(
            endpoint=self._form.name,
            path=self._form.path,
            body=self._form.body(self._request, body),
            upstream_model="m",
            host="up.example",
            secret="",
            cap=1000,
            answers=1,
            is_stream=True,
            options=options,
            is_translated=self._form is not endpoint,
        )

    def relayed(self, *pieces: bytes) -> bytes:
        """All that the client gets; raises AssertionError unless it is a whole answer."""
        reader, relay = self._adapter.open(self._call), self._form.relay(self._request, HEAD, 1000)
        reader.abbreviates = relay.takes_again
        out = b""
        for event in (event for piece in (*pieces, None) for event in reader.feed(piece)):
            if type(event) is dict:
                out += relay.relay(event)
            elif type(event) is Again:
                out += relay.again(event)
            elif type(event) is End:
                assert event.error is None
                relay.is_done = True
                break
        assert relay.is_complete
        return out + relay.closing(BILL)


@pytest.mark.parametrize(("name", "dialect"), PAIRS, ids=[f"{name} before {dialect.name}" for name, dialect in PAIRS])
def test_stream_split_at_any_byte_is_the_same_to_the_client(name: str, dialect: Dialect) -> None:
    exchange, raw = Exchange(name, dialect), b"".join(dialect.events)
    whole = exchange.relayed(raw)
    assert len(whole) > len(TEXT) + len(ARGUMENTS) * dialect.calls
    assert [at for at in range(1, len(raw)) if exchange.relayed(raw[:at], raw[at:]) != whole] == []
    assert exchange.relayed(*(raw[at : at + 1] for at in range(len(raw)))) == whole
