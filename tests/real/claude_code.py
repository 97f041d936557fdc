"""Claude Code as it comes from npm, on this machine's node: one package, pinned, installed once into var/."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PACKAGE: Final = "@anthropic-ai/claude-code"
VERSION: Final = "2.1.197"
_SECONDS: Final = 300.0


class NoClaudeCode(Exception):
    """It cannot be had; the message says why."""


def executable() -> Path:
    """Its program, a binary for this machine; raises NoClaudeCode."""
    folder = ROOT / "var" / "claude-code"
    if not (folder / "node_modules" / PACKAGE / "package.json").exists():
        npm = shutil.which("npm")
        if npm is None:
            raise NoClaudeCode("npm is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"{PACKAGE}@{VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            raise NoClaudeCode(f"npm could not install it: {done.stderr[-500:]}")
    found = sorted((folder / "node_modules" / "@anthropic-ai").glob("claude-code-*/claude"))
    if not found:
        raise NoClaudeCode("there is no program of it for this machine")
    return found[0]


def run(prompt: str, *, folder: Path, base_url: str, key: str, model: str) -> subprocess.CompletedProcess[str]:
    """One task in a folder, by the settings that its users have: the base URL, the key, and the model's name."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": base_url,
        "ANTHROPIC_API_KEY": key,
        "ANTHROPIC_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [str(executable()), "-p", prompt, "--output-format", "json", "--permission-mode", "acceptEdits",
               "--allowedTools", "Read,Edit"]  # fmt: skip
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
