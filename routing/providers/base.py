"""What an adapter is: the pure translation between the canonical (OpenAI's) format and a vendor's.

An adapter builds the upstream's request, reads a whole answer, reads one stream event, and says what an error means.
It holds no state and does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import msgspec

from billing.kinds import Usage

MOST_TOKENS: Final = 100_000_000
"""No context window is as large: a count above it is not believed."""


class Order(msgspec.Struct, frozen=True):
    """A request for one route: the client's body as a dict (never changed), and what must be different upstream."""

    body: Mapping[str, Any]
    upstream_model: str
    host: str
    secret: str
    cap: int
    """The bound on the output tokens of one choice; always sent, so that the upstream enforces it."""
    is_stream: bool
    wants_timings: bool
    """The upstream can count a stream's tokens as it goes: ask for it."""


class UpstreamRequest(msgspec.Struct, frozen=True):
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


Meaning = Literal["retry", "rest", "key_refused", "content_refused"]
"""What a failed attempt says: try another route; this one rests; our key is bad; the request itself is at fault."""


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


class Adapter(Protocol):
    """One wire format. `answer` and `event` return the canonical dicts that the gateway completes and relays."""

    label: str

    def request(self, order: Order) -> UpstreamRequest: ...

    def answer(self, body: bytes) -> dict[str, Any]:
        """A whole chat.completion; raises MalformedAnswer, also for an error sent with status 200."""

    def event(self, data: bytes) -> dict[str, Any]:
        """One chat.completion.chunk; raises MalformedAnswer."""

    def refusal(self, status: int, headers: Mapping[bytes, bytes], body: bytes, order: Order) -> Refusal: ...

    def answer_usage(self, answer: Mapping[str, Any], choices: int) -> tuple[Usage | None, bool]:
        """The counts of a whole answer, and whether they are the upstream's own."""

    def usage(self, reported: Any) -> Usage | None:
        """The counts an upstream reported, None if they cannot be believed (negative, text, missing)."""
