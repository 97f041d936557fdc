"""What a dialect is: the pure translation between the canonical (OpenAI's) formats and those of an upstream.

An adapter builds the upstream's request and says what an error means; it is shared and holds no state. For each
exchange it opens one reader, which knows the framing, the end, the quirks and the counts. Neither does I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, Self

import msgspec
import orjson

from billing.kinds import Usage
from routing.wire.events import Comment
from routing.wire.frames import Again
from routing.wire.writing import pieces_of

MOST_TOKENS: Final = 100_000_000
"""No context window is as large: a count above it is not believed."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set of a channel beside its address and secret; each dialect has its own, all with defaults."""

    def at(self, host: str) -> Self:
        """The same for an upstream at this host, with what a dialect knows of who is there."""
        return self


NO_OPTIONS: Final = Options()


class UpstreamCall(msgspec.Struct, frozen=True):
    """A request for one route: its body as a dict (never changed), and what must be different upstream."""

    endpoint: str
    """Of whose format the body is, which may be another than the client's."""
    path: str
    """The endpoint's, below the upstream's base URL where it speaks the format as it is."""
    body: Mapping[str, Any]
    upstream_model: str
    host: str
    secret: str
    cap: int
    """The bound on the output tokens of one answer; always sent, so that the upstream enforces it. 0: there is none."""
    answers: int
    """How many answers are asked for at once."""
    is_stream: bool
    options: Any = NO_OPTIONS
    """The channel's, of the dialect's own kind."""
    headers: tuple[tuple[str, str], ...] = ()
    """The client's own that go on."""
    is_translated: bool = False
    """The body was said in this format for the client: it may carry conventions that no client has asked for."""
    is_large: bool = False
    """The body takes too long to be written in one go."""


class UpstreamRequest(msgspec.Struct, frozen=True):
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    pieces: tuple[bytes, ...] = ()
    """What is sent behind it, so that what is large need not be copied."""
    unwritten: Iterator[bytes] | None = None
    """Further pieces, of a body that takes too long to be written in one go: each is made when it is asked for."""

    @classmethod
    def of_json(
        cls, call: UpstreamCall, path: str, headers: tuple[tuple[str, str], ...], body: Mapping[str, Any]
    ) -> Self:
        """With this body, which is left unwritten where it is large."""
        if call.is_large:
            return cls(path, headers, b"", unwritten=pieces_of(body))
        return cls(path, headers, orjson.dumps(body))


Meaning = Literal["retry", "not_here", "rest", "key_refused", "account_empty", "content_refused"]
"""What an upstream's error says.

Try another route; this one is well, but has no room for this request; it rests; our key is bad; our account there is
empty; the request itself is at fault.
"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upstream's error, read. `type`, `code` and `message` are set where the tenant may see them."""

    meaning: Meaning
    type: str = "server_error"
    code: str | None = None
    message: str = ""
    param: str | None = None
    retry_after: float | None = None
    detail: str = ""
    """For operators only."""


class MalformedAnswer(ValueError):
    """The upstream said success and sent something else."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a stream: the upstream said that the answer is whole, or what came then cannot be read."""

    error: str | None = None
    """What is wrong with it, in words: an exception leads back, by its frames, to whoever has it in hand."""


END: Final = End()
Event = dict[str, Any] | Again | Comment | End
"""A chunk in the canonical format without its usage, the same chunk but for its text, a comment, or the end.

Nothing follows the end.
"""


class Reader(Protocol):
    """One exchange's answer, whole or in pieces."""

    usage: Usage | None
    """The upstream's own counts so far, None as long as it has not told any that can be believed."""
    is_exact: bool
    """Whether `usage` is as the upstream counted, with nothing estimated."""
    is_partial: bool
    """Whether more of the answer came after `usage` had been told."""
    reported: Mapping[str, Any]
    """The usage object as the upstream wrote it."""

    @property
    def is_doubtful(self) -> bool:
        """Whether what it has said of its end may mean nothing: then only a clean end makes a stream whole."""

    @property
    def told_cost(self) -> int | None:
        """What the upstream says that the answer cost, in nano-dollars; None where it says nothing."""

    @property
    def remark(self) -> str:
        """What is odd about the answer and stays for operators; empty if nothing is."""

    abbreviates: bool
    """Set by who reads: chunks may come as `Again`, with the text of their first choice's delta."""

    def feed(self, data: bytes | None) -> list[Event]:
        """The events that are complete now; None is the end of the bytes. Raises nothing: see `End.error`.

        Chunks are in the canonical format: of chat, a list of choices, each with a delta.
        """

    def is_piece(self, data: bytes) -> bool:
        """Whether a JSON object with which an answer begins is a stream's first piece for sure, and no whole answer."""

    def whole(self, body: bytes) -> dict[str, Any]:
        """A whole answer in the canonical format; raises MalformedAnswer, also for an error sent with status 200."""


class Adapter(Protocol):
    """One dialect."""

    label: str
    within: str
    """The provider whose channels may turn out to speak this dialect; empty where it must be chosen."""
    options: type[Options]

    def speaks(self, endpoint: str, host: str, options: Any) -> bool:
        """Whether the upstream at this host can be asked in this endpoint's format."""

    def lacks(self, endpoint: str, body: Mapping[str, Any], options: Any) -> str:
        """The member of a body that asks for what the dialect cannot express; empty if it says it all.

        What a vendor's documentation calls a hint is no reason: it is left out.
        """

    def recognises(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether an answer's headers (names in lower case) say that its upstream speaks this dialect."""

    def prefers_stream(self, answers: int, *, is_met: bool) -> bool:
        """Whether a request that wants a whole answer should go upstream as a stream.

        `is_met`: an earlier answer has shown that the upstream speaks this very dialect.
        """

    def request(self, call: UpstreamCall) -> UpstreamRequest: ...

    def open(self, call: UpstreamCall) -> Reader: ...

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, call: UpstreamCall) -> Refusal: ...
