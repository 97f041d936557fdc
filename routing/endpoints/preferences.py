"""Which channels may serve a request, in OpenRouter's words; the same for every endpoint."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from routing.endpoints.invalid import UnsupportedParameter

ModelName = Annotated[str, Meta(min_length=1, max_length=200)]
Amount = Annotated[float, Meta(ge=0)]


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


_KNOWN: Final = frozenset((*ProviderPreferences.__struct_fields__, "preferred_max_latency", "preferred_min_throughput"))
"""With the two that are preferences by name: nothing is promised to who sends them, and nothing is lost."""
_WISHES: Final = frozenset(("transforms", "plugins"))
"""OpenRouter's wishes beside `provider`: to shorten the prompt, to let other parties see it."""


def refuse_wishes(body: dict[str, Any]) -> None:
    """Takes out of the body wishes that ask for nothing; raises UnsupportedParameter for one that cannot be kept.

    Where the request may go and who may keep it is not known of channels. Whoever asks for that (OpenRouter's
    `data_collection`, `zdr`, `quantizations`, `enforce_distillable_text`, or whatever comes next) must not be served as
    if it were granted.
    """
    if not _WISHES.isdisjoint(body):
        for name in sorted(_WISHES.intersection(body)):
            if body.pop(name):
                _refuse(name)
    provider = body.get("provider")
    if provider:
        for name in provider.keys() - _KNOWN:
            if provider[name] and provider[name] != "allow":
                _refuse(f"provider.{name[:64]}")


def _refuse(name: str) -> None:
    raise UnsupportedParameter(f"'{name}' asks for what this gateway cannot promise.", param=name)
