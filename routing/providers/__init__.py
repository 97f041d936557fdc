"""The literal registry of providers: one pure adapter per dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from routing.providers.anthropic import ANTHROPIC
from routing.providers.azure import AZURE
from routing.providers.base import Adapter, Options
from routing.providers.fake import FAKE
from routing.providers.gemini import GEMINI
from routing.providers.llamacpp import LLAMACPP
from routing.providers.openai import OPENAI

ADAPTERS: Final[dict[str, Adapter]] = {
    "openai": OPENAI,
    "azure": AZURE,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "llamacpp": LLAMACPP,
    "fake": FAKE,
}


_WITHIN: Final = {
    provider: tuple((name, adapter) for name, adapter in ADAPTERS.items() if adapter.within == provider)
    for provider in ADAPTERS
}
"""The dialects that a provider's channels may turn out to speak."""


def choices() -> list[tuple[str, str]]:
    """The providers an operator can choose from; a new one needs no migration."""
    return [(name, adapter.label) for name, adapter in ADAPTERS.items()]


def read_options(provider: str, values: Mapping[str, Any]) -> Options:
    """A channel's options as its dialect's own kind; raises ValueError, in words, for what it has not got."""
    return msgspec.convert(values, ADAPTERS[provider].options)


def recognise(provider: str, headers: Mapping[bytes, bytes]) -> str:
    """The dialect of the upstream behind a channel of this provider, by an answer's headers."""
    for name, adapter in _WITHIN[provider]:
        if adapter.recognises(headers):
            return name
    return provider
