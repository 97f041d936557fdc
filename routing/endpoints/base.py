"""What an endpoint is: how its requests are read, what they may use, and how answers are completed for the client.

Pure: values in, values out. The pipeline knows these protocols and no endpoint; an endpoint never knows the pipeline.
An endpoint has a format of its own, which the dialects (routing/providers) translate for other upstreams. Where they do
not, it is said in another endpoint's format that they know (`over`): chat's is what most can be asked in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
import orjson

from accounts.errors import GatewayError
from billing.kinds import NOTHING, Usage
from billing.prices import Tariff, ceiling
from routing.endpoints.preferences import ProviderPreferences
from routing.providers.base import MalformedAnswer
from routing.wire.frames import Again

LEAST_USEFUL_OUTPUT: Final = 16
"""A cap that is ours is not lowered below this many tokens."""


class ModelFacts(Protocol):
    """What an endpoint asks of the model that a request names."""

    @property
    def name(self) -> str: ...
    @property
    def context_window(self) -> int: ...
    @property
    def output_limit(self) -> int: ...
    @property
    def default_output(self) -> int: ...
    @property
    def prompt_overhead(self) -> int: ...


class Learned(Protocol):
    """What earlier requests taught about a model, and about this tenant's use of it."""

    def bytes_per_token(self, model: str) -> float:
        """Of a request's text, as is usual."""

    def dense_bytes_per_token(self, model: str) -> float:
        """Of the densest text: nearly no request has fewer bytes a token."""

    def expected_output(self, tenant_id: int, model: str, cap: int) -> int:
        """Output tokens that this tenant's requests usually take, at most the cap."""


class EndpointRequest(Protocol):
    """What the pipeline reads of a request, whatever its endpoint."""

    @property
    def model(self) -> str: ...
    @property
    def models(self) -> list[str] | None:
        """Fallback models, in order."""

    @property
    def provider(self) -> ProviderPreferences | None: ...
    @property
    def is_stream(self) -> bool: ...


class Needs(msgspec.Struct, frozen=True):
    """What a request may use at most, and is expected to use. Token counts."""

    text_bytes: int
    """The request's size without what is no text."""
    is_all_text: bool
    """Whether its usage tells how many bytes of text make a token."""
    input_bound: int
    """The estimate that nearly every request stays below; what passes it is taken when it settles."""
    expected_input: int
    least_input: int = 0
    """No tokenizer makes fewer of this request."""
    cap: int = 0
    """Output tokens of one answer; 0 where the endpoint has none."""
    is_cap_ours: bool = False
    answers: int = 1
    """How many answers were asked for at once."""
    expected_output: int = 0
    """Of all answers together."""
    capabilities: frozenset[str] = frozenset()
    """What a route must be able to do, in the words of routing/selection/reasons.py."""
    prefix: int = 0
    """Names a conversation by its beginning, within this process."""
    beside: Usage = NOTHING
    """What else it may use at most: kinds that are neither input nor output, nor within them."""
    expected_beside: Usage = NOTHING
    """What of it is expected, where that is less."""
    uncapped: int = 0
    """Output tokens of all answers at most, where the endpoint has no cap that could be sent."""
    is_paid_in_tokens: bool = False
    """Whether a price for tokens covers what is used beside them, too: vendors ask for one or the other."""


class Head(msgspec.Struct, frozen=True):
    """What makes an answer ours: the request's public id, the public model that served, and when (epoch seconds)."""

    public_id: str
    model: str
    created: int
    hidden: tuple[bytes, ...] = ()
    """What of the upstream nobody may read beside the answer: its host, our secret there."""
    expected_input: int = 0
    """Tokens of the prompt as estimated, for formats that say so before the upstream has."""


class Bill(msgspec.Struct, frozen=True):
    """What an answer used and cost, to be shown to the client.

    `cost` is an exact decimal number of currency units, `details` the terms of its sum; `reported` is the usage as the
    upstream wrote it.
    """

    usage: Usage
    reported: Mapping[str, Any]
    cost: str
    details: dict[str, Any]


class Relay(Protocol):
    """One stream on its way to the client."""

    is_done: bool
    """Set by the caller when the upstream has said that the answer is whole."""

    @property
    def is_past_cap(self) -> bool:
        """More output than was allowed has come for certain, however the upstream cuts it into chunks."""

    @property
    def is_complete(self) -> bool:
        """Whether the answer is whole: the upstream said so, or nothing is missing."""

    takes_again: bool
    """Whether `again` is there: without it, every chunk comes whole."""

    def relay(self, chunk: dict[str, Any]) -> bytes:
        """The client's bytes of a canonical chunk, b"" if there is nothing to show; raises MalformedAnswer."""

    def again(self, text: Again) -> bytes:
        """The same of a chunk that says what the one before said but for its text."""

    def closing(self, bill: Bill, explanation: Any = None) -> bytes:
        """The end of a complete answer; the explanation if one was asked for."""

    def received_tokens(self) -> int:
        """Output tokens received so far, as well as they can be counted here."""

    def cut(self) -> bytes:
        """The client's bytes where the answer is ended for it, at the cap that was asked for."""


