"""Portkey's gateway as one node process; each request names the upstream in its headers."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from bench.gateways import Running
from bench.installs import FOLDER, INSTALL_SECONDS
from bench.load import Target
from bench.peers.setting import Setting
from bench.processes import GATEWAY_CORE, BenchmarkError, Fleet, run

NAME: Final = "portkey"

_PINS = Path(__file__).with_name("package.json")
_START_SECONDS = 120


def install() -> Path:
    """Returns its start script."""
    folder = FOLDER / NAME
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    npm = shutil.which("npm")
    if not npm:
        raise BenchmarkError("node and npm are not installed (node 20 or newer is needed for Portkey's gateway)")
    if not script.exists():
        print(f"installing {NAME} into {folder} ...", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(_PINS, folder)
        run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder, seconds=INSTALL_SECONDS, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
    return script


def start(fleet: Fleet, setting: Setting) -> Running:
    server = fleet.start(
        NAME,
        ["node", install(), "--headless", f"--port={setting.port}"],
        core=GATEWAY_CORE,
        env={"NODE_ENV": "production"},
        cwd=fleet.folder,
    )
    server.await_port(setting.port, _START_SECONDS)
    headers = {
        "authorization": "Bearer bench-upstream-secret",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{setting.upstream_url}/v1",
    }
    return Running(Target(NAME, setting.port, headers), server)
