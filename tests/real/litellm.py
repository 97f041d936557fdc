"""LiteLLM's proxy before a model's server: the same model in Anthropic's and in Google's format.

It lives in the environment that the benchmark of other gateways makes for it under var/ (the same pin).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from bench.peers import litellm
from bin import leash
from tests.real import llama
from tests.servers import free_port

_CONFIG: Final = """
model_list:
  - model_name: "*"
    litellm_params:
      model: "hosted_vllm/*"
      api_base: {upstream}
      api_key: none
litellm_settings:
  telemetry: false
general_settings:
  always_include_stream_usage: true
  dangerously_permit_weak_or_unset_master_key: true
"""
"""Without a key of its own: it listens on loopback for the length of a test, and each channel has another secret.

What is streamed in Anthropic's format is counted only where it is told to ask for counts; else it estimates.
"""
_ENV: Final = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""It would fetch its list of prices from the network."""
_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it listens."""

    root_url: str

    @property
    def anthropic_url(self) -> str:
        return f"{self.root_url}/v1"

    @property
    def google_url(self) -> str:
        return f"{self.root_url}/v1beta"


@contextlib.contextmanager
def running(server: llama.Upstream, folder: Path) -> Iterator[Proxy]:
    """A proxy before this server, which answers when this returns; raises BenchmarkError if it cannot be installed."""
    config, log, port = folder / "litellm.yaml", folder / "litellm.log", free_port()
    config.write_text(_CONFIG.format(upstream=server.base_url))
    command = [str(litellm.install()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    # Of the tests' environment it would take a database for its own.
    process = leash.start(command, env={"PATH": os.environ["PATH"], "HOME": str(folder), **_ENV}, log=log)
    proxy = Proxy(f"http://127.0.0.1:{port}")
    try:
        _wait(proxy, process, log)
        yield proxy
    finally:
        process.stop()


def _wait(proxy: Proxy, process: leash.Leashed, log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while not _answers(proxy):
        assert process.is_running, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.3)


def _answers(proxy: Proxy) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{proxy.root_url}/health/liveliness", timeout=5).status_code == 200
    return False
