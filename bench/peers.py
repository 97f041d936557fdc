"""Two other gateways beside ours: LiteLLM's proxy and Portkey's gateway, one process each, both without books.

They are installed once, into folders of their own under var/bench.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from bench import payloads
from bench.gateways import ROOT, Running
from bench.load import Target
from bench.processes import GATEWAY_CORE, BenchmarkError, Fleet, run

LITELLM: Final = "litellm"
PORTKEY: Final = "portkey"

_PINS = Path(__file__).with_name("peers")
_INSTALLED = ROOT / "var" / "bench"
_INSTALL_SECONDS = 900
_START_SECONDS = 120
_MASTER_KEY = "sk-bench-master-key"

# LITELLM_LOCAL_MODEL_COST_MAP keeps it from fetching its price list from the network at the start.
_LITELLM_ENV = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
_LITELLM_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{port}/v1
      api_key: bench-upstream-secret
litellm_settings:
  telemetry: false
general_settings:
  master_key: {key}
"""


def start_litellm(fleet: Fleet, *, port: int, upstream_port: int) -> Running:
    """LiteLLM's proxy with a master key, one uvicorn worker, no database, no Redis, nothing but errors logged."""
    python = virtualenv("litellm", _PINS / "litellm.txt")
    config = fleet.folder / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(model=payloads.JSON_MODEL, port=upstream_port, key=_MASTER_KEY))
    server = fleet.start(
        LITELLM,
        [python.with_name("litellm"), "--config", config, "--host", "127.0.0.1", "--port", str(port),
         "--num_workers", "1"],
        core=GATEWAY_CORE,
        env=_LITELLM_ENV,
        cwd=fleet.folder,
    )  # fmt: skip
    server.await_port(port, _START_SECONDS)
    return Running(Target(LITELLM, port, {"authorization": f"Bearer {_MASTER_KEY}"}), server)


def start_portkey(fleet: Fleet, *, port: int, upstream_port: int) -> Running:
    """Portkey's gateway as one node process; each request names the upstream in its headers."""
    script = _portkey_script()
    server = fleet.start(
        PORTKEY,
        ["node", "--require", _PINS / "loopback.cjs", script, "--headless", f"--port={port}"],
        core=GATEWAY_CORE,
        env={"NODE_ENV": "production"},
        cwd=fleet.folder,
    )
    server.await_port(port, _START_SECONDS)
    headers = {
        "authorization": "Bearer bench-upstream-secret",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}/v1",
    }
    return Running(Target(PORTKEY, port, headers), server)


def virtualenv(name: str, requirements: Path) -> Path:
    """The python of an environment under var/bench with these packages, made on the first call."""
    folder = _INSTALLED / name
    python = folder / "bin" / "python"
    done = folder / "installed.txt"
    if done.exists() and done.read_text() == requirements.read_text():
        return python
    print(f"installing {name} into {folder} ...", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    if uv:
        run([uv, "venv", "--python", sys.executable, folder], seconds=_INSTALL_SECONDS)
        install: list[str | Path] = [uv, "pip", "install", "--python", python]
    else:
        run([sys.executable, "-m", "venv", folder], seconds=_INSTALL_SECONDS)
        install = [python, "-m", "pip", "install"]
    run([*install, "--requirement", requirements], seconds=_INSTALL_SECONDS)
    done.write_text(requirements.read_text())
    return python


def _portkey_script() -> Path:
    folder = _INSTALLED / PORTKEY
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    npm = shutil.which("npm")
    if not npm:
        raise BenchmarkError("node and npm are not installed (node 20 or newer is needed for Portkey's gateway)")
    if not script.exists():
        print(f"installing {PORTKEY} into {folder} ...", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(_PINS / "package.json", folder)
        run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder, seconds=_INSTALL_SECONDS, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
    return script
