"""The values of one request: what was asked, what it may do, and what is sent back when the answer is whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from math import floor
from typing import Any

import msgspec

from accounts.callers import Caller, SpendingLimit
from billing.books import Idempotency
from billing.prices import Tariff
from routing.catalogue.snapshot import ModelView, RouteView, Snapshot
from routing.endpoints.base import Endpoint, EndpointRequest, Form, Head, Needs
from routing.selection.rank import Decision

UntilGone = Callable[[], Awaitable[None]]
"""Returns when the client has left."""


class Call(msgspec.Struct, frozen=True):
    """One request as the API plane hands it over: the frozen context of everything below."""

    id: str
    """32 hex digits: the reservation's and the usage record's key."""
    caller: Caller
    endpoint: Endpoint
    request: EndpointRequest
    body: dict[str, Any]
    body_bytes: int
    snapshot: Snapshot
    wants_explanation: bool
    started: float
    """Of the monotonic clock."""
    started_at: float
    """Seconds since the epoch."""
    legs: tuple[int, ...]
    """The balances that it takes from: the caller's and, once it is admitted, its session's."""
    spending_limits: Mapping[int, SpendingLimit]
    """Of the legs that are quotas."""
    session: str = ""
    """The run that its client names, where a quota asks for that."""
    idempotency: Idempotency | None = None
    """Whereby its client makes it one with others."""
    headers: tuple[tuple[str, str], ...] = ()
    """The client's own that go on to upstreams of its endpoint's format."""

    def public_id(self, request_id: str) -> str:
        """How clients know a request of this endpoint."""
        return self.endpoint.id_prefix + request_id

    def head(self, model: ModelView, route: RouteView, expected_input: int) -> Head:
        """What makes an answer of this model, served by this route, ours."""
        return Head(self.public_id(self.id), model.name, floor(self.started_at), route.channel.hidden, expected_input)


class Option(msgspec.Struct, frozen=True):
    """One thing to try: a route, the model that it serves, the tenant's price for that model, and what is asked."""

    route: RouteView
    model: ModelView
    price: Tariff
    form: Form
    """The format in which the route's upstream is asked."""
    body: Mapping[str, Any]
    """The request in that format."""


class Plan(msgspec.Struct, frozen=True):
    """What the request may do: its models in order with their prices, its needs, and the ranked routes."""

    call: Call
    models: tuple[tuple[ModelView, Tariff], ...]
    needs: Needs
    decision: Decision
    options: tuple[Option, ...]
    """What to try, in this order."""

    limited_tokens: int
    """What the request counts against tokens per minute until its usage is known."""


class WholeReply(msgspec.Struct, frozen=True):
    """A whole answer, ready to be sent."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    media: bytes = b""
    """Its media type where it is no JSON."""
