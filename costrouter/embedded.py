"""The embedded default's secrets: generated on the first run, kept in one file that only its owner can read."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from pathlib import Path


def secrets_file(folder: Path) -> Path:
    """The path of `secrets.env` in `folder`, written (mode 0600) if it is not there yet.

    Two processes may start at once: the file is linked into place complete, and the first one wins.
    """
    path = folder / "secrets.env"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=folder, prefix=".secrets.")  # new, and its owner's alone
    with os.fdopen(handle, "w") as file:
        file.write(_generate())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()
    return path


def _generate() -> str:
    master_key = base64.b64encode(secrets.token_bytes(32)).decode()
    return (
        f"SECRET_KEY={secrets.token_urlsafe(48)}\n"
        f"KEY_PEPPERS={secrets.token_urlsafe(48)}\n"
        f"MASTER_KEYS=k1:{master_key}\n"
    )
