"""What is measured and not ours, installed once and pinned, into folders of their own under var/bench."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from bench.gateways import ROOT
from bench.processes import BenchmarkError, run

FOLDER: Final = ROOT / "var" / "bench"
INSTALL_SECONDS: Final = 900


def virtualenv(name: str, requirements: Path) -> Path:
    """The python of an environment under var/bench with these packages, made on the first call.

    Raises BenchmarkError if they cannot be installed.
    """
    folder = FOLDER / name
    python = folder / "bin" / "python"
    done = folder / "installed.txt"
    if done.exists() and done.read_text() == requirements.read_text():
        return python
    print(f"installing {name} into {folder} ...", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _install(folder, requirements)
    except BenchmarkError as error:
        raise BenchmarkError(f"{name} cannot be installed from PyPI ({requirements.name}): {error}") from error
    done.write_text(requirements.read_text())
    return python


def _install(folder: Path, requirements: Path) -> None:
    python = folder / "bin" / "python"
    uv = shutil.which("uv")
    if uv:
        run([uv, "venv", "--python", sys.executable, folder], seconds=INSTALL_SECONDS)
        install: list[str | Path] = [uv, "pip", "install", "--python", python]
    else:
        run([sys.executable, "-m", "venv", folder], seconds=INSTALL_SECONDS)
        install = [python, "-m", "pip", "install"]
    run([*install, "--requirement", requirements], seconds=INSTALL_SECONDS)
