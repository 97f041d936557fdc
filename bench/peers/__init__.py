"""Other gateways beside ours, one process each on the gateway's core.

Each module knows one: how it is installed, how it is configured for the constant upstream, how it is started.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.gateways import Running
from bench.peers import ferrogw, litellm, portkey, vllm_router
from bench.peers.setting import Setting
from bench.processes import Fleet

LITELLM: Final = litellm.NAME
PORTKEY: Final = portkey.NAME


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway to compare with, and how long its windows are, in seconds; None is the plan's length."""

    name: str
    install: Callable[[], object]
    start: Callable[[Fleet, Setting], Running]
    seconds: float | None = None
    warm_up: float | None = None
    drain: float | None = None


# LiteLLM answers some sixty requests a second: longer windows, so that one holds some hundreds.
PEERS: Final = (
    Peer(LITELLM, litellm.install, litellm.start, seconds=5, warm_up=8, drain=3),
    Peer(PORTKEY, portkey.install, portkey.start, seconds=3, warm_up=4, drain=3),
    Peer(ferrogw.BARE, ferrogw.install, ferrogw.start_bare),
    Peer(ferrogw.BOOKS, ferrogw.install, ferrogw.start_with_books),
    Peer(vllm_router.NAME, vllm_router.install, vllm_router.start),
)
