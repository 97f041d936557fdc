"""Django's own checks as `make check` runs them: system checks, and models without a migration."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    ("check", "--fail-level", "WARNING"),
    ("makemigrations", "--check", "--dry-run"),
)


def main() -> int:
    """Runs both in the embedded default with a folder of its own; returns an exit code."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "COSTROUTER_VAR": folder, "DATABASE_URL": "", "REDIS_URL": ""}
        codes = [
            subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=environment, check=False).returncode
            for words in COMMANDS
        ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