class Assembler(Protocol):
    """Builds a whole answer from a stream's chunks, where the upstream was asked to stream and the client was not."""

    def add(self, chunk: dict[str, Any]) -> None:
        """Raises MalformedAnswer."""

    @property
    def is_complete(self) -> bool: ...

    def answer(self) -> dict[str, Any]: ...


class Form(Protocol):
    """A format in which an endpoint's requests go upstream and their answers come back, and how these are completed.

    Every endpoint is the first form of itself.
    """

    name: str
    """Of the endpoint whose format it is: dialects say by it whether they speak it."""
    path: str
    """Below an upstream's base URL, where it speaks the format as it is."""

    def body(self, request: Any, body: dict[str, Any]) -> Mapping[str, Any]:
        """The request in this format; neither is changed. Raises UnsupportedParameter for what it cannot say."""

    def estimate(self, answer: Mapping[str, Any], needs: Needs) -> Usage:
        """The usage of an answer whose upstream did not say."""

    def words(self, chunk: Mapping[str, Any]) -> str:
        """What a chunk says in words, for people who look at it; empty for whatever it cannot read."""

    def check(self, request: Any, answer: dict[str, Any]) -> None:
        """Raises MalformedAnswer unless the answer has the form's shape, and all that was asked for."""

    def complete(self, request: Any, answer: dict[str, Any], head: Head, bill: Bill, explanation: Any = None) -> bytes:
        """A whole answer for the client, with everything that the public schema requires. Changes `answer`."""

    def pieces(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """A whole answer as a stream's chunks: an upstream was asked to stream, and did not."""

    def relay(self, request: Any, head: Head, most_output: int) -> Relay:
        """Raises nothing; asked only for requests that are streams. Above `most_output` tokens it is past its cap."""

    def assembler(self, request: Any) -> Assembler:
        """Asked only where the upstream streams and the client does not; raises MalformedAnswer if none should."""


class Endpoint(Form, Protocol):
    """One endpoint; an instance is shared by all requests. `name` is as usage records keep it."""

    id_prefix: str
    streams: bool
    """Whether a client can ask for a stream, and every upstream sends one."""
    over: tuple[Form, ...]
    """The other endpoints' formats that its requests can be said in, the best first."""
    keep_alive: bytes
    """What tells its clients, while an upstream is silent, that their stream is not; b"" where they fail on whatever is
    no event."""
    passes: frozenset[bytes]
    """The client's headers that go on to upstreams that speak its own format; lower case."""
    smallest: Mapping[str, Any]
    """The smallest body that gets an answer, but for the model: what a channel is tested with."""
    smallest_cap: int
    """Its output tokens."""

    def read(self, body: dict[str, Any]) -> EndpointRequest:
        """The checked request; raises an InvalidRequest that names the field in `param`.

        What asks for nothing and would not be understood upstream is taken out of the body.
        """

    def needs(
        self, request: Any, body: dict[str, Any], body_bytes: int, model: ModelFacts, learned: Learned, tenant_id: int
    ) -> Needs:
        """Raises ContextLengthExceeded or another InvalidRequest."""

    def has_produced(self, usage: Usage) -> bool:
        """Whether an answer with this usage brought anything; one that did not costs nothing."""

    def received(self, relay: Any, needs: Needs) -> Usage:
        """What has come of a stream whose upstream has told no counts; `relay` is the one that its form made."""

    def prompt(self, needs: Needs) -> Usage:
        """What a request used that was sent and got no answer, as well as it can be estimated."""

    def media(self, request: Any, told: bytes) -> bytes:
        """The media type of an answer that is neither JSON nor events, b"" for one that is; `told` is the upstream's.

        Such a stream's bytes have no place for comments, nor for an error: where it breaks off, its connection does.
        """

    def envelope(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        """A refusal's body as this endpoint's clients read it."""

    def error_event(self, error: GatewayError, request_id: str, relay: Any) -> bytes:
        """The same as the last event of the stream that `relay` has written so far."""


def is_served(endpoint: Endpoint, names: frozenset[str]) -> bool:
    """Whether a model that serves endpoints of these names serves this one: itself, or what it can be said in."""
    return endpoint.name in names or any(form.name in names for form in endpoint.over)


def ceiling_of(needs: Needs, tariff: Tariff, cap: int) -> int:
    """The most that a request can cost with this cap, in ledger units."""
    return ceiling(needs.input_bound, cap * needs.answers + needs.uncapped, tariff, needs.beside)


def to_json(value: Any) -> bytes:
    """The value as JSON; raises MalformedAnswer for what is nested deeper than can be written."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise MalformedAnswer("the answer is nested too deep") from error
