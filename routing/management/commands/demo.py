"""`manage.py demo`: furnishes the database for `make run` and writes var/demo.env."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from routing.catalogue import demo


class Command(BaseCommand):
    help = "Makes the demo's operator, tenant, key, channels and models where missing; writes var/demo.env."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=settings.SITE_URL, help="where the server will answer")
        parser.add_argument("--real", action="append", default=[], metavar="BASE_URL", help="a real upstream (twice)")

    def handle(self, *args: Any, url: str, real: list[str], **options: Any) -> None:
        path = Path(settings.VAR_DIR) / "demo.env"
        values = {"COSTROUTER_URL": url} | demo.furnish(_read(path), real_base_urls=real)
        _write(path, values)
        self.stdout.write(str(path))


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def _write(path: Path, values: dict[str, str]) -> None:
    """Replaces the file whole; only its owner may read it."""
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    draft.replace(path)
