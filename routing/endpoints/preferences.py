"""Which channels may serve a request, in OpenRouter's words; the same for every endpoint."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

ModelName = Annotated[str, Meta(min_length=1, max_length=200)]
Amount = Annotated[float, Meta(ge=0)]

EXTENSIONS: Final = frozenset(("models", "provider", "usage"))
"""The router's own fields, never sent upstream."""


class MaxPrice(Struct):
    """Currency units per million tokens of each kind, and per request."""

    prompt: Amount | None = None
    completion: Amount | None = None
    request: Amount | None = None


class ProviderPreferences(Struct):
    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    sort: Literal["price", "latency", "throughput"] | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    max_price: MaxPrice | None = None
    max_cost: Amount | None = None


class UsageOptions(Struct):
    include: bool | None = None
