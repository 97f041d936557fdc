"""The parts of a process that serve its requests: built once, when the server starts, and handed on."""

from __future__ import annotations

from dataclasses import dataclass, field

from accounts.authentication import KeyCache
from accounts.limits import Limiter
from accounts.refusals import Refusals
from billing.reservations import Reservations
from billing.writer import Writer
from routing.catalogue.snapshot import Catalogue
from routing.selection.health import Health
from routing.wire.client import Client


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator has set, as far as requests look at it."""

    most_attempts: int
    shows_channels: bool
    """Whether tenants see the names of the channels that served them."""
    keep_alive_seconds: float
    """How long an upstream may be silent before the client of a stream gets a sign of life."""
    most_body_bytes: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """One process's parts. Nothing else of a process outlives a request."""

    options: Options
    key_cache: KeyCache
    limiter: Limiter
    writer: Writer
    reservations: Reservations
    """What requests tell the writer."""
    catalogue: Catalogue
    health: Health
    client: Client
    refusals: Refusals = field(default_factory=Refusals)
