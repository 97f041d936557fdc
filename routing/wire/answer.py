"""An upstream's answer while it is on its way, how long it may take, and how it can fail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Protocol

Fault = Literal[
    "connect_failed",
    "tls_failed",
    "connect_timeout",
    "first_byte_timeout",
    "idle_timeout",
    "total_timeout",
    "invalid_response",
    "broken_stream",
    "cancelled",
]

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
PAUSE_BYTES: Final = 64 * 1024
"""Unread answer bytes at which the connection stops being read."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect (with TLS), to the first byte of the answer, between bytes, and in all."""

    connect: float
    first_byte: float
    idle: float
    total: float

    @cached_property
    def shortest(self) -> float:
        """The shorter of both silences."""
        return min(self.first_byte, self.idle)

    @cached_property
    def for_whole_answer(self) -> Timeouts:
        """For an answer that comes at once: its first byte is its last, so only the total bounds it."""
        return Timeouts(self.connect, self.total, self.idle, self.total)


class UpstreamFault(Exception):
    """The exchange failed; `fault` is from a closed list, the text is for operators."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(detail or fault)
        self.fault = fault
        self.detail = detail

    def again(self) -> UpstreamFault:
        """The same to be raised by whoever keeps it: his own would lead back to him by the frames that it passed."""
        return UpstreamFault(self.fault, self.detail)


class Answer(Protocol):
    """An upstream's answer, its body still on the way."""

    status: int
    headers: dict[bytes, bytes]
    """By their names in lower case."""

    async def read(self) -> bytes:
        """The rest of the body; raises UpstreamFault."""

    async def next(self, timeout: float | None = None) -> bytes | None:
        """What has arrived, None at the end; b"" after `wake` or `timeout` seconds. Raises UpstreamFault."""

    def wake(self) -> None:
        """Lets a waiting `next` return b""."""

    def hang_up(self) -> None:
        """Stops the upstream at once; reading goes on until it has noticed, for a fraction of a second at most."""

    def close(self) -> None:
        """Ends the exchange: an answer read to its end leaves its connection for others, any other closes it."""
