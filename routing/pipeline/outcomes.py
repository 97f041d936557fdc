"""What may become of an attempt and of its request, in tables; nothing is decided by comparing texts elsewhere.

What the way to an upstream did (`OF_FAULT`), or what its error means (`OF_MEANING`) -> how the attempt is recorded ->
outcome of the request -> status and code for the client -> whether another route is tried -> what the route's health
makes of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from accounts.errors import GatewayError, ServiceUnavailable
from billing.models import UsageRecord
from routing.errors import ContentRefused, NoAvailableChannel, UpstreamError, UpstreamTimeout
from routing.providers.base import Refusal
from routing.wire.answer import Fault

Outcome = UsageRecord.Outcome


def _(message: str) -> str:
    """Marks a text for translation; the pages that show it translate it."""
    return message


class Ending(StrEnum):
    """How one attempt ended: a closed list, stored with every attempt."""

    ANSWERED = "answered"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    BAD_STATUS = "bad_status"
    INVALID_RESPONSE = "invalid_response"
    BROKEN_STREAM = "broken_stream"
    REFUSED_CONTENT = "refused_content"
    CANCELLED = "cancelled"


class Words(msgspec.Struct, frozen=True):
    """An ending in words, for operators and for tenants."""

    operator: str
    tenant: str


WORDS: Final[dict[Ending, Words]] = {
    Ending.ANSWERED: Words(_("answered"), _("answered")),
    Ending.CONNECT_FAILED: Words(_("no connection"), _("no connection")),
    Ending.TLS_FAILED: Words(_("TLS failed"), _("no secure connection")),
    Ending.CONNECT_TIMEOUT: Words(_("connecting timed out"), _("no connection in time")),
    Ending.FIRST_BYTE_TIMEOUT: Words(_("no first byte in time"), _("no first byte in time")),
    Ending.IDLE_TIMEOUT: Words(_("fell silent"), _("fell silent")),
    Ending.TOTAL_TIMEOUT: Words(_("took too long"), _("took too long")),
    Ending.BAD_STATUS: Words(_("error status"), _("error status")),
    Ending.INVALID_RESPONSE: Words(_("unusable answer"), _("unusable answer")),
    Ending.BROKEN_STREAM: Words(_("stream broke off"), _("stream broke off")),
    Ending.REFUSED_CONTENT: Words(_("refused the content"), _("content refused")),
    Ending.CANCELLED: Words(_("cancelled"), _("cancelled")),
}

BEGUN: Final = frozenset((Ending.ANSWERED, Ending.BROKEN_STREAM, Ending.CANCELLED, Ending.REFUSED_CONTENT))
"""The upstream began to answer, so pages do not list these among the channels that refused to serve."""


class Close(msgspec.Struct, frozen=True):
    """How a request is closed in the books: its outcome, the client's status and error code."""

    outcome: Outcome
    status: int
    code: str = ""
    pays_prompt: bool = False
    """The prompt is paid for once it was sent, also if nothing of an answer had come: it was the client that left."""


SUCCESS: Final = Close(Outcome.SUCCESS, 200)
LEFT: Final = Close(Outcome.CLIENT_GONE, 200, pays_prompt=True)
"""The client left after the answer had begun."""
LEFT_EARLY: Final = Close(Outcome.CLIENT_GONE, 499, pays_prompt=True)
"""The client left before there was anything to send."""
FAULT_OF_OURS: Final = Close(Outcome.INTERNAL_ERROR, 500, "internal_error")


class Mark(StrEnum):
    """What an ending says about the route's health."""

    BAD = "bad"
    """Counts against the breaker."""
    NONE = "none"
    """Says nothing: the tenant's request was at fault, or our key, or nobody."""
    REST = "rest"
    """The route rests for as long as it asked."""
    REST_CHANNEL = "rest_channel"
    """Our key is refused: no route of the channel is of use for a while."""
    REST_ACCOUNT = "rest_account"
    """Our account there is empty: none is until somebody has paid."""


