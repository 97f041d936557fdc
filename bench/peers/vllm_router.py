"""vLLM's router, a load balancer in Rust for inference servers; here the constant upstream is its only one.

It serves its metrics on 127.0.0.1:29000 as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench import installs
from bench.gateways import Running
from bench.load import Target
from bench.peers.setting import Setting
from bench.processes import GATEWAY_CORE, Fleet

NAME: Final = "vllm-router"

_PINS = Path(__file__).with_suffix(".txt")


def install() -> Path:
    """Returns its command, a Python launcher that hands over to the compiled server."""
    return installs.virtualenv(NAME, _PINS).with_name("vllm-router")


def start(fleet: Fleet, setting: Setting) -> Running:
    """Round robin over one server, the cheapest policy: the default compares prompts. Retries and breaker are on."""
    server = fleet.start(
        NAME,
        [install(), "--host", "127.0.0.1", "--port", str(setting.port), "--worker-urls", setting.upstream_url,
         "--policy", "round_robin", "--log-level", "error"],
        core=GATEWAY_CORE,
        cwd=fleet.folder,
    )  # fmt: skip
    server.await_port(setting.port)
    return Running(Target(NAME, setting.port), server)
