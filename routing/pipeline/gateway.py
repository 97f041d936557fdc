"""The parts of a process that serve its requests: built once, when the server starts, and handed on."""

from __future__ import annotations

from dataclasses import dataclass, field

from accounts.key_cache import KeyCache
from accounts.limits import Limiter
from accounts.origins import Origins
from accounts.refusals import Refusals
from billing.reservations import Reservations
from billing.sessions import Sessions
from billing.writer import Writer
from routing.catalogue.snapshot import Catalogue
from routing.pipeline.answers import Answers
from routing.pipeline.explanation import Shown
from routing.selection.health import Health
from routing.wire.client import Client


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator has set, as far as requests look at it."""

    most_attempts: int
    shown: Shown
    keep_alive_seconds: float
    """How long an upstream may be silent before the client of a stream gets a sign of life."""
    most_body_bytes: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """One process's parts. Nothing else of a process outlives a request."""

    options: Options
    key_cache: KeyCache
    origins: Origins
    """What browsers ask for before they send a key."""
    limiter: Limiter
    writer: Writer
    reservations: Reservations
    """What requests tell the writer."""
    catalogue: Catalogue
    health: Health
    client: Client
    answers: Answers
    """For requests that are sent again with their idempotency key."""
    refusals: Refusals = field(default_factory=Refusals)
    sessions: Sessions = field(default_factory=Sessions)
