"""LiteLLM's proxy: one uvicorn worker, production mode, a master key, no database, no Redis."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench import installs, payloads
from bench.gateways import Running
from bench.load import Target
from bench.peers.setting import Setting
from bench.processes import GATEWAY_CORE, Fleet

NAME: Final = "litellm"

_PINS = Path(__file__).with_suffix(".txt")
_START_SECONDS = 120
_MASTER_KEY = "sk-bench-master-key"

# LITELLM_LOCAL_MODEL_COST_MAP keeps it from fetching its price list from the network at the start.
_ENV = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {upstream}/v1
      api_key: bench-upstream-secret
litellm_settings:
  telemetry: false
general_settings:
  master_key: {key}
"""


def install() -> Path:
    """Returns its command."""
    return installs.virtualenv(NAME, _PINS).with_name("litellm")


def start(fleet: Fleet, setting: Setting) -> Running:
    config = fleet.folder / "litellm.yaml"
    config.write_text(_CONFIG.format(model=payloads.JSON_MODEL, upstream=setting.upstream_url, key=_MASTER_KEY))
    server = fleet.start(
        NAME,
        [install(), "--config", config, "--host", "127.0.0.1", "--port", str(setting.port), "--num_workers", "1"],
        core=GATEWAY_CORE,
        env=_ENV,
        cwd=fleet.folder,
    )
    server.await_port(setting.port, _START_SECONDS)
    return Running(Target(NAME, setting.port, {"authorization": f"Bearer {_MASTER_KEY}"}), server)