class Consequence(msgspec.Struct, frozen=True):
    """One row of the table."""

    ending: Ending
    outcome: Outcome = Outcome.UPSTREAM_ERROR
    error: type[GatewayError] = UpstreamError
    """What the client is told if no other route answers; it names status and code."""
    was_sent: bool = True
    """The upstream may have worked on it: one more attempt is paid for from the retry budget."""
    mark: Mark = Mark.BAD

    @property
    def close(self) -> Close:
        """How the request is closed if this happens after the first byte, when no other route can be tried."""
        return Close(self.outcome, self.error.status, self.error.code)


def _timeout(ending: Ending, *, was_sent: bool = True) -> Consequence:
    return Consequence(ending, Outcome.TIMEOUT, UpstreamTimeout, was_sent=was_sent)


OF_FAULT: Final[dict[Fault, Consequence]] = {
    "connect_failed": Consequence(Ending.CONNECT_FAILED, was_sent=False),
    "tls_failed": Consequence(Ending.TLS_FAILED, was_sent=False),
    "connect_timeout": _timeout(Ending.CONNECT_TIMEOUT, was_sent=False),
    "first_byte_timeout": _timeout(Ending.FIRST_BYTE_TIMEOUT),
    "idle_timeout": _timeout(Ending.IDLE_TIMEOUT),
    "total_timeout": _timeout(Ending.TOTAL_TIMEOUT),
    "invalid_response": Consequence(Ending.INVALID_RESPONSE),
    "broken_stream": Consequence(Ending.BROKEN_STREAM),
    "cancelled": Consequence(Ending.CANCELLED, mark=Mark.NONE),
}
"""What the way to the upstream can do to an attempt."""

STOPPED: Final = Consequence(Ending.CANCELLED, Outcome.INTERNAL_ERROR, ServiceUnavailable, mark=Mark.NONE)
"""This process ends before the answer did."""

OF_MEANING: Final = {
    "retry": Consequence(Ending.BAD_STATUS),
    "not_here": Consequence(Ending.BAD_STATUS, mark=Mark.NONE),
    "rest": Consequence(Ending.BAD_STATUS, error=NoAvailableChannel, mark=Mark.REST),
    "key_refused": Consequence(Ending.BAD_STATUS, mark=Mark.REST_CHANNEL),
    "account_empty": Consequence(Ending.BAD_STATUS, mark=Mark.REST_ACCOUNT),
    "content_refused": Consequence(
        Ending.REFUSED_CONTENT, Outcome.REFUSED, ContentRefused, mark=Mark.NONE
    ),
}  # fmt: skip
"""What an upstream's error can mean; `content_refused` is final, every other may be retried elsewhere."""

_OF_ERROR: Final[dict[type[GatewayError], Outcome]] = {
    ContentRefused: Outcome.REFUSED,
    UpstreamTimeout: Outcome.TIMEOUT,
}


def close_refused(error: GatewayError) -> Close:
    """How a request is closed that held money, and whose client was told this error instead of an answer."""
    status, code = error.status, error.code
    if isinstance(error, ContentRefused):
        status, code = error.upstream_status, error.refusal.code or ""
    return Close(_OF_ERROR.get(type(error), Outcome.UPSTREAM_ERROR), status, code)


def error_of(
    consequence: Consequence, refusal: Refusal | None, *, status: int, wait: float, has_begun: bool = False
) -> GatewayError:
    """What the client is told if nothing else answers; `wait` is how long the route rests, in seconds."""
    if consequence.error is ContentRefused and refusal is not None:
        # What the client has to change is the client's fault: llama.cpp calls some of it its own.
        return ContentRefused(status if 400 <= status < 500 else 400, refusal)
    if consequence.error is NoAvailableChannel:
        return NoAvailableChannel(wait)
    if consequence.error is ServiceUnavailable:
        return ServiceUnavailable("The service was restarted before the answer was complete. Please retry.")
    if consequence.error is UpstreamTimeout:
        return UpstreamTimeout()
    return UpstreamError("The upstream broke off before the answer was complete.") if has_begun else UpstreamError()
