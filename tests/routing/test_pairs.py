"""A stream split at any byte is relayed as if it had come at once, whatever the client's format and the dialect.

And of what tools are called with, every digit arrives.
"""

from __future__ import annotations

import json
from itertools import product
from typing import Any, Final

import pytest

from billing.kinds import Usage
from routing.endpoints import ENDPOINTS
from routing.endpoints.base import Bill, Form, Head
from routing.providers import ADAPTERS, read_options
from routing.providers.base import End, MalformedAnswer, UpstreamCall
from routing.providers.digits import exact
from routing.wire.frames import Again
from tests.dialects import ANTHROPIC, ARGUMENTS, CHAT, COMPLETIONS, GEMINI, RESPONSES, TEXT, TOOL, Dialect
from tests.grammar import assert_whole, events_in
from tests.routing.providers.anthropic import streams

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

    def __init__(self, name: str, dialect: Dialect, *, is_stream: bool = True, **members: Any) -> None:
        endpoint, (via,) = ENDPOINTS[name], dialect.shape.vias
        adapter, options = ADAPTERS[via.provider], read_options(via.provider, dict(via.options))
        spoken = (each for each in (endpoint, *endpoint.over) if adapter.speaks(each.name, "up.example", options))
        self._form: Form = next(spoken)
        self._adapter = adapter
        body = {**endpoint.smallest, **ASKED[name], "model": "lab/m", "stream": is_stream, **members}
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
            is_stream=is_stream,
            options=options,
            is_translated=self._form is not endpoint,
        )

    @property
    def request(self) -> Any:
        return self._request

    @property
    def sent(self) -> Any:
        """What the upstream is asked."""
        return json.loads(self._adapter.request(self._call).body)

    def whole(self, body: bytes) -> bytes:
        answer = self._adapter.open(self._call).whole(body)
        self._form.check(self._request, answer)
        return self._form.complete(self._request, answer, HEAD, BILL)

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


LONG: Final = (b"12345678901234567890123", b"-9223372036854775809", b"18446744073709551615", b"-9223372036854775808")
"""Whole numbers up to 64 bits, and beyond."""
INPUT: Final = b'{"a": [%b], "b": {"c": [%b, 5]}}' % (b", ".join(LONG[:2]), b", ".join(LONG[2:]))
MESSAGE: Final = (
    b'{"id": "m", "type": "message", "role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", '
    b'"input": %b}], "stop_reason": "tool_use", "usage": {"input_tokens": 12, "output_tokens": 5}}' % INPUT
)
CANDIDATE: Final = (
    b'{"candidates": [{"content": {"parts": [{"%b": {"name": "f", "args": '
    + INPUT
    + b'}}]}, "finishReason": "STOP"}], '
    b'"usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 5}}'
)
every_format = pytest.mark.parametrize("name", TRANSLATED)


def assert_every_digit(raw: bytes) -> None:
    assert [number for number in LONG if raw.count(number) == 0] == []
    assert b"e+" not in raw


@every_format
def test_whole_calls_of_anthropics_keep_every_digit(name: str) -> None:
    assert_every_digit(Exchange(name, ANTHROPIC, is_stream=False).whole(MESSAGE))


@every_format
@pytest.mark.parametrize("member", [b"functionCall", b"function_call"], ids=bytes.decode)
def test_calls_of_googles_keep_every_digit(name: str, member: bytes) -> None:
    body = CANDIDATE % member
    assert_every_digit(Exchange(name, GEMINI, is_stream=False).whole(body))
    assert_every_digit(Exchange(name, GEMINI).relayed(b"data: " + body + b"\n\n"))


def test_numbers_that_were_not_written_whole_are_numbers_still() -> None:
    deep = b'{"a": 12345678901234567890123, "b": ' + b"[" * 2_000 + b"]" * 2_000 + b"}"
    assert exact(deep, 5) == 5
    assert exact(b'{"a": 1.2345678901234567890123}', 5) == {"a": 1.2345678901234567890123}
    short = json.dumps({"a": 10**18 - 1}).encode()
    assert exact(short, 5) == 5


# --- ends without a reason -------------------------------------------------------------------------------------------

BEGUN: Final = (streams.begins({"input_tokens": 12, "output_tokens": 1}), streams.opens())
SAID: Final = (*BEGUN, streams.brings("text", text="Hello"), streams.closes())
CALLED: Final = (*SAID, streams.opens(1, type="tool_use", id="t", name=TOOL, input={}))
NULL: Final = streams.event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 5})
PIECE: Final = streams.brings("input_json", 1, partial_json='{"a":')
WHOLE_WITHOUT_REASON: Final = {
    "text": (*SAID, streams.STOP),
    "a block that did not end": (*SAID[:-1], streams.STOP),
    "null": (*SAID, NULL, streams.STOP),
    "a call": (*CALLED, streams.closes(1), streams.STOP),
}
CUT_WITHOUT_REASON: Final = {
    "no end": SAID,
    "no end behind null": (*SAID, NULL),
    "nothing": (BEGUN[0], streams.STOP),
    "an empty block": (*BEGUN, streams.closes(), streams.STOP),
    "thoughts alone": (
        BEGUN[0], streams.opens(type="thinking", thinking="", signature=""), streams.brings("thinking", thinking="Hm"),
        streams.closes(), streams.STOP,
    ),
    "a call that is cut": (*CALLED, PIECE, streams.STOP),
    "a call that is cut within its block": (*CALLED, PIECE, streams.closes(1), streams.STOP),
}  # fmt: skip


@every_format
@pytest.mark.parametrize("case", WHOLE_WITHOUT_REASON)
def test_message_that_ends_without_a_reason_is_whole_in_every_format(name: str, case: str) -> None:
    assert b"Hello" in Exchange(name, ANTHROPIC).relayed(*WHOLE_WITHOUT_REASON[case])


@every_format
@pytest.mark.parametrize("case", CUT_WITHOUT_REASON)
def test_message_without_an_end_is_cut_in_every_format(name: str, case: str) -> None:
    with pytest.raises(AssertionError):
        Exchange(name, ANTHROPIC).relayed(*CUT_WITHOUT_REASON[case])


@pytest.mark.parametrize(("case", "reason"), [*product(("text", "null"), ("end_turn",)), ("a call", "tool_use")])
def test_reason_that_nobody_told_is_that_of_what_came(case: str, reason: str) -> None:
    message = assert_whole(events_in(Exchange("messages", ANTHROPIC).relayed(*WHOLE_WITHOUT_REASON[case])))
    assert message["stop_reason"] == reason


OWN: Final = {"id": "m", "type": "message", "role": "assistant", "usage": {"input_tokens": 12, "output_tokens": 5}}


@every_format
@pytest.mark.parametrize("members", [{}, {"stop_reason": None}], ids=["none", "null"])
def test_whole_message_without_a_reason_is_one_in_every_format_if_it_says_anything(
    name: str, members: dict[str, Any]
) -> None:
    exchange = Exchange(name, ANTHROPIC, is_stream=False)
    body = {**OWN, **members, "content": [{"type": "text", "text": "Hello"}]}
    assert b"Hello" in exchange.whole(json.dumps(body).encode())
    with pytest.raises(MalformedAnswer):
        exchange.whole(json.dumps({**body, "content": []}).encode())
