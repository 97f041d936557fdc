"""The literal registry of providers: one pure adapter per wire format."""

from __future__ import annotations

from typing import Final

from routing.providers.base import Adapter
from routing.providers.fake import FAKE
from routing.providers.openai import OPENAI

ADAPTERS: Final[dict[str, Adapter]] = {"openai": OPENAI, "fake": FAKE}


def choices() -> list[tuple[str, str]]:
    """The providers an operator can choose from; a new one needs no migration."""
    return [(name, adapter.label) for name, adapter in ADAPTERS.items()]
